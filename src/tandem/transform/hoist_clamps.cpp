#include "tandem/transform/hoist_clamps.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "tandem/graph/operator.h"

namespace tandem {
namespace {

bool is_pool(const Node& node) {
  return node.op->name() == "MaxPool" || node.op->name() == "GlobalMaxPool";
}

bool is_constant_clamp(const Module& module, const Graph& graph, const Node& node) {
  if (node.op->name() != "Relu" && node.op->name() != "Clip") return false;
  return std::all_of(node.inputs.begin() + 1, node.inputs.end(), [&](ValueId v) {
    return v == kNone || constant_of(module, graph, v) != nullptr;
  });
}

bool is_output(const Graph& graph, ValueId value) {
  return std::find(graph.outputs.begin(), graph.outputs.end(), value) != graph.outputs.end();
}

bool updates_state(const Graph& graph, ValueId value) {
  return std::any_of(graph.updates.begin(), graph.updates.end(),
                     [&](const StateUpdate& update) { return update.value == value; });
}

// Swaps the two nodes in their places, so that every value is still computed before its use.
void swap_nodes(Graph& graph, NodeId pool, NodeId clamp) {
  const ValueId input = graph.nodes[pool].inputs[0];
  const ValueId between = graph.nodes[pool].outputs[0];
  const ValueId result = graph.nodes[clamp].outputs[0];
  std::swap(graph.nodes[pool], graph.nodes[clamp]);
  Node& first = graph.nodes[pool];
  Node& second = graph.nodes[clamp];
  first.inputs[0] = input;
  first.outputs[0] = between;
  second.inputs[0] = between;
  second.outputs[0] = result;
  graph.values[between].type = graph.values[input].type;
  // Names of inner values follow the nodes that compute them.
  if (!is_output(graph, result)) std::swap(graph.values[between].name, graph.values[result].name);
}

bool hoist_one(const Module& module, Graph& graph) {
  const auto readers = consumers(graph);
  for (NodeId pool = 0; pool < graph.nodes.size(); ++pool) {
    if (!is_pool(graph.nodes[pool])) continue;
    const ValueId between = graph.nodes[pool].outputs[0];
    if (readers[between].size() != 1 || is_output(graph, between) ||
        updates_state(graph, between)) {
      continue;
    }
    const NodeId clamp = readers[between].front();
    if (!is_constant_clamp(module, graph, graph.nodes[clamp]) ||
        graph.nodes[clamp].inputs[0] != between) {
      continue;
    }
    swap_nodes(graph, pool, clamp);
    return true;
  }
  return false;
}

}  // namespace

void hoist_clamps(Module& module) {
  for (Graph& graph : module.graphs)
    while (hoist_one(module, graph)) {
    }
}

}  // namespace tandem
