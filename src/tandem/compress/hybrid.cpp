#include "tandem/compress/hybrid.h"

#include <algorithm>

#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"

namespace tandem {
namespace {

// The node of such an operator that computes a value, or nullptr.
const Node* producer(const Graph& graph, ValueId value, std::string_view op) {
  if (value == kNone || graph.values[value].producer == kNone) return nullptr;
  const Node& node = graph.nodes[graph.values[value].producer];
  return node.op->name() == op ? &node : nullptr;
}

// What a Dequantize of dynamic codes approximates, or kNone.
ValueId coded_sample_by_sample(const Graph& graph, const Node& dequantize) {
  const Node* scale = producer(graph, dequantize.inputs[1], "Div");
  const Node* quantize = producer(graph, dequantize.inputs[0], "Quantize");
  if (scale == nullptr || quantize == nullptr) return kNone;
  const Node* product = producer(graph, quantize->inputs[0], "Mul");
  if (product == nullptr) return kNone;
  const Node* reciprocal = producer(graph, product->inputs[1], "Div");
  const bool inverse = reciprocal != nullptr && reciprocal->inputs[1] == scale->inputs[0];
  return inverse ? product->inputs[0] : kNone;
}

// Outputs keep their producers.
void replace(Graph& graph, ValueId old, ValueId with) {
  for (Node& node : graph.nodes) std::ranges::replace(node.inputs, old, with);
}

void make_real(Module& network, Graph& graph) {
  for (NodeId id = 0; id < graph.nodes.size(); ++id) {
    const Node node = graph.nodes[id];
    if (node.op->name() != "Dequantize") continue;
    const ValueId result = node.outputs[0];
    std::vector<Tensor> arguments;
    for (const ValueId input : node.inputs) {
      const Tensor* constant = input == kNone ? nullptr : constant_of(network, graph, input);
      if (constant != nullptr) arguments.push_back(*constant);
    }
    if (arguments.size() == node.inputs.size()) {
      const Tensor reals = evaluate_node(network, graph, node, arguments).front();
      Value value = graph.values[result];
      value.producer = kNone;
      value.constant = network.add_constant(reals, value.name);
      value.name += ".reals";
      graph.values.push_back(value);
      replace(graph, result, graph.values.size() - 1);
    } else if (const ValueId x = coded_sample_by_sample(graph, node); x != kNone) {
      replace(graph, result, x);
    }
  }
}

}  // namespace

void make_real(Module& network) {
  for (Graph& graph : network.graphs) make_real(network, graph);
  remove_unused(network);
}

}  // namespace tandem
