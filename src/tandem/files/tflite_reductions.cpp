// Means and weighted means of TensorFlow Lite.
#include <algorithm>
#include <bit>
#include <cmath>

#include "tandem/files/tflite_import.h"
#include "tandem/numerics/fixed_point.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// The reduced axes, ascending and each once.
Integers axes_of(TfliteNode& node) {
  const auto rank = static_cast<std::int64_t>(node.input(0).shape.size());
  Integers axes = node.integers(1, "the axes");
  for (std::int64_t& axis : axes) {
    if (axis < -rank || axis >= rank)
      TfliteNode::refuse(concat("its axis ", axis, " is none of ", rank),
                         "convert the model again");
    if (axis < 0) axis += rank;
  }
  std::ranges::sort(axes);
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  if (axes.empty()) TfliteNode::refuse("it reduces no axis", "convert the model again");
  return axes;
}

// The kernel divides the multiplier, rounding down, and so leaves it below 2^30: in the terms of a
// rescaling it shifts the sum to the right before it multiplies.
struct MeanMultiplier {
  double ratio = 0;
  int left_shift = 0;
};

MeanMultiplier mean_multiplier(double ratio, std::int64_t count) {
  const QuantizedMultiplier whole = quantize_multiplier(ratio);
  int shift = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(count))) - 1;
  shift = std::min({shift, 32, 31 + whole.shift});
  if (shift < 0) TfliteNode::refuse("its scale ratio is too small", "convert the model again");
  const std::int64_t multiplier = (std::int64_t{whole.multiplier} << shift) / count;
  const int missing = 31 - static_cast<int>(std::bit_width(static_cast<std::uint64_t>(multiplier)));
  return {std::ldexp(static_cast<double>(multiplier), whole.shift - shift - 31), -missing};
}

void mean(TfliteNode& node) {
  const Integers axes = axes_of(node);
  const TfliteTensor& x = node.input(0);
  if (!node.output().quantization) {
    const ValueId y =
        node.add("ReduceMean", {node.real(0)}, {{"axes", axes}, {"keepdims", std::int64_t{1}}});
    return node.set(node.reshaped(y, node.output().shape));
  }
  std::int64_t count = 1;
  for (const std::int64_t axis : axes) count *= x.shape[static_cast<std::size_t>(axis)];
  const double y_scale = node.scale(node.output());
  const MeanMultiplier multiplier = mean_multiplier(node.scale(x) / y_scale, count);
  const ValueId sum = node.reshaped(node.add_integer("IntSum", {node.value(0)}, {{"axes", axes}}),
                                    node.output().shape);
  const auto zero = static_cast<double>(node.zero(x) * count);
  const ValueId real = node.add(
      "Dequantize",
      {sum, node.constant(Tensor::scalar(multiplier.ratio * y_scale, f64())), node.scalar(zero)});
  node.set_real(real, {.left_shift = multiplier.left_shift});
}

void reduce_max(TfliteNode& node) {
  node.require_same_quantization(0);
  const Integers axes = axes_of(node);
  const ValueId y =
      node.is_quantized(0)
          ? node.add("IntReduceMax", {node.value(0)},
                     {{"axes", axes}, {"format", *node.output().format}})
          : node.add("ReduceMax", {node.real(0)}, {{"axes", axes}, {"keepdims", std::int64_t{1}}});
  node.set(node.reshaped(y, node.output().shape));
}

// ---- Resizing ----------------------------------------------------------------------------------

constexpr int kWeightBits = 10;  // fraction bits of the kernel's weights of codes

// Between which two positions each result lies, and how near to the second in 1 / 2^kWeightBits.
// [from, to]
std::vector<std::int64_t> code_weights(std::int64_t from, std::int64_t to, bool align, bool half) {
  constexpr std::int64_t kOne = std::int64_t{1} << kWeightBits;
  const std::int64_t step =
      align && to > 1 ? (kOne * (from - 1) + (to - 1) / 2) / (to - 1) : (kOne * from + to / 2) / to;
  std::vector<std::int64_t> weights(static_cast<std::size_t>(from * to));
  for (std::int64_t i = 0; i < to; ++i) {
    const std::int64_t at = half ? i * step + step / 2 - kOne / 2 : i * step;
    const std::int64_t first = std::max<std::int64_t>(at / kOne, 0);
    const std::int64_t second = std::min((at + kOne - 1) / kOne, from - 1);
    const std::int64_t share = at - kOne * first;
    weights[static_cast<std::size_t>(std::min(first, from - 1) * to + i)] += kOne - share;
    weights[static_cast<std::size_t>(std::max<std::int64_t>(second, 0) * to + i)] += share;
  }
  return weights;
}

std::vector<double> real_weights(std::int64_t from, std::int64_t to, bool align, bool half) {
  const float step = align && to > 1 ? static_cast<float>(from - 1) / static_cast<float>(to - 1)
                                     : static_cast<float>(from) / static_cast<float>(to);
  std::vector<double> weights(static_cast<std::size_t>(from * to));
  for (std::int64_t i = 0; i < to; ++i) {
    const auto position = static_cast<float>(i);
    const float at = half ? (position + 0.5F) * step - 0.5F : position * step;
    const float floor = std::max(std::floor(at), 0.0F);
    const auto first = std::min(static_cast<std::int64_t>(floor), from - 1);
    const auto second =
        std::clamp<std::int64_t>(static_cast<std::int64_t>(std::ceil(at)), 0, from - 1);
    const auto share = static_cast<double>(at - floor);
    weights[static_cast<std::size_t>(first * to + i)] += 1 - share;
    weights[static_cast<std::size_t>(second * to + i)] += share;
  }
  return weights;
}

// x [N,H,W,C] with the extent of `axis` changed by a product with the weights.
ValueId resized(TfliteNode& node, ValueId x, std::size_t axis, std::int64_t to, bool align,
                bool half) {
  const std::int64_t from = node.input(0).shape[axis];
  ValueId weights = kNone;
  if (node.output().quantization) {
    const Tensor codes = Tensor::from_integers(Format::integer(kWeightBits + 2, true), {from, to},
                                               code_weights(from, to, align, half));
    weights =
        node.add("Dequantize", {node.constant(codes), node.scalar(std::ldexp(1.0, -kWeightBits))});
  } else {
    weights = node.constant(
        Tensor::from_reals(Format(), {from, to}, real_weights(from, to, align, half)));
  }
  const Integers perm = axis == 1 ? Integers{0, 2, 3, 1} : Integers{0, 1, 3, 2};
  const Integers back = axis == 1 ? Integers{0, 3, 1, 2} : Integers{0, 1, 3, 2};
  const ValueId last = node.add("Transpose", {x}, {{"perm", perm}});
  return node.add("Transpose", {node.add("MatMul", {last, weights})}, {{"perm", back}});
}

void resize_bilinear(TfliteNode& node) {
  node.require_same_quantization(0);
  const auto* options = node.optional_options<tflite::ResizeBilinearOptions>();
  const bool align = options != nullptr && options->align_corners(),
             half = options != nullptr && options->half_pixel_centers();
  const Integers size = node.integers(1, "the size");
  if (node.is_quantized(0) && node.input(0).format->bits() != 8)
    TfliteNode::refuse("its codes have not 8 bits", "convert the model with int8 activations");
  const Shape& shape = node.input(0).shape;
  constexpr std::int64_t kMostWeights = std::int64_t{1} << 20;  // of one axis
  const auto fits = [&](std::size_t d) {
    return size[d] >= 1 && size[d] <= kMostWeights && shape[d + 1] <= kMostWeights / size[d];
  };
  if (size.size() != 2 || shape.size() != 4 || !fits(0) || !fits(1)) {
    TfliteNode::refuse("its size is not [height,width], or too large",
                       "resize in more than one step");
  }
  ValueId y = resized(node, node.real(0), 1, size[0], align, half);
  y = resized(node, y, 2, size[1], align, half);
  node.set_rounded(y, tflite::Activation::NONE);
}

}  // namespace

void add_tflite_reduction_handlers(TfliteHandlers& handlers) {
  handlers["MEAN"] = mean;
  handlers["REDUCE_MAX"] = reduce_max;
  handlers["RESIZE_BILINEAR"] = resize_bilinear;
}

}  // namespace tandem
