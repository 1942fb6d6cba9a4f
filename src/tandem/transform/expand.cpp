#include "tandem/transform/expand.h"

#include "tandem/base/error.h"
#include "tandem/graph/bodies.h"

namespace tandem {
namespace {

bool is_composite(const NodeView& node, const std::function<bool(const NodeView&)>& keeps) {
  return !node.node.op->forms(node).empty() && !keeps(node);
}

// One round: bodies may hold composites again. False when there was nothing to expand.
bool expand_once(Module& module, const std::function<bool(const NodeView&)>& keeps) {
  const Module old = module;
  const Graph& graph = old.main();
  bool expanded = false;
  for (const Node& node : graph.nodes)
    expanded = expanded || is_composite({old, graph, node}, keeps);
  if (!expanded) return false;
  Module result;
  result.symbols = old.symbols;
  result.metadata = old.metadata;
  result.constants = old.constants;
  result.states = old.states;
  const GraphId id = Builder::add_graph(result, "main");
  Builder builder(result, id);
  std::vector<ValueId> values(graph.values.size(), kNone);
  for (const ValueId input : graph.inputs)
    values[input] = builder.input(graph.values[input].name, graph.values[input].type);
  for (ValueId value = 0; value < graph.values.size(); ++value) {
    if (graph.values[value].constant != kNone)
      values[value] = builder.constant(graph.values[value].constant);
    if (graph.values[value].state != kNone)
      values[value] = builder.read_state(graph.values[value].state);
  }
  for (const Node& node : graph.nodes) {
    const NodeView view{old, graph, node};
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs)
      inputs.push_back(input == kNone ? kNone : values[input]);
    builder.set_scope(node.scope);
    const auto outputs = is_composite(view, keeps)
                             ? node.op->body(builder, view, node.op->forms(view).front(), inputs)
                             : copy_node(builder, old, node, inputs);
    ensure(outputs.size() == node.outputs.size(), "a body has another number of outputs");
    for (std::size_t i = 0; i < outputs.size(); ++i) values[node.outputs[i]] = outputs[i];
  }
  for (const ValueId output : graph.outputs) builder.output(values[output]);
  for (const StateUpdate& update : graph.updates)
    builder.graph().updates.push_back({update.state, values[update.value]});
  for (const auto& [value, coding] : graph.codings) builder.graph().codings[values[value]] = coding;
  module = std::move(result);
  return true;
}

}  // namespace

void expand_composites(Module& module, const std::function<bool(const NodeView&)>& keeps) {
  constexpr int kDeepest = 16;
  for (int depth = 0; expand_once(module, keeps); ++depth)
    ensure(depth < kDeepest, "bodies hold each other");
}

}  // namespace tandem
