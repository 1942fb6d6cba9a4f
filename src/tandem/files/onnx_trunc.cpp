#include <algorithm>
#include <array>
#include <cmath>

#include "tandem/base/text.h"
#include "tandem/files/onnx_quant.h"
#include "tandem/graph/operator.h"

namespace tandem {
namespace {

struct Interval {
  double min = 0, max = 0;
};

Interval hull(Interval a, Interval b) { return {std::min(a.min, b.min), std::max(a.max, b.max)}; }

Interval product(Interval a, Interval b) {
  const std::array<double, 4> ends = {a.min * b.min, a.min * b.max, a.max * b.min, a.max * b.max};
  return {*std::min_element(ends.begin(), ends.end()), *std::max_element(ends.begin(), ends.end())};
}

std::optional<Interval> interval_of_elements(const Tensor* tensor) {
  if (tensor == nullptr || tensor->size() == 0) return std::nullopt;
  const auto values = tensor->to_reals();
  const auto [min, max] = std::minmax_element(values.begin(), values.end());
  return Interval{*min, *max};
}

// Bounds of a real value as far as the operators between quantizers tell them: how wide the
// integers are that a Trunc makes of it.
class Bounds {
 public:
  explicit Bounds(OnnxNode& node) : node_(node), graph_(node.builder().graph()) {}

  std::optional<Interval> of(ValueId value, int depth = 0) {
    constexpr int kDeepest = 32;
    if (value == kNone || depth > kDeepest) return std::nullopt;
    if (const Tensor* constant = node_.constant_of_value(value))
      return interval_of_elements(constant);
    const NodeId producer = graph_.values[value].producer;
    if (producer == kNone) return std::nullopt;
    const Node& node = graph_.nodes[producer];
    const std::string_view op = node.op->name();
    if (op == "Dequantize") return dequantized(node);
    if (node.inputs.empty()) return std::nullopt;
    const auto first = of(node.inputs[0], depth + 1);
    if (!first) return std::nullopt;
    if (op == "Relu") return Interval{std::max(first->min, 0.0), std::max(first->max, 0.0)};
    if (op == "AveragePool") return hull(*first, {0, 0});  // padding counts as zeros
    if (op == "MaxPool" || op == "GlobalMaxPool" || op == "GlobalAveragePool" ||
        op == "ReduceMean" || node.op->traits().domain == Domain::kMovement) {
      return node.inputs.size() == 1 ? first : std::nullopt;
    }
    if (op != "Mul" && op != "Add") return std::nullopt;
    const auto second = of(node.inputs[1], depth + 1);
    if (!second) return std::nullopt;
    if (op == "Mul") return product(*first, *second);
    return Interval{first->min + second->min, first->max + second->max};
  }

 private:
  std::optional<Interval> dequantized(const Node& node) {
    const IntegerRange range = graph_.values[node.inputs[0]].type.format.integer_range();
    const auto scale = interval_of_elements(node_.constant_of_value(node.inputs[1]));
    Interval codes{static_cast<double>(range.min), static_cast<double>(range.max)};
    if (node.inputs.size() > 2 && node.inputs[2] != kNone) {
      const auto zero = interval_of_elements(node_.constant_of_value(node.inputs[2]));
      if (!zero) return std::nullopt;
      codes = {codes.min - zero->max, codes.max - zero->min};
    }
    if (!scale) return std::nullopt;
    return product(codes, *scale);
  }

  OnnxNode& node_;
  const Graph& graph_;
};

// The integers that x / scale + zero can be. Unknown bounds leave 32 bits, as much as a float
// can stand for with an error below the scale in any network of use.
Format integers_of(OnnxNode& node, double scale, double zero) {
  const auto bounds = Bounds(node).of(node.value(0));
  const Format widest = Format::integer(32, true);
  if (!bounds) return widest;
  // A negative scale turns the bounds round.
  const auto [min, max] =
      std::minmax({std::round(bounds->min / scale + zero), std::round(bounds->max / scale + zero)});
  const IntegerRange limits = widest.integer_range();
  if (!(min >= static_cast<double>(limits.min)) || !(max <= static_cast<double>(limits.max)))
    return widest;
  return Format::holding({static_cast<std::int64_t>(min), static_cast<std::int64_t>(max)});
}

// The integers of `from` divided by 2^shift and rounded in any mode.
Format divided_format(const Format& from, int shift) {
  const IntegerRange range = from.integer_range();
  const std::int64_t divisor = std::int64_t{1} << shift;
  const auto outward = [&](std::int64_t end) {
    return end / divisor + (end % divisor == 0 ? 0 : end < 0 ? -1 : 1);
  };
  return Format::holding({outward(range.min), outward(range.max)});
}

}  // namespace

// Version 1: ((round(x / scale + zero) / 2^(in - out)) rounded) - zero) * scale.
// Version 2: the divisor is output_scale / scale, the result is limited to the output's bits and
// its scale and zero point are divided too.
// The first rounding restores the integers behind x and is always to nearest, ties to even.
void import_trunc(OnnxNode& node) {
  const bool second = node.opset() >= 2;
  const std::size_t inputs = second ? 6 : 5;
  if (node.input_count() != inputs) {
    OnnxNode::refuse(concat("it has ", node.input_count(), " inputs where version ", second ? 2 : 1,
                            " of Trunc has ", inputs),
                     "import the version of the domain that the node was written for");
  }
  const std::string rounding(name(qonnx_rounding(node.text("rounding_mode", "FLOOR"))));
  const double scale = node.scalar(1, "its scale");
  const double zero = node.scalar(2, "its zero point");
  const int in_bits = qonnx_bits(node, 3, "its input bit width");
  const int out_bits = qonnx_bits(node, second ? 5 : 4, "its output bit width");
  double output_scale = scale, output_zero = zero;
  int shift = in_bits - out_bits;
  if (second) {
    output_scale = node.scalar(4, "its output scale");
    const double power = std::nearbyint(std::log2(output_scale / scale));
    constexpr double kMostShift = 31;
    if (!(std::abs(power) <= kMostShift)) {
      OnnxNode::refuse(concat("output scale / scale is ", shortest(output_scale / scale)),
                       "give both a positive size of the same order");
    }
    shift = static_cast<int>(power);
    output_zero = std::ldexp(zero, -shift);
  }
  if (shift < 0) {
    OnnxNode::refuse("it would add bits", "give it an output scale and bit width that drop some");
  }
  const auto constant = [&](double value) { return node.add_constant(Tensor::scalar(value)); };
  const auto zero_value = [&](double value) { return value == 0 ? kNone : constant(value); };
  const ValueId one = constant(1);
  const Format integers = integers_of(node, scale, zero);
  const ValueId whole = node.add("Quantize", {node.value(0), constant(scale), zero_value(zero)},
                                 {{"format", integers}});
  const ValueId reals = node.add("Dequantize", {whole, one});
  QonnxCodes codes{divided_format(integers, shift), {}};
  if (second) {
    codes = qonnx_codes(out_bits, node.integer("signed", 1) != 0, node.integer("narrow", 0) != 0);
  }
  const ValueId q =
      node.add("Quantize", {reals, constant(std::ldexp(1.0, shift))},
               {{"format", codes.format}, {"limits", codes.limits}, {"rounding", rounding}});
  node.set(0, node.add("Dequantize", {q, constant(output_scale), zero_value(output_zero)}));
}

}  // namespace tandem
