#include <algorithm>
#include <array>
#include <cmath>

#include "tandem/base/text.h"
#include "tandem/files/element_check.h"
#include "tandem/files/onnx_quant.h"
#include "tandem/files/onnx_tensor.h"
#include "tandem/numerics/float_shape.h"
#include "tandem/ops/broadcast.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// ---- QuantizeLinear and DequantizeLinear ----------------------------------------------------

// A parameter with one element for each block of elements of x along an axis, to one for each.
ValueId blockwise(OnnxNode& node, ValueId parameter, std::size_t axis, std::int64_t block) {
  const std::vector<Dim> x = node.type(0).shape, from = node.type_of_value(parameter).shape;
  if (from.size() != x.size())
    OnnxNode::refuse(
        concat("its scale or zero point has ", from.size(), " axes, its input ", x.size()),
        "give it the axes of its input, with blocks along one of them");
  const std::int64_t count = from[axis].constant(), extent = x[axis].constant();
  if (count == 0 || extent == 0)
    OnnxNode::refuse("it has no elements along the axis of its blocks", "give it some");
  const std::int64_t size = block > 0 ? block : (extent - 1) / count + 1;
  std::vector<Dim> wanted = x;
  wanted[axis] = (extent + size - 1) / size;
  if (from != wanted) {
    OnnxNode::refuse(
        concat("its scale ", node.type_of_value(parameter).to_string(), " does not fit blocks of ",
               size, " elements of ", node.type(0).to_string()),
        "correct the scale or block_size");
  }
  if (count == 1) return parameter;  // broadcasting repeats it
  std::vector<Dim> split = from;
  split.insert(split.begin() + static_cast<std::ptrdiff_t>(axis) + 1, Dim(1));
  Integers repeats(split.size(), 1);
  repeats[axis + 1] = size;
  std::vector<Dim> joined = from;
  joined[axis] = count * size;
  const ValueId wide = node.reshape(
      node.add("Tile", {node.reshape(parameter, split)}, {{"repeats", repeats}}), joined);
  if (count * size == extent) return wide;
  return node.add("Slice", {wide},
                  {{"starts", Integers{0}},
                   {"ends", Integers{extent}},
                   {"axes", Integers{static_cast<std::int64_t>(axis)}}});
}

Format code_format(OnnxNode& node) {
  const std::int64_t declared = node.integer("output_dtype", 0);
  if (node.has(2)) return node.type(2).format;
  if (declared == 0) return Format::parse("uint8");
  const auto format = onnx_format(static_cast<std::int32_t>(declared));
  if (!format || !(format->is_integer() || (format->is_float() && format->bits() <= 8))) {
    OnnxNode::refuse(
        concat("it quantizes to ", onnx_type_name(static_cast<std::int32_t>(declared))),
        "quantize to an integer type, or a float of 8 bits or less");
  }
  return *format;
}

// The scale and zero point of one node, placed to broadcast over x.
struct Parameters {
  ValueId scale = kNone, zero = kNone;
};

Parameters parameters(OnnxNode& node) {
  const std::size_t rank = node.type(0).shape.size();
  const std::int64_t axis = node.integer("axis", 1), block = node.integer("block_size", 0);
  const ValueId scale = real_parameter(node, 1), zero = zero_parameter(node, 2);
  const std::vector<Dim> shape = node.type_of_value(scale).shape;
  if (block == 0 && shape.size() <= 1) {
    const Parameters placed = {along_axis(node, scale, axis, rank),
                               along_axis(node, zero, axis, rank)};
    if (zero != kNone && node.type_of_value(placed.zero) != node.type_of_value(placed.scale))
      OnnxNode::refuse("its scale and zero point differ in shape", "give both one shape");
    return placed;
  }
  const std::size_t at = normalized_axis(axis, rank);
  if (block < 0) OnnxNode::refuse(concat("block_size is ", block), "correct the attribute");
  return {blockwise(node, scale, at, block),
          zero == kNone ? kNone : blockwise(node, zero, at, block)};
}

// Constant codes in whole blocks take an axis for them, [.., blocks, block ..], so that their
// scales keep one element for each; the reals get the shape of the codes again. kNone for other
// codes.
ValueId dequantized_blocks(OnnxNode& node) {
  const std::int64_t block = node.integer("block_size", 0);
  const Tensor* codes = node.constant(0);
  if (block <= 0 || codes == nullptr || codes->size() == 0) return kNone;
  const Shape shape = codes->shape();
  const std::size_t axis = normalized_axis(node.integer("axis", 1), shape.size());
  if (shape[axis] % block != 0 || shape[axis] == block) return kNone;
  const std::int64_t blocks = shape[axis] / block;
  Shape each = shape;
  each[axis] = blocks;
  const auto behind = static_cast<std::ptrdiff_t>(axis) + 1;
  Shape split = each;
  split.insert(split.begin() + behind, block);
  const auto parameter = [&](std::size_t input, ValueId value) {
    if (value == kNone) return kNone;
    const std::vector<Dim> wanted(each.begin(), each.end());
    if (node.type(input).shape != wanted)
      OnnxNode::refuse(
          concat("its scale or zero point ", node.type(input).to_string(),
                 " does not fit blocks of ", block, " elements of ", node.type(0).to_string()),
          "correct the scale or block_size");
    std::vector<Dim> placed = wanted;
    placed.insert(placed.begin() + behind, Dim(1));
    const Tensor* constant = node.constant_of_value(value);
    if (constant == nullptr) return node.reshape(value, placed);
    Shape flat = each;
    flat.insert(flat.begin() + behind, 1);
    return node.add_constant(constant->reshaped(flat));
  };
  const ValueId scale = parameter(1, real_parameter(node, 1));
  const ValueId zero = parameter(2, zero_parameter(node, 2));
  const ValueId real =
      node.add("Dequantize", {node.add_constant(codes->reshaped(split)), scale, zero});
  return node.reshape(real, std::vector<Dim>(shape.begin(), shape.end()));
}

void quantize_linear(OnnxNode& node) {
  node.ignore("precision");  // the division is made in f32
  const Format format = code_format(node);
  const auto [scale, zero] = parameters(node);
  Attributes attributes = {{"format", format}};
  const bool saturates = node.integer("saturate", 1) != 0;
  if (format.is_float()) {
    if (!saturates) OnnxNode::refuse("it does not saturate", "quantize with saturate = 1");
    attributes["overflow"] = std::string(name(Overflow::kSaturateSymmetric));
  } else if (zero != kNone) {
    attributes["zero_added"] = std::string("after_rounding");
  }
  node.set(0, node.add("Quantize", {node.value(0), scale, zero}, std::move(attributes)));
}

void dequantize_linear(OnnxNode& node) {
  const Format scale_format = node.type(1).format;
  const std::int64_t declared = node.integer("output_dtype", 0);
  const Format result = declared == 0
                            ? scale_format
                            : onnx_format(static_cast<std::int32_t>(declared)).value_or(Format());
  ValueId real = dequantized_blocks(node);
  if (real == kNone) {
    const auto [scale, zero] = parameters(node);
    real = node.add("Dequantize", {node.value(0), scale, zero});
  }
  if (result != Format()) real = node.add("Cast", {real}, {{"to", result}});
  node.set(0, real);
}

// ---- QONNX ----------------------------------------------------------------------------------

void quant(OnnxNode& node) {
  const int bits = qonnx_bits(node, 3, "its bit width");
  const bool is_signed = node.integer("signed") != 0;
  const bool narrow = node.integer("narrow") != 0;
  const std::string rounding(name(qonnx_rounding(node.text("rounding_mode", "ROUND"))));
  QonnxCodes codes = qonnx_codes(bits, is_signed, narrow);
  if (bits == 1 && is_signed) codes = {Format::parse("bipolar"), {}};  // as in QONNX's executor
  const ValueId scale = real_parameter(node, 1), zero = zero_parameter(node, 2);
  const ValueId q =
      node.add("Quantize", {node.value(0), scale, zero},
               {{"format", codes.format}, {"limits", codes.limits}, {"rounding", rounding}});
  node.set(0, node.add("Dequantize", {q, scale, zero}));
}

// The float of FloatQuant's constants: its specials and greatest number, with subnormals, which
// QONNX's executor has whatever has_subnormal says.
Format float_quant_format(OnnxNode& node) {
  const auto number = [&](std::size_t input, std::string_view what) {
    const Tensor& tensor = node.required_constant(input, what);
    if (tensor.size() != 1) OnnxNode::refuse(concat(what, " is no scalar"), "give one number");
    return tensor.real(0);
  };
  const auto whole = [&](std::size_t input, std::string_view what) {
    const double value = number(input, what);
    constexpr double kMost = 1000;
    if (value != std::floor(value) || !(std::abs(value) <= kMost))
      OnnxNode::refuse(concat(what, " is ", shortest(value), ", no small whole number"),
                       "correct the model");
    return static_cast<int>(value);
  };
  FloatShape shape;
  shape.exponent_bits = whole(2, "its exponent width");
  shape.mantissa_bits = whole(3, "its mantissa width");
  shape.bias = whole(4, "its exponent bias");
  shape.has_infinities = node.integer("has_inf", 0) != 0;
  shape.has_nan = node.integer("has_nan", 0) != 0 || shape.has_infinities;
  node.ignore("has_subnormal");
  const double all = std::ldexp(2 - std::ldexp(1.0, -shape.mantissa_bits),
                                (1 << std::clamp(shape.exponent_bits, 0, 16)) - 1 - shape.bias);
  shape.greatest = node.has(5) ? std::min(all, number(5, "its greatest value")) : all;
  constexpr int kMostBits = 8;
  if (1 + shape.exponent_bits + shape.mantissa_bits > kMostBits)
    OnnxNode::refuse(concat("its floats have ", 1 + shape.exponent_bits + shape.mantissa_bits,
                            " bits; codes of floats have at most ", kMostBits),
                     "quantize to a narrower float");
  const auto format = float_format(shape);
  if (!format)
    OnnxNode::refuse(concat("no float of ", shape.exponent_bits, " exponent and ",
                            shape.mantissa_bits, " mantissa bits, bias ", shape.bias,
                            shape.has_infinities ? " with infinities"
                            : shape.has_nan      ? " with NaN"
                                                 : " without specials",
                            " ends at ", shortest(shape.greatest)),
                     "give max_val, has_inf and has_nan of one format (tandem list formats)");
  return *format;
}

void float_quant(OnnxNode& node) {
  const Format format = float_quant_format(node);
  const bool saturates = node.integer("saturation", 1) != 0;
  if (!saturates && !float_shape(format)->has_infinities)
    OnnxNode::refuse(concat("it does not saturate, and ", format.name(), " has no infinities"),
                     "quantize with saturation = 1");
  const std::string rounding(name(qonnx_rounding(node.text("rounding_mode", "ROUND"))));
  const Overflow overflow = saturates ? Overflow::kSaturateSymmetric : Overflow::kSaturate;
  const ValueId scale = real_parameter(node, 1);
  const ValueId q = node.add(
      "Quantize", {node.value(0), scale},
      {{"format", format}, {"rounding", rounding}, {"overflow", std::string(name(overflow))}});
  node.set(0, node.add("Dequantize", {q, scale}));
}

// The sign of x, not of x / scale, which may underflow; zero counts as positive.
void bipolar_quant(OnnxNode& node) {
  const ValueId one = node.add_constant(Tensor::scalar(1));
  const ValueId q =
      node.add("Quantize", {node.value(0), one}, {{"format", Format::parse("bipolar")}});
  node.set(0, node.add("Dequantize", {q, real_parameter(node, 1)}));
}

}  // namespace

ValueId real_parameter(OnnxNode& node, std::size_t input) {
  const Format f32;
  const Tensor* constant = node.constant(input);
  if (node.type(input).format == f32) return node.value(input);
  if (constant != nullptr) return node.add_constant(constant->converted(f32));
  return node.add("Cast", {node.value(input)}, {{"to", f32}});
}

ValueId zero_parameter(OnnxNode& node, std::size_t input) {
  if (!node.has(input)) return kNone;
  if (const Tensor* constant = node.constant(input); constant && is_zero(*constant)) return kNone;
  return real_parameter(node, input);
}

ValueId along_axis(OnnxNode& node, ValueId parameter, std::int64_t axis, std::size_t rank) {
  if (parameter == kNone) return kNone;
  const std::vector<Dim> shape = node.type_of_value(parameter).shape;
  if (shape.empty()) return parameter;
  if (shape.size() > 1) {
    OnnxNode::refuse("its scale or zero point has more than one axis",
                     "quantize per tensor or per channel");
  }
  if (shape[0] == Dim(1)) return node.reshape(parameter, {});
  std::vector<Dim> placed(rank, 1);
  placed[normalized_axis(axis, rank)] = shape[0];
  return node.reshape(parameter, placed);
}

bool is_qonnx_domain(std::string_view domain) {
  return domain == "qonnx.custom_op.general" || domain == "finn.custom_op.general" ||
         domain == "onnx.brevitas";
}

std::optional<Format> qonnx_data_type(std::string_view name) {
  if (name == "BIPOLAR") return Format::parse("bipolar");
  if (name == "BINARY") return Format::integer(1, false);
  if (name == "TERNARY") return Format::integer(2, true);
  const bool is_signed = name.starts_with("INT");
  if (!is_signed && !name.starts_with("UINT")) return std::nullopt;
  const std::string_view digits = name.substr(is_signed ? 3 : 4);
  if (digits.empty() || digits.size() > 2 ||
      digits.find_first_not_of("0123456789") != std::string_view::npos) {
    return std::nullopt;
  }
  const auto bits = static_cast<int>(parse_integer(digits, "bits"));
  constexpr int kMostBits = 32;
  if (bits < 1 || bits > kMostBits) return std::nullopt;
  return Format::integer(bits, is_signed);
}

int qonnx_bits(OnnxNode& node, std::size_t input, std::string_view what) {
  const Tensor& width = node.required_constant(input, what);
  constexpr double kMostBits = 32;
  const double bits = width.size() == 1 ? width.real(0) : 0;
  if (!(bits >= 1) || bits > kMostBits || bits != std::floor(bits)) {
    OnnxNode::refuse(concat(what, " is ", width.size() == 1 ? shortest(bits) : "no scalar",
                            ", not a whole number from 1 to ", kMostBits),
                     "give the node such a bit width");
  }
  return static_cast<int>(bits);
}

Rounding qonnx_rounding(std::string_view mode) {
  static constexpr std::array<std::pair<std::string_view, Rounding>, 8> kModes = {
      {{"ROUND", Rounding::kHalfEven},
       {"HALF_EVEN", Rounding::kHalfEven},
       {"CEIL", Rounding::kCeiling},
       {"FLOOR", Rounding::kFloor},
       {"UP", Rounding::kAwayFromZero},
       {"DOWN", Rounding::kTowardZero},
       {"HALF_UP", Rounding::kHalfAwayFromZero},
       {"HALF_DOWN", Rounding::kHalfTowardZero}}};
  std::string upper(mode);
  for (char& c : upper)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  std::vector<std::string> names;
  for (const auto& [name, rounding] : kModes) {
    if (name == upper) return rounding;
    names.emplace_back(name);
  }
  OnnxNode::refuse(concat("rounding_mode is '", mode, "'", suggestion(upper, names)),
                   "correct the attribute");
}

QonnxCodes qonnx_codes(int bits, bool is_signed, bool narrow) {
  QonnxCodes codes{Format::integer(bits, is_signed), {}};
  if (!narrow) return codes;
  const IntegerRange range = codes.format.integer_range();
  codes.limits = is_signed ? std::vector<std::int64_t>{range.min + 1, range.max}
                           : std::vector<std::int64_t>{range.min, range.max - 1};
  return codes;
}

ValueId annotated_value(Builder& builder, ConstantNames& constants, ValueId value,
                        const Format& format, const std::string& name) {
  const ValueId one = builder.constant(constants.add(Tensor::scalar(1), name + "_scale"));
  const ValueId q = builder.add("Quantize", {value, one}, {{"format", format}}, name + "_codes");
  return builder.add("Dequantize", {q, one}, {}, name + "_values");
}

OnnxValue annotated_constant(Builder& builder, ConstantNames& constants, const Tensor& tensor,
                             const Format& format, const std::string& name) {
  std::vector<std::int64_t> integers;
  for (std::int64_t i = 0; i < tensor.size(); ++i) {
    const double value = tensor.real(i);
    const IntegerRange range = format.integer_range();
    const bool fits = value == std::floor(value) && value >= static_cast<double>(range.min) &&
                      value <= static_cast<double>(range.max) &&
                      (format != Format::parse("bipolar") || value != 0);
    if (!fits) {
      throw Error("initializer '", name, "' is annotated as ", format.name(), ", but element ", i,
                  " is ", shortest(value), "; correct its quantization annotation");
    }
    integers.push_back(static_cast<std::int64_t>(value));
  }
  const ValueId one = builder.constant(constants.add(Tensor::scalar(1), name + "_scale"));
  const ValueId q = builder.constant(
      constants.add(Tensor::from_integers(format, tensor.shape(), integers), name));
  OnnxValue result;
  result.value = builder.add("Dequantize", {q, one}, {}, name + "_values");
  return result;
}

void add_quantization_handlers(OnnxHandlers& handlers) {
  handlers["QuantizeLinear"] = quantize_linear;
  handlers["DequantizeLinear"] = dequantize_linear;
  for (const char* name : {"Quant", "IntQuant"}) handlers[concat(kQonnxPrefix, name)] = quant;
  handlers[concat(kQonnxPrefix, "FloatQuant")] = float_quant;
  handlers[concat(kQonnxPrefix, "BipolarQuant")] = bipolar_quant;
  handlers[concat(kQonnxPrefix, "Trunc")] = import_trunc;
}

}  // namespace tandem
