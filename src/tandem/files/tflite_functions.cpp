// Functions that TensorFlow Lite Micro computes in fixed point: on codes they are integer primitives.
#include <algorithm>
#include <cmath>
#include <functional>

#include "tandem/files/tflite_import.h"
#include "tandem/files/tflite_softmax.h"
#include "tandem/numerics/fixed_point.h"

namespace tandem {
namespace {

constexpr int kInputIntegerBits = 4;  // of the arguments of logistic and tanh

// A function of one code of 8 bits: its table.
void set_table(TfliteNode& node, const std::function<std::int64_t(std::int64_t)>& code_of) {
  const Format &from = *node.input(0).format, &to = *node.output().format;
  if (from.bits() != 8 || to.bits() > 16) {
    TfliteNode::refuse(concat("its codes have ", from.bits(), " bits"),
                       "convert the model with int8 activations (8-bit codes have a table)");
  }
  const IntegerRange codes = from.integer_range(), kept = to.integer_range();
  std::vector<std::int64_t> table;
  for (std::int64_t q = codes.min; q <= codes.max; ++q)
    table.push_back(std::clamp(code_of(q), kept.min, kept.max));
  const ValueId constant = node.constant(
      Tensor::from_integers(to, {static_cast<std::int64_t>(table.size())}, table));
  node.set(node.add("Table", {node.value(0), constant}, {{"format", to}}));
}

// Logistic or tanh: the argument with 4 integer bits, the fraction rounded to `bits` bits.
void set_sigmoid_like(TfliteNode& node, std::int32_t (*function)(std::int32_t, int), int bits) {
  const TfliteTensor& x = node.input(0);
  const std::int64_t x_zero = node.zero(x), y_zero = node.zero(node.output());
  const QuantizedMultiplier multiplier =
      quantize_multiplier(node.scale(x) * std::ldexp(1.0, 31 - kInputIntegerBits));
  const std::int64_t radius = input_radius(kInputIntegerBits, multiplier.shift);
  const IntegerRange kept = node.output().format->integer_range();
  set_table(node, [&](std::int64_t q) {
    const std::int64_t centred = q - x_zero;
    if (centred <= -radius) return bits == 8 ? kept.min : -(std::int64_t{1} << bits);
    if (centred >= radius) return kept.max;
    const std::int32_t argument =
        multiply_rounding_twice(static_cast<std::int32_t>(centred), multiplier);
    const std::int32_t fraction = function(argument, kInputIntegerBits);
    return std::int64_t{rounding_divide_by_power_of_two(fraction, 31 - bits)} + y_zero;
  });
}

void logistic(TfliteNode& node) {
  if (!node.output().quantization) return node.set(node.add("Sigmoid", {node.real(0)}));
  set_sigmoid_like(node, fixed_point_logistic, 8);
}

void tanh(TfliteNode& node) {
  if (!node.output().quantization) return node.set(node.add("Tanh", {node.real(0)}));
  set_sigmoid_like(node, fixed_point_tanh, 7);
}

void softmax(TfliteNode& node) {
  const double beta = static_cast<double>(node.options<tflite::SoftmaxOptions>().beta());
  if (node.output().quantization) return node.set(softmax_of_codes(node, beta));
  ValueId x = node.real(0);
  if (beta != 1) x = node.add("Mul", {x, node.scalar(beta)});
  node.set(node.add("Softmax", {x}));
}

}  // namespace

void add_tflite_function_handlers(TfliteHandlers& handlers) {
  handlers["LOGISTIC"] = logistic;
  handlers["TANH"] = tanh;
  handlers["SOFTMAX"] = softmax;
}

}  // namespace tandem
