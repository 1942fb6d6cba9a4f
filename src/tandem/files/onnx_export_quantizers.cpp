#include <algorithm>
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/element_check.h"
#include "tandem/files/onnx_export.h"
#include "tandem/files/onnx_quant.h"
#include "tandem/files/onnx_tensor.h"
#include "tandem/numerics/float_shape.h"
#include "tandem/ops/broadcast.h"

namespace tandem {
namespace {

const Tensor* constant_input(const Module& module, const Graph& graph, const Node& node,
                             std::size_t index) {
  return index < node.inputs.size() ? constant_of(module, graph, node.inputs[index]) : nullptr;
}

bool has_input(const Node& node, std::size_t index) {
  return index < node.inputs.size() && node.inputs[index] != kNone;
}

// Scale and zero point of QuantizeLinear: one number, a list along one axis of x, or one for each
// block of elements along an axis.
struct LinearParameters {
  Tensor scale, zero;  // both of rank 0, both of rank 1, or in blocks both of x's rank
  std::optional<std::int64_t> axis;
  std::int64_t block = 0;
};

// The axis along which all of x is one block: there the parameter has one element, and along each
// other as many as x. nullopt where there is none.
std::optional<std::size_t> block_axis(const Shape& parameter, const std::vector<Dim>& x) {
  if (parameter.size() != x.size()) return std::nullopt;
  std::optional<std::size_t> axis;
  for (std::size_t d = 0; d < x.size(); ++d) {
    if (!x[d].is_constant()) return std::nullopt;
    if (x[d].constant() == parameter[d]) continue;
    if (axis || parameter[d] != 1) return std::nullopt;
    axis = d;
  }
  return axis;
}

// nullopt where the shapes vary along more than one axis, and not in blocks.
std::optional<LinearParameters> linear_parameters(const Tensor& scale, const Tensor* zero,
                                                  const Format& codes, const std::vector<Dim>& x) {
  Shape shape = scale.shape();
  if (zero != nullptr) shape = broadcast_shapes(shape, zero->shape());
  LinearParameters result;
  Shape flat;
  const auto varying = std::ranges::count_if(shape, [](std::int64_t size) { return size != 1; });
  if (varying > 1) {
    const auto axis = block_axis(shape, x);
    if (!axis) return std::nullopt;
    flat = shape;
    result.axis = static_cast<std::int64_t>(*axis);
    result.block = x[*axis].constant();
  }
  for (std::size_t d = 0; varying == 1 && d < shape.size(); ++d) {
    if (shape[d] == 1) continue;
    flat = {shape[d]};
    result.axis = static_cast<std::int64_t>(x.size() - shape.size() + d);
  }
  std::vector<double> scales, zeros(static_cast<std::size_t>(element_count(shape)));
  for (const std::int64_t at : broadcast_offsets(scale.shape(), shape))
    scales.push_back(scale.real(at));
  if (zero != nullptr) {
    const auto offsets = broadcast_offsets(zero->shape(), shape);
    for (std::size_t i = 0; i < offsets.size(); ++i) zeros[i] = zero->real(offsets[i]);
  }
  result.scale = Tensor::from_reals(Format(), flat, scales);
  result.zero = Tensor::from_reals(codes, flat, zeros);
  return result;
}

// Scales of 16 bits are written as f32, in which Dequantize multiplies.
bool is_exact_in_f32(const Format& format) {
  return format == Format() || (format.is_float() && format.bits() <= 16);
}

std::optional<std::string> zero_obstacle(const Node& node, const Tensor& zero,
                                         const Format& codes) {
  if (is_zero(zero)) return std::nullopt;
  if (!codes.is_uniform()) return concat("it has no zero point for ", codes.name());
  const IntegerRange range = codes.integer_range();
  for (const double value : zero.to_reals()) {
    if (value != std::floor(value) || value < static_cast<double>(range.min) ||
        value > static_cast<double>(range.max)) {
      return concat("the zero point ", shortest(value), " is no ", codes.name());
    }
  }
  const auto added = node.attributes.find("zero_added");
  if (added != node.attributes.end() && std::get<std::string>(added->second) != "after_rounding")
    return "its zero point is added before rounding";
  return std::nullopt;
}

std::optional<std::string> parameter_obstacle(const Module& module, const Graph& graph,
                                              const Node& node, const Format& codes) {
  const Tensor* scale = constant_input(module, graph, node, 1);
  const Tensor* zero = constant_input(module, graph, node, 2);
  if (has_input(node, 2) && zero == nullptr) return "its zero point is no constant";
  if (scale == nullptr) {
    if (!graph.values[node.inputs[1]].type.shape.empty()) return "its scales are no constants";
    if (zero != nullptr && zero->rank() != 0) return "its zero point has more axes than its scale";
  } else if (!is_exact_in_f32(scale->format())) {
    return concat("its scale is ", scale->format().name(), ", not f32");
  } else if (!linear_parameters(*scale, nullptr, codes, graph.values[node.inputs[0]].type.shape)) {
    return "its scale varies along more than one axis";
  }
  if (zero == nullptr) return std::nullopt;
  if (auto obstacle = zero_obstacle(node, *zero, codes)) return obstacle;
  const std::vector<Dim>& x = graph.values[node.inputs[0]].type.shape;
  if (scale != nullptr && !linear_parameters(*scale, zero, codes, x))
    return "scale and zero point vary along different axes";
  return std::nullopt;
}

// Both dialects say that numbers beyond a float's largest end there, or become infinite.
bool ends_at_largest(const Format& codes, Overflow overflow) {
  return overflow == Overflow::kSaturateSymmetric ||
         (overflow == Overflow::kSaturate && !float_shape(codes)->has_infinities);
}

std::optional<std::string> overflow_obstacle(const Format& codes, Overflow overflow) {
  if (codes.is_float() ? ends_at_largest(codes, overflow) : overflow == Overflow::kSaturate)
    return std::nullopt;
  return concat("it has no overflow ", name(overflow), codes.is_float() ? " of floats" : "");
}

// What a Dequantize of Quant shares with its Quantize.
bool same_parameter(const Module& module, const Graph& graph, const Node& a, const Node& b,
                    std::size_t index) {
  if (has_input(a, index) != has_input(b, index)) return false;
  if (!has_input(a, index) || a.inputs[index] == b.inputs[index]) return true;
  const Tensor* left = constant_input(module, graph, a, index);
  const Tensor* right = constant_input(module, graph, b, index);
  return left != nullptr && right != nullptr && *left == *right;
}

const Node* producer(const Graph& graph, ValueId value) {
  const NodeId id = graph.values[value].producer;
  return id == kNone ? nullptr : &graph.nodes[id];
}

std::optional<bool> narrowness(const Format& format, const std::vector<std::int64_t>& limits) {
  for (const bool narrow : {false, true}) {
    const QonnxCodes codes = qonnx_codes(format.bits(), format.is_signed(), narrow);
    const IntegerRange range = format.integer_range();
    const std::vector<std::int64_t> whole = {range.min, range.max};
    if (limits == codes.limits || (!narrow && limits == whole)) return narrow;
  }
  return std::nullopt;
}

std::string qonnx_mode(Rounding rounding) {
  for (const char* mode : {"ROUND", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"})
    if (qonnx_rounding(mode) == rounding) return mode;
  return "";
}

QuantChoice refused(std::string obstacle) { return {std::nullopt, std::move(obstacle)}; }

std::optional<std::string> float_obstacle(const Format& format) {
  const auto shape = float_shape(format);
  if (!shape || format.bits() > 8) return concat("FloatQuant has no ", format.name());
  if (!shape->has_negative_zero) return concat("FloatQuant has a minus zero, not ", format.name());
  return std::nullopt;
}

QuantChoice computed_float_choice(const Module& module, const Graph& graph, const Node& quantize,
                                  const Node& dequantize) {
  const Format format = std::get<Format>(quantize.attributes.at("format"));
  const auto text = [&](const char* key) {
    return std::get<std::string>(quantize.attributes.at(key));
  };
  if (auto obstacle = float_obstacle(format)) return refused(*obstacle);
  if (has_input(quantize, 2) || has_input(dequantize, 2))
    return refused("FloatQuant has no zero point");
  if (!same_parameter(module, graph, quantize, dequantize, 1))
    return refused("the Dequantize behind it has another scale");
  const Overflow overflow = parse_overflow(text("overflow"));
  if (!ends_at_largest(format, overflow) && overflow != Overflow::kSaturate)
    return refused(concat("FloatQuant has no overflow ", text("overflow")));
  if (qonnx_mode(parse_rounding(text("rounding"))).empty())
    return refused(concat("FloatQuant has no rounding ", text("rounding")));
  return {QuantForm::kFloat, ""};
}

QuantChoice computed_choice(const Module& module, const Graph& graph, const Node& quantize,
                            const Node& dequantize) {
  const Format format = std::get<Format>(quantize.attributes.at("format"));
  const auto text = [&](const char* key) {
    return std::get<std::string>(quantize.attributes.at(key));
  };
  const bool bipolar = format == Format::parse("bipolar");
  if (bipolar && !has_input(quantize, 2) && !has_input(dequantize, 2)) {
    const Tensor* scale = constant_input(module, graph, quantize, 1);
    if (scale != nullptr && scale->rank() == 0 && scale->real(0) == 1)
      return {QuantForm::kBipolar, ""};
  }
  if (format.is_float()) return computed_float_choice(module, graph, quantize, dequantize);
  constexpr int kMostBits = 32;
  if (!format.is_integer() || format.bits() > kMostBits)
    return refused(concat("it has no integers of format ", format.name()));
  if (!same_parameter(module, graph, quantize, dequantize, 1) ||
      !same_parameter(module, graph, quantize, dequantize, 2)) {
    return refused("the Dequantize behind it has another scale or zero point");
  }
  const Tensor* zero = constant_input(module, graph, quantize, 2);
  if (has_input(quantize, 2) && text("zero_added") != "before_rounding" &&
      !(zero != nullptr && is_zero(*zero))) {
    return refused("its zero point is added after rounding");
  }
  if (text("rescale") != "dyadic") return refused(concat("it has no rescale ", text("rescale")));
  if (bipolar) return {QuantForm::kQuant, ""};
  if (!narrowness(format, std::get<std::vector<std::int64_t>>(quantize.attributes.at("limits"))))
    return refused("it has no such limits");
  if (text("overflow") != "saturate")
    return refused(concat("it has no overflow ", text("overflow")));
  if (qonnx_mode(parse_rounding(text("rounding"))).empty())
    return refused(concat("it has no rounding ", text("rounding")));
  return {QuantForm::kQuant, ""};
}

// The reals behind constant codes, in f32 as Dequantize computes them; nullopt where Quant would
// not find the codes in them again.
std::optional<Tensor> decoded(const Tensor& codes, const Tensor& scale, const Tensor* zero) {
  const auto scale_at = broadcast_offsets(scale.shape(), codes.shape());
  const auto zero_at = zero == nullptr ? scale_at : broadcast_offsets(zero->shape(), codes.shape());
  Tensor reals(Format(), codes.shape());
  const auto to = reals.mutable_data<float>();
  for (std::size_t i = 0; i < to.size(); ++i) {
    const auto unit = static_cast<float>(scale.real(scale_at[i]));
    const float shift = zero == nullptr ? 0 : static_cast<float>(zero->real(zero_at[i]));
    const auto at = static_cast<std::int64_t>(i);
    if (codes.format().is_float()) {
      to[i] = static_cast<float>(codes.real(at)) * unit;
      const double found = codes.format().decode(
          codes.format().encode(static_cast<double>(to[i] / unit), Rounding::kHalfEven));
      if (found != codes.real(at)) return std::nullopt;
      continue;
    }
    const std::int64_t code = codes.integer(at);
    to[i] = static_cast<float>(static_cast<double>(code) - static_cast<double>(shift)) * unit;
    const auto again = static_cast<double>(to[i] / unit + shift);
    const bool bipolar = codes.format() == Format::parse("bipolar");
    const double found = bipolar ? (again >= 0 ? 1 : -1) : std::nearbyint(again);
    if (found != static_cast<double>(code)) return std::nullopt;
  }
  return reals;
}

QuantChoice constant_choice(const Module& module, const Graph& graph, const Node& node,
                            const Tensor& codes) {
  constexpr int kMostBits = 32;
  const bool is_float = codes.format().is_float();
  if (is_float) {
    if (auto obstacle = float_obstacle(codes.format())) return refused(*obstacle);
    if (has_input(node, 2)) return refused("FloatQuant has no zero point");
  } else if (!codes.format().is_integer() || codes.format().bits() > kMostBits) {
    return refused(concat("it has no integers of format ", codes.format().name()));
  }
  const Tensor* scale = constant_input(module, graph, node, 1);
  const Tensor* zero = constant_input(module, graph, node, 2);
  if (scale == nullptr || (has_input(node, 2) && zero == nullptr))
    return refused("scale or zero point of a constant are computed");
  if (std::ranges::any_of(scale->to_reals(), [](double unit) { return !(unit > 0); }))
    return refused("a scale of it is not positive");
  if (!decoded(codes, *scale, zero)) return refused("codes are lost behind f32 reals");
  if (is_float) return {QuantForm::kFloat, ""};
  const bool bipolar = codes.format() == Format::parse("bipolar") && zero == nullptr;
  return {bipolar ? QuantForm::kBipolar : QuantForm::kQuant, ""};
}

void write_linear(OnnxExporter& out, const Node& node) {
  const Graph& graph = out.graph();
  const bool quantize = node.op->name() == "Quantize";
  const Format codes = graph.values[quantize ? node.outputs[0] : node.inputs[0]].type.format;
  const std::vector<Dim>& x = graph.values[node.inputs[0]].type.shape;
  const Tensor* scale = constant_input(out.module(), graph, node, 1);
  const Tensor* zero = constant_input(out.module(), graph, node, 2);
  std::vector<std::string> inputs = {out.name_of(node.inputs[0])};
  std::optional<std::int64_t> axis;
  std::int64_t block = 0;
  const bool needs_zero = quantize || zero != nullptr;
  if (scale == nullptr) {
    inputs.push_back(out.name_of(node.inputs[1]));
    Tensor none(codes, {});
    if (zero != nullptr) none = zero->converted(codes);
    if (needs_zero) inputs.push_back(out.initializer(none, node.name + "/zero"));
  } else {
    const auto parameters = linear_parameters(*scale, zero, codes, x);
    ensure(parameters.has_value(), "parameters of QuantizeLinear");
    axis = parameters->axis;
    block = parameters->block;
    inputs.push_back(scale->rank() == 0 && scale->format() == Format() && !axis
                         ? out.name_of(node.inputs[1])
                         : out.initializer(parameters->scale, node.name + "/scale"));
    if (needs_zero) inputs.push_back(out.initializer(parameters->zero, node.name + "/zero"));
  }
  auto& proto = out.emit(node, quantize ? "QuantizeLinear" : "DequantizeLinear", inputs);
  if (axis) set_attribute(proto, "axis", *axis);
  if (block != 0) set_attribute(proto, "block_size", block);
}

// What the Quantize behind a Dequantize reads, or the reals of constant codes.
std::string quantized_reals(OnnxExporter& out, const Node& node) {
  const Graph& graph = out.graph();
  const Tensor* codes = constant_of(out.module(), graph, node.inputs[0]);
  if (codes == nullptr) return out.name_of(producer(graph, node.inputs[0])->inputs[0]);
  const auto reals = decoded(*codes, *constant_input(out.module(), graph, node, 1),
                             constant_input(out.module(), graph, node, 2));
  ensure(reals.has_value(), "codes of a constant");
  return out.initializer(*reals, graph.values[node.inputs[0]].name + "/reals");
}

std::string scale_of_quant(OnnxExporter& out, const Node& node) {
  const Tensor* scale = constant_input(out.module(), out.graph(), node, 1);
  if (scale == nullptr || scale->format() == Format()) return out.name_of(node.inputs[1]);
  return out.initializer(scale->converted(Format()), node.name + "/scale");
}

// FloatQuant takes the place of a Dequantize and of what it decodes.
void write_float_quant(OnnxExporter& out, const Node& node) {
  const Graph& graph = out.graph();
  const Node* quantize = producer(graph, node.inputs[0]);
  const Format format = graph.values[node.inputs[0]].type.format;
  const FloatShape shape = *float_shape(format);
  std::vector<std::string> inputs = {quantized_reals(out, node), scale_of_quant(out, node)};
  const auto number = [&](double value, const char* suffix) {
    inputs.push_back(out.initializer(Tensor::scalar(value), node.name + suffix));
  };
  number(shape.exponent_bits, "/exponent_bits");
  number(shape.mantissa_bits, "/mantissa_bits");
  number(shape.bias, "/exponent_bias");
  number(shape.greatest, "/greatest");
  auto& proto = out.emit(node, "FloatQuant", inputs);
  proto.set_domain(std::string(kQonnxDomain));
  const auto text = [&](const char* key) {
    return std::get<std::string>(quantize->attributes.at(key));
  };
  const bool saturates =
      quantize == nullptr || ends_at_largest(format, parse_overflow(text("overflow")));
  const std::string mode =
      quantize == nullptr ? "ROUND" : qonnx_mode(parse_rounding(text("rounding")));
  set_attribute(proto, "has_inf", std::int64_t{shape.has_infinities ? 1 : 0});
  set_attribute(proto, "has_nan", std::int64_t{shape.has_nan ? 1 : 0});
  set_attribute(proto, "has_subnormal", std::int64_t{1});
  set_attribute(proto, "saturation", std::int64_t{saturates ? 1 : 0});
  set_attribute(proto, "rounding_mode", mode);
}

// Quant and BipolarQuant take the place of a Dequantize and of what it decodes.
void write_quant(OnnxExporter& out, const Node& node, bool bipolar) {
  const Graph& graph = out.graph();
  const Node* quantize = producer(graph, node.inputs[0]);
  std::vector<std::string> inputs = {quantized_reals(out, node), scale_of_quant(out, node)};
  if (bipolar) {
    out.emit(node, "BipolarQuant", inputs).set_domain(std::string(kQonnxDomain));
    return;
  }
  const Format format = graph.values[node.inputs[0]].type.format;
  const bool sign = format == Format::parse("bipolar");
  inputs.push_back(has_input(node, 2) ? out.name_of(node.inputs[2])
                                      : out.initializer(Tensor::scalar(0), node.name + "/zero"));
  inputs.push_back(out.initializer(Tensor::scalar(format.bits()), node.name + "/bits"));
  auto& proto = out.emit(node, "Quant", inputs);
  proto.set_domain(std::string(kQonnxDomain));
  const bool narrow =
      quantize != nullptr && !sign &&
      *narrowness(format, std::get<std::vector<std::int64_t>>(quantize->attributes.at("limits")));
  const std::string mode =
      quantize == nullptr || sign
          ? "ROUND"
          : qonnx_mode(parse_rounding(std::get<std::string>(quantize->attributes.at("rounding"))));
  set_attribute(proto, "signed", std::int64_t{format.is_signed() ? 1 : 0});
  set_attribute(proto, "narrow", std::int64_t{narrow ? 1 : 0});
  set_attribute(proto, "rounding_mode", mode);
}

}  // namespace

std::optional<std::string> linear_obstacle(const Module& module, const Graph& graph,
                                           const Node& node) {
  const bool quantize = node.op->name() == "Quantize";
  const Format codes = graph.values[quantize ? node.outputs[0] : node.inputs[0]].type.format;
  const int bits = codes.bits();
  const bool known_integer =
      codes.is_integer() && codes != Format::parse("bipolar") &&
      (bits == 4 || bits == 8 || bits == 16 || (!quantize && bits == 32 && codes.is_signed()));
  // Runtimes have no QuantizeLinear to floats of 4 bits yet; FloatQuant says them.
  const bool known_float = codes.is_float() && bits == 8 && onnx_type(codes);
  if (!known_integer && !known_float) return concat("it has no ", codes.name());
  if (!quantize) {
    if (bits == 32 && has_input(node, 2)) return "it has no zero point for int32";
    return parameter_obstacle(module, graph, node, codes);
  }
  const auto text = [&](const char* key) { return std::get<std::string>(node.attributes.at(key)); };
  if (text("rescale") != "dyadic") return concat("it has no rescale ", text("rescale"));
  if (text("rounding") != "half_even") return concat("it has no rounding ", text("rounding"));
  if (auto obstacle = overflow_obstacle(codes, parse_overflow(text("overflow")))) return obstacle;
  if (known_float) return parameter_obstacle(module, graph, node, codes);
  const auto& limits = std::get<std::vector<std::int64_t>>(node.attributes.at("limits"));
  const IntegerRange range = codes.integer_range();
  if (!limits.empty() && limits != std::vector<std::int64_t>{range.min, range.max})
    return "it has no limits narrower than its type";
  return parameter_obstacle(module, graph, node, codes);
}

QuantChoice quant_choice(const Module& module, const Graph& graph, const Node& dequantize) {
  if (const Tensor* codes = constant_of(module, graph, dequantize.inputs[0]))
    return constant_choice(module, graph, dequantize, *codes);
  const Node* quantize = producer(graph, dequantize.inputs[0]);
  if (quantize == nullptr || quantize->op->name() != "Quantize")
    return refused("its codes come from no Quantize");
  return computed_choice(module, graph, *quantize, dequantize);
}

void write_quantizer(OnnxExporter& exporter, const Node& node) {
  switch (exporter.form(node)) {
    case QuantForm::kLinear: write_linear(exporter, node); return;
    case QuantForm::kQuant: write_quant(exporter, node, false); return;
    case QuantForm::kBipolar: write_quant(exporter, node, true); return;
    case QuantForm::kFloat: write_float_quant(exporter, node); return;
    case QuantForm::kPaired: return;
  }
}

}  // namespace tandem
