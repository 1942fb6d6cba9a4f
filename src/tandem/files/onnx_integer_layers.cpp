// Operators over quantized numbers, before QuantizeLinear and DequantizeLinear took their place.
#include "tandem/files/onnx_contrib.h"
#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_quant.h"
#include "tandem/files/onnx_window.h"
#include "tandem/ops/quantize.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

const Format& wide_format() {
  static const Format kFormat = Format::parse("f64");
  return kFormat;
}

// ---- Real arithmetic between a Dequantize and a Quantize ------------------------------------

// Codes less their zero point; the scales come after the product, as ONNX has it.
ValueId centred(OnnxNode& node, std::size_t input, std::int64_t axis) {
  const std::size_t rank = node.type(input).shape.size();
  const ValueId zero = along_axis(node, zero_parameter(node, input + 2), axis, rank);
  const Shape shape = zero == kNone ? Shape{} : node.type_of_value(zero).static_shape();
  const std::vector<double> ones(static_cast<std::size_t>(element_count(shape)), 1.0);
  const ValueId scale = node.add_constant(Tensor::from_reals(Format(), shape, ones));
  return node.add("Dequantize", {node.value(input), scale, zero});
}

// The scale of one operand, laid along an axis of the product.
ValueId scale_of(OnnxNode& node, std::size_t input, std::int64_t axis, ValueId product) {
  return along_axis(node, real_parameter(node, input), axis,
                    node.type_of_value(product).shape.size());
}

// Codes of the product times the scales of its operands over its own.
ValueId requantized(OnnxNode& node, ValueId product, ValueId scale_a, ValueId scale_b) {
  const Format format = node.type(7).format;
  const ValueId scale = along_axis(node, real_parameter(node, 6), 0, 1);
  const ValueId zero = along_axis(node, zero_parameter(node, 7), 0, 1);
  if (!node.type_of_value(scale).shape.empty() ||
      (zero != kNone && !node.type_of_value(zero).shape.empty()))
    OnnxNode::refuse("the scale or zero point of its result is no scalar", "quantize per tensor");
  const ValueId factor = node.add("Div", {node.add("Mul", {scale_a, scale_b}), scale});
  Attributes attributes = {{"format", format}};
  if (zero != kNone) attributes["zero_added"] = std::string("after_rounding");
  return node.add("Quantize",
                  {node.add("Mul", {product, factor}), node.add_constant(Tensor::scalar(1)), zero},
                  std::move(attributes));
}

void qlinear_conv(OnnxNode& node) {
  if (element_count(node.type(1).static_shape()) != 1)
    OnnxNode::refuse("the scale of its input is no scalar", "quantize its input per tensor");
  Attributes attributes = window_attributes(node, weights_kernel(node, 3));
  attributes["group"] = node.integer("group", 1);
  ValueId bias = kNone;
  if (node.has(8))
    bias = node.add("Dequantize", {node.value(8), node.add_constant(Tensor::scalar(1))});
  const ValueId sums =
      node.add("Conv", {centred(node, 0, 1), centred(node, 3, 0), bias}, std::move(attributes));
  node.set(0, requantized(node, sums, scale_of(node, 1, 0, sums), scale_of(node, 4, 1, sums)));
}

// One number for each row of a and each column of b, or one for all.
void qlinear_matmul(OnnxNode& node) {
  const ValueId sums = node.add("MatMul", {centred(node, 0, -2), centred(node, 3, -1)});
  node.set(0, requantized(node, sums, scale_of(node, 1, -2, sums), scale_of(node, 4, -1, sums)));
}

// ---- Exact integers -------------------------------------------------------------------------

// Codes less their zero point, as f64, which holds every sum that 32 bits hold.
ValueId difference(OnnxNode& node, std::size_t input, std::size_t zero, std::int64_t axis) {
  const Attributes to = {{"to", wide_format()}};
  const ValueId x = node.add("Cast", {node.value(input)}, to);
  if (!node.has(zero)) return x;
  const std::size_t rank = node.type(input).shape.size();
  const ValueId placed = along_axis(node, node.value(zero), axis, rank);
  return node.add("Sub", {x, node.add("Cast", {placed}, to)});
}

void check_depth(std::int64_t depth) {
  constexpr std::int64_t kMostDepth = (std::int64_t{1} << 31) / (255 * 255);
  if (depth > kMostDepth)
    OnnxNode::refuse(concat("its sums of ", depth, " products may exceed 32 bits"),
                     "use real arithmetic, or split the sum");
}

ValueId as_int32(OnnxNode& node, ValueId x) {
  return node.add("Cast", {x}, {{"to", Format::integer(32, true)}});
}

void matmul_integer(OnnxNode& node) {
  if (node.type(0).shape.empty()) OnnxNode::refuse("its input has no axis", "give it matrices");
  check_depth(node.type(0).shape.back().constant());
  const ValueId a = difference(node, 0, 2, -2), b = difference(node, 1, 3, -1);
  node.set(0, as_int32(node, node.add("MatMul", {a, b})));
}

// Its zero padding stands for the zero point.
void conv_integer(OnnxNode& node) {
  const Integers kernel = weights_kernel(node, 1);
  Attributes attributes = window_attributes(node, kernel);
  attributes["group"] = node.integer("group", 1);
  std::int64_t depth = node.type(1).shape[1].constant();
  for (const std::int64_t extent : kernel) depth *= extent;
  check_depth(depth);
  const ValueId x = difference(node, 0, 2, 1), w = difference(node, 1, 3, 0);
  node.set(0, as_int32(node, node.add("Conv", {x, w}, std::move(attributes))));
}

void dynamic_quantize_linear(OnnxNode& node) {
  const auto [codes, scale, zero] = quantized_dynamically(node, node.value(0));
  node.set(0, codes);
  node.set(1, scale);
  node.set(2, node.add("Cast", {zero}, {{"to", Format::parse("uint8")}}));
}

}  // namespace

// A range of one point has the scale 1.
DynamicCodes quantized_dynamically(OnnxNode& node, ValueId x) {
  const auto number = [&](double value) { return node.add_constant(Tensor::scalar(value)); };
  const Attributes all = {{"keepdims", std::int64_t{0}}};
  const ValueId high = node.add("Max", {node.add("ReduceMax", {x}, all), number(0)});
  const ValueId low = node.add("Min", {node.add("ReduceMin", {x}, all), number(0)});
  const ValueId spread = node.add("Sub", {high, low});
  const ValueId step = node.add("Div", {spread, number(255)});
  const ValueId is_point = node.add("Equal", {spread, number(0)});
  const ValueId scale = node.add("Where", {is_point, number(1), step});
  const ValueId place = node.add("Div", {node.add("Neg", {low}), scale});
  const ValueId zero = node.add("Round", {node.add("Clip", {place, number(0), number(255)})});
  const ValueId codes =
      node.add("Quantize", {x, scale, zero},
               {{"format", Format::parse("uint8")}, {"zero_added", std::string("after_rounding")}});
  return {codes, scale, zero};
}

void add_integer_layer_handlers(OnnxHandlers& handlers) {
  handlers["QLinearConv"] = qlinear_conv;
  handlers["QLinearMatMul"] = qlinear_matmul;
  handlers["MatMulInteger"] = matmul_integer;
  handlers["ConvInteger"] = conv_integer;
  handlers["DynamicQuantizeLinear"] = dynamic_quantize_linear;
}

}  // namespace tandem
