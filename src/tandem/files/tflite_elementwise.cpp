// Arithmetic between tensors and the quantizers of TensorFlow Lite.
#include <algorithm>
#include <cmath>

#include "tandem/files/tflite_import.h"

namespace tandem {
namespace {

// ---- Sums --------------------------------------------------------------------------------------

// How the kernels of sums bring their operands into one unit: codes shifted to the left, so that
// the rescaling to the greater of both scales loses little.
struct CommonUnit {
  int left_shift;
  Format format;  // of the operands in the unit
  double unit;
};

CommonUnit common_unit(TfliteNode& node) {
  const TfliteTensor &a = node.input(0), &b = node.input(1);
  const double twice_most = 2 * std::max(node.scale(a), node.scale(b));
  const bool wide = a.format->bits() == 16;
  const int shift = wide ? 15 : 20;
  // Half of the greatest distance from the zero point, shifted.
  const Format format = Format::integer(wide ? 31 : 28, true);
  return {shift, format, std::ldexp(twice_most, -shift)};
}

ValueId in_common_unit(TfliteNode& node, std::size_t input, const CommonUnit& common) {
  const ValueId codes =
      node.add("Quantize", {node.real(input), node.scalar(common.unit), node.scalar(0)},
               {{"format", common.format},
                {"rounding", std::string(name(Rounding::kHalfAwayFromZero))},
                {"zero_added", std::string("after_rounding")},
                {"rescale", std::string(name(Rescaling::kDoubleRounding))},
                {"left_shift", std::int64_t{common.left_shift}}});
  return node.add("Dequantize", {codes, node.scalar(common.unit)});
}

void sum(TfliteNode& node, std::string_view op, tflite::Activation activation) {
  std::vector<ValueId> operands = {node.real(0), node.real(1)};
  if (node.output().quantization) {
    const CommonUnit common = common_unit(node);
    operands = {in_common_unit(node, 0, common), in_common_unit(node, 1, common)};
  }
  node.set_real(node.add(op, operands), {.activation = activation});
}

void add(TfliteNode& node) { sum(node, "Add", node.options<tflite::AddOptions>().activation()); }

void sub(TfliteNode& node) { sum(node, "Sub", node.options<tflite::SubOptions>().activation()); }

// ---- Products ----------------------------------------------------------------------------------

// The distance of codes from their zero point.
ValueId centred_codes(TfliteNode& node, std::size_t input) {
  const std::int64_t zero = node.zero(node.input(input));
  if (zero == 0) return node.value(input);
  const ValueId constant = integer_constant(node.builder(), {1}, {zero}, node.name() + ".zero");
  return node.add_integer("IntSub", {node.value(input), constant});
}

void mul(TfliteNode& node) {
  const tflite::Activation activation = node.options<tflite::MulOptions>().activation();
  if (!node.output().quantization)
    return node.set_real(node.add("Mul", {node.real(0), node.real(1)}), {.activation = activation});
  // As integers, since a constant operand would otherwise become part of the scale.
  const ValueId product =
      node.add_integer("IntMul", {centred_codes(node, 0), centred_codes(node, 1)});
  const double unit = node.scale(node.input(0)) * node.scale(node.input(1));
  const ValueId scale = node.constant(Tensor::scalar(unit, f64()));
  node.set_real(node.add("Dequantize", {product, scale}), {.activation = activation});
}

// ---- Limits ------------------------------------------------------------------------------------

// The kernel of codes rescales.
void relu(TfliteNode& node) {
  node.set_real(node.real(0), {.activation = tflite::Activation::RELU});
}

// The kernels of codes only limit.
void limit(TfliteNode& node, tflite::Activation activation) {
  node.require_same_quantization(0);
  node.set_real(node.real(0), {.activation = activation});
}

void relu6(TfliteNode& node) { limit(node, tflite::Activation::RELU6); }

void relu_n1_to_1(TfliteNode& node) { limit(node, tflite::Activation::RELU_N1_TO_1); }

// Greater or less of two tensors, which are quantized alike.
void extremum(TfliteNode& node) {
  const bool greater = node.op() == "MAXIMUM";
  if (!node.output().quantization)
    return node.set(node.add(greater ? "Max" : "Min", {node.real(0), node.real(1)}));
  node.require_same_quantization(0);
  node.require_same_quantization(1);
  node.set(node.add(greater ? "IntMax" : "IntMin", {node.value(0), node.value(1)},
                    {{"format", *node.output().format}}));
}

// ---- Quantizers --------------------------------------------------------------------------------

void quantize(TfliteNode& node) {
  if (!node.output().quantization)
    TfliteNode::refuse("its result has no scale", "convert the model again");
  if (node.is_quantized(0)) return node.set_real(node.real(0), {});
  node.set_nearest(node.real(0));
}

void dequantize(TfliteNode& node) { node.set(node.real(0)); }

// The elements of a sparse constant, which are spread where it is read.
void densify(TfliteNode& node) {
  node.require_same_quantization(0);
  node.set(node.value(0));
}

}  // namespace

void add_tflite_elementwise_handlers(TfliteHandlers& handlers) {
  handlers["ADD"] = add;
  handlers["SUB"] = sub;
  handlers["MUL"] = mul;
  handlers["RELU"] = relu;
  handlers["RELU6"] = relu6;
  handlers["RELU_N1_TO_1"] = relu_n1_to_1;
  handlers["MAXIMUM"] = handlers["MINIMUM"] = extremum;
  handlers["QUANTIZE"] = quantize;
  handlers["DEQUANTIZE"] = dequantize;
  handlers["DENSIFY"] = densify;
}

}  // namespace tandem
