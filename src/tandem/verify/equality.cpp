#include "tandem/verify/equality.h"

#include <algorithm>
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/verify/samples.h"

namespace tandem {
namespace {

// Differences of integers are exact; equal reals include equal NaNs.
double difference(const Tensor& a, const Tensor& b, std::int64_t index) {
  if (!a.format().is_uniform()) {
    const double x = a.real(index), y = b.real(index);
    if (x == y || (std::isnan(x) && std::isnan(y))) return 0;
    return std::isfinite(x) && std::isfinite(y) ? std::abs(x - y) : HUGE_VAL;
  }
  const Int128 gap = Int128{a.integer(index)} - b.integer(index);
  return static_cast<double>(gap < 0 ? -gap : gap);
}

std::string describe_first_difference(const Graph& graph, ValueId value, const Tensor& a,
                                      const Tensor& b) {
  const Node& node = graph.nodes[graph.values[value].producer];
  for (std::int64_t i = 0; i < a.size(); ++i)
    if (difference(a, b, i) != 0)
      return concat(node.op->name(), " '", node.name, "', element ", i, " of ",
                    to_string(graph.values[value].type.static_shape()), ": ", a.integer(i), " and ",
                    b.integer(i));
  return "";
}

}  // namespace

Equality compare_samples(std::span<const Tensor> a, std::span<const Tensor> b) {
  ensure(a.size() == b.size(), "outputs of two executions differ in number");
  Equality result;
  for (std::size_t output = 0; output < a.size(); ++output) {
    ensure(a[output].format() == b[output].format() && a[output].shape() == b[output].shape(),
           "outputs of two executions differ in type");
    const std::int64_t samples = a[output].shape().at(0);
    const std::int64_t size = samples == 0 ? 0 : a[output].size() / samples;
    result.compared_values += a[output].size();
    if (a[output] == b[output]) continue;
    for (std::int64_t i = 0; i < a[output].size(); ++i) {
      const double gap = difference(a[output], b[output], i);
      if (gap == 0) continue;
      ++result.differing_values;
      result.max_difference = std::max(result.max_difference, gap);
      if (result.sample >= 0 && result.sample <= i / size) continue;
      result.sample = i / size;
      result.output = static_cast<std::int64_t>(output);
      result.index = i % size;
    }
  }
  return result;
}

Equality compare_executions(const Module& module, Execution& a, const Samples& outputs_a,
                            Execution& b, const Samples& outputs_b,
                            std::span<const Tensor> inputs) {
  Equality result = compare_samples(outputs_a, outputs_b);
  if (result.differing_values == 0) return result;
  const Samples sample = samples_until(module, inputs, result.sample);
  const std::map<ValueId, Tensor> seen_a = a.trace(sample), seen_b = b.trace(sample);
  const Graph& graph = module.main();
  for (const Node& node : graph.nodes)
    for (const ValueId value : node.outputs) {
      const auto in_a = seen_a.find(value), in_b = seen_b.find(value);
      if (in_a == seen_a.end() || in_b == seen_b.end() || in_a->second == in_b->second) continue;
      result.first_layer = describe_first_difference(graph, value, in_a->second, in_b->second);
      return result;
    }
  return result;
}

std::string to_string(const Equality& equality, const std::string& a, const std::string& b) {
  if (equality.differing_values == 0)
    return concat(a, " = ", b, ": ", equality.compared_values, " values, 0 differ");
  std::string text =
      concat(a, " != ", b, ": ", equality.differing_values, " of ", equality.compared_values,
             " values differ, by up to ", equality.max_difference, "; first in sample ",
             equality.sample, ", output ", equality.output, ", element ", equality.index);
  if (!equality.first_layer.empty())
    text += concat("; first layer that differs: ", equality.first_layer);
  return text;
}

}  // namespace tandem
