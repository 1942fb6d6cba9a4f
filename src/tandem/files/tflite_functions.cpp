// Functions that TensorFlow Lite Micro computes in fixed point: on codes they are integer
// primitives.
#include <algorithm>
#include <cmath>
#include <functional>

#include "tandem/files/tflite_import.h"
#include "tandem/files/tflite_softmax.h"
#include "tandem/files/tflite_wide.h"
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
  const ValueId constant =
      node.constant(Tensor::from_integers(to, {static_cast<std::int64_t>(table.size())}, table));
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

bool is_wide(const TfliteNode& node) { return node.input(0).format->bits() == 16; }

void logistic(TfliteNode& node) {
  if (!node.output().quantization) return node.set(node.add("Sigmoid", {node.real(0)}));
  if (is_wide(node)) return set_wide_logistic(node);
  set_sigmoid_like(node, fixed_point_logistic, 8);
}

void tanh(TfliteNode& node) {
  if (!node.output().quantization) return node.set(node.add("Tanh", {node.real(0)}));
  if (is_wide(node)) return set_wide_tanh(node);
  set_sigmoid_like(node, fixed_point_tanh, 7);
}

// ---- Piecewise linear --------------------------------------------------------------------------

std::int32_t centred(std::int64_t q, std::int64_t zero) {
  return static_cast<std::int32_t>(q - zero);
}

// The kernel computes its multipliers in f32.
void leaky_relu(TfliteNode& node) {
  const float alpha = node.options<tflite::LeakyReluOptions>().alpha();
  if (!node.output().quantization) {
    return node.set(node.add("LeakyRelu", {node.real(0)}, {{"alpha", static_cast<double>(alpha)}}));
  }
  if (!(alpha >= 0)) TfliteNode::refuse(concat("its slope is ", alpha), "give it a positive slope");
  const TfliteTensor &x = node.input(0), &y = node.output();
  const auto x_scale = static_cast<float>(node.scale(x)),
             y_scale = static_cast<float>(node.scale(y));
  const auto above_zero = static_cast<double>(x_scale / y_scale),
             below_zero = static_cast<double>(x_scale * alpha / y_scale);
  if (is_wide(node)) return set_wide_leaky_relu(node, above_zero, below_zero);
  const auto above = quantize_multiplier(above_zero), below = quantize_multiplier(below_zero);
  const std::int64_t x_zero = node.zero(x), y_zero = node.zero(y);
  set_table(node, [&](std::int64_t q) {
    return multiply_rounding_twice(centred(q, x_zero), q >= x_zero ? above : below) + y_zero;
  });
}

// Slopes below zero for each channel, [1,1,C].
void prelu(TfliteNode& node) {
  const TfliteTensor &x = node.input(0), &y = node.output();
  const Tensor slopes = node.constant(1, "the slopes");
  if (!y.quantization)
    return node.set(node.add("PRelu", {node.real(0), node.constant(slopes.converted(Format()))}));
  const TfliteTensor& alpha = node.input(1);
  const auto above = quantize_multiplier(node.scale(x) / node.scale(y));
  const auto below = quantize_multiplier(node.scale(x) * node.scale(alpha) / node.scale(y));
  const std::int64_t x_zero = node.zero(x), y_zero = node.zero(y), a_zero = node.zero(alpha);
  if (x.format->bits() != 8 || alpha.format->bits() != 8)
    TfliteNode::refuse("its codes have not 8 bits", "convert the model with int8 activations");
  const IntegerRange codes = x.format->integer_range();
  std::vector<std::int64_t> table;
  for (const std::int64_t slope : slopes.to_integers()) {
    for (std::int64_t q = codes.min; q <= codes.max; ++q) {
      const std::int32_t above_zero = centred(q, x_zero);
      const std::int64_t code =
          above_zero >= 0 ? multiply_rounding_twice(above_zero, above)
                          : multiply_rounding_twice(above_zero * centred(slope, a_zero), below);
      table.push_back(std::clamp(code + y_zero, codes.min, codes.max));
    }
  }
  Shape shape = slopes.shape();
  shape.push_back(codes.max - codes.min + 1);
  const ValueId constant = node.constant(Tensor::from_integers(*y.format, shape, table));
  node.set(node.add("Table", {node.value(0), constant}, {{"format", *y.format}}));
}

// ---- x * relu6(x + 3) / 6 ----------------------------------------------------------------------

// A multiplier of 15 bits, as the kernel of hard-swish takes it.
struct ShortMultiplier {
  std::int16_t multiplier;
  int shift;

  explicit ShortMultiplier(double value) {
    const QuantizedMultiplier wide = quantize_multiplier(value);
    multiplier = static_cast<std::int16_t>(
        std::min((std::int64_t{wide.multiplier} + (1 << 15)) >> 16, std::int64_t{32767}));
    shift = wide.shift;
  }
};

std::int64_t saturated16(std::int64_t value) {
  return std::clamp<std::int64_t>(value, -32768, 32767);
}

// round(a * b / 2^15), ties up.
std::int64_t rounding_high_product(std::int64_t a, std::int64_t b) {
  return saturated16((a * b + (1 << 14)) >> 15);
}

void hard_swish(TfliteNode& node) {
  if (!node.output().quantization) return node.set(node.add("HardSwish", {node.real(0)}));
  const TfliteTensor &x = node.input(0), &y = node.output();
  const auto x_scale = static_cast<float>(node.scale(x)),
             y_scale = static_cast<float>(node.scale(y));
  const float fine = x_scale * (1.0F / 128);  // of the codes shifted by 7 bits
  const ShortMultiplier result(static_cast<double>(fine / y_scale));
  const ShortMultiplier gate(static_cast<double>(fine / (3.0F / 32768)));
  if (result.shift > 0)
    TfliteNode::refuse("its result has a finer scale than its input by 128", "requantize it");
  const std::int64_t x_zero = node.zero(x), y_zero = node.zero(y);
  set_table(node, [&](std::int64_t q) {
    const std::int64_t shifted = (q - x_zero) * 128;
    const std::int64_t scaled = rounding_high_product(shifted, result.multiplier);
    // (x + 3) / 6 as a fraction of 15 bits, saturated on both sides.
    std::int64_t share = shifted;
    if (gate.shift > 0) share = saturated16(share << (gate.shift - 1));
    share = rounding_high_product(share, gate.multiplier);
    if (gate.shift > 0) share = saturated16(share * 2);
    if (gate.shift < 0)
      share = rounding_divide_by_power_of_two(static_cast<std::int32_t>(share), -gate.shift);
    share = (share + (1 << 15)) >> 1;
    const std::int64_t product = saturated16(share * scaled / (1 << 15));
    return rounding_divide_by_power_of_two(static_cast<std::int32_t>(product), -result.shift) +
           y_zero;
  });
}

void softmax(TfliteNode& node) {
  const double beta = static_cast<double>(node.options<tflite::SoftmaxOptions>().beta());
  if (node.output().quantization) {
    return is_wide(node) ? set_wide_softmax(node, beta) : node.set(softmax_of_codes(node, beta));
  }
  ValueId x = node.real(0);
  if (beta != 1) x = node.add("Mul", {x, node.scalar(beta)});
  node.set(node.add("Softmax", {x}));
}

}  // namespace

void add_tflite_function_handlers(TfliteHandlers& handlers) {
  handlers["LOGISTIC"] = logistic;
  handlers["TANH"] = tanh;
  handlers["LEAKY_RELU"] = leaky_relu;
  handlers["PRELU"] = prelu;
  handlers["HARD_SWISH"] = hard_swish;
  handlers["SOFTMAX"] = softmax;
}

}  // namespace tandem
