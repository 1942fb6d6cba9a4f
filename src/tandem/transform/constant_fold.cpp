#include "tandem/transform/constant_fold.h"

#include "tandem/base/error.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/symbolic.h"

namespace tandem {
namespace {

constexpr std::int64_t kMostOperations = std::int64_t{1} << 30;

bool is_affordable(const Module& module, const Graph& graph, const Node& node, std::int64_t most) {
  for (const ValueId output : node.outputs) {
    const TensorType& type = graph.values[output].type;
    if (!type.is_static() || element_count(type.static_shape()) > most) return false;
  }
  std::int64_t operations = 0;
  for (const OperationCount& part : node.op->work({module, graph, node}).operations) {
    if (__builtin_add_overflow(operations, part.count, &operations)) return false;
  }
  return operations <= kMostOperations;
}

}  // namespace

std::optional<std::vector<Tensor>> fold_node(const Module& module, const Graph& graph,
                                             const Node& node, std::int64_t most) {
  if (node.op->name() == "Dequantize" || node.op->name() == "Opaque" || !node.bodies.empty())
    return std::nullopt;
  std::vector<Tensor> inputs;
  for (const ValueId input : node.inputs) {
    const Tensor* constant = constant_of(module, graph, input);
    if (input != kNone && constant == nullptr) return std::nullopt;
    inputs.push_back(constant == nullptr ? Tensor() : *constant);
  }
  if (!symbols_in(node.attributes).empty()) return std::nullopt;
  if (!is_affordable(module, graph, node, most)) return std::nullopt;
  return evaluate_node(module, graph, node, inputs);
}

void fold_constants(Module& module) {
  for (Graph& graph : module.graphs) {
    for (const Node& node : graph.nodes) {
      const auto results = fold_node(module, graph, node);
      if (!results) continue;
      for (std::size_t i = 0; i < results->size(); ++i) {
        Value& value = graph.values[node.outputs[i]];
        value.constant = module.add_constant((*results)[i], value.name);
        value.producer = kNone;
      }
    }
    // A node without outputs is one that remove_unused() drops.
    for (Node& node : graph.nodes) {
      const bool folded =
          !node.outputs.empty() && graph.values[node.outputs.front()].constant != kNone;
      if (folded) node.outputs.clear();
    }
  }
  remove_unused(module);
}

}  // namespace tandem
