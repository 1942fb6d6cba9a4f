#include "tandem/transform/constant_fold.h"

#include <algorithm>

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

// What a node makes of constants.
std::optional<std::vector<Tensor>> results_of(const Module& module, const Graph& graph,
                                              const Node& node, std::int64_t most) {
  if (node.op->name() == "Opaque" || !node.bodies.empty()) return std::nullopt;
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

// What a node computes becomes constants.
void put_results(Module& module, Graph& graph, const Node& node,
                 const std::vector<Tensor>& results) {
  for (std::size_t i = 0; i < results.size(); ++i) {
    Value& value = graph.values[node.outputs[i]];
    value.constant = module.add_constant(results[i], value.name);
    value.producer = kNone;
  }
}

// A node without outputs is one that remove_unused() drops.
void drop_folded(Graph& graph) {
  for (Node& node : graph.nodes) {
    const bool folded =
        !node.outputs.empty() && graph.values[node.outputs.front()].constant != kNone;
    if (folded) node.outputs.clear();
  }
}

}  // namespace

std::optional<std::vector<Tensor>> fold_node(const Module& module, const Graph& graph,
                                             const Node& node, std::int64_t most) {
  if (node.op->name() == "Dequantize") return std::nullopt;
  return results_of(module, graph, node, most);
}

void fold_constants(Module& module) {
  for (Graph& graph : module.graphs) {
    for (const Node& node : graph.nodes) {
      const auto results = fold_node(module, graph, node);
      if (results) put_results(module, graph, node, *results);
    }
    drop_folded(graph);
  }
  remove_unused(module);
}

void fold_scales(Module& module) {
  for (Graph& graph : module.graphs) {
    std::vector<bool> wanted(graph.values.size());
    for (auto node = graph.nodes.rbegin(); node != graph.nodes.rend(); ++node) {
      const bool is_border = node->op->name() == "Quantize" || node->op->name() == "Dequantize";
      const bool is_wanted =
          std::ranges::any_of(node->outputs, [&](ValueId v) { return wanted[v]; });
      for (std::size_t i = 0; i < node->inputs.size(); ++i)
        if (node->inputs[i] != kNone && (is_wanted || (is_border && i > 0)))
          wanted[node->inputs[i]] = true;
    }
    for (const Node& node : graph.nodes) {
      const bool is_wanted =
          std::ranges::any_of(node.outputs, [&](ValueId v) { return wanted[v]; });
      if (!is_wanted) continue;
      const auto results = results_of(module, graph, node, kMostFoldedElements);
      if (results) put_results(module, graph, node, *results);
    }
    drop_folded(graph);
  }
  remove_unused(module);
}

}  // namespace tandem
