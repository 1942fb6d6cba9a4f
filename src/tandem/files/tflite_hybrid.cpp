#include "tandem/files/tflite_hybrid.h"

#include <numeric>

namespace tandem {
namespace {

// Keeps quotients finite where all elements are zero.
constexpr double kLeastRange = 1e-30;

Attributes over_each_sample(std::size_t rank) {
  std::vector<std::int64_t> axes(rank - 1);
  std::iota(axes.begin(), axes.end(), std::int64_t{1});
  return {{"axes", axes}, {"keepdims", std::int64_t{1}}};
}

// The kernels multiply by the reciprocal of the scale, in f32.
ValueId coded(TfliteNode& node, ValueId x, ValueId range, double steps, ValueId zero) {
  const ValueId reciprocal = node.add("Div", {node.scalar(steps), range});
  const ValueId scale = node.add("Div", {range, node.scalar(steps)});
  Attributes attributes = {{"format", Format::integer(8, true)},
                           {"rounding", std::string(tandem::name(Rounding::kHalfAwayFromZero))}};
  const ValueId codes = node.add(
      "Quantize", {node.add("Mul", {x, reciprocal}), node.scalar(1), zero}, std::move(attributes));
  return node.add("Dequantize", {codes, scale, zero});
}

}  // namespace

ValueId dynamically_coded(TfliteNode& node, ValueId x, bool asymmetric) {
  const std::size_t rank = node.builder().type(x).shape.size();
  if (rank < 2) TfliteNode::refuse("its input has no samples", "give it [N,...]");
  const Attributes axes = over_each_sample(rank);
  const ValueId least_range = node.scalar(kLeastRange);
  if (!asymmetric) {
    const ValueId most = node.add("ReduceMax", {node.add("Abs", {x})}, axes);
    return coded(node, x, node.add("Max", {most, least_range}), 127, kNone);
  }
  const ValueId low = node.add("Min", {node.add("ReduceMin", {x}, axes), node.scalar(0)});
  const ValueId high = node.add("Max", {node.add("ReduceMax", {x}, axes), node.scalar(0)});
  const ValueId range = node.add("Max", {node.add("Sub", {high, low}), least_range});
  const ValueId below = node.add("Div", {node.add("Mul", {low, node.scalar(255)}), range});
  const ValueId zero = node.add("Round", {node.add("Sub", {node.scalar(-128), below})});
  return coded(node, x, range, 255, zero);
}

}  // namespace tandem
