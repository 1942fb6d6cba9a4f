#include "tandem/transform/graph_copy.h"

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"

namespace tandem {
namespace {

// All of a module but its graphs.
Module frame_of(const Module& module) {
  Module frame;
  frame.constants = module.constants;
  frame.states = module.states;
  frame.symbols = module.symbols;
  frame.metadata = module.metadata;
  return frame;
}

}  // namespace

GraphCopy::GraphCopy(const Module& module)
    : source_(module),
      module_(frame_of(module)),
      builder_(module_, Builder::add_graph(module_, "main")),
      values_(module.main().values.size(), kNone) {
  ensure(module.graphs.size() == 1, "a module with one graph is copied");
  for (const ValueId input : graph().inputs) {
    const Value& value = graph().values[input];
    values_[input] = builder_.input(value.name, value.type);
    if (const auto coding = graph().codings.find(input); coding != graph().codings.end())
      builder_.graph().codings[values_[input]] = coding->second;
  }
  for (ValueId id = 0; id < values_.size(); ++id) {
    const Value& value = graph().values[id];
    if (value.constant != kNone) values_[id] = builder_.constant(value.constant);
    if (value.state != kNone) values_[id] = builder_.read_state(value.state);
  }
}

void GraphCopy::replace(ValueId old, ValueId made) {
  values_[old] = made;
  builder_.graph().values[made].name = graph().values[old].name;
}

void GraphCopy::keep(const Node& node) {
  std::vector<ValueId> inputs;
  for (const ValueId input : node.inputs) inputs.push_back(value(input));
  builder_.set_scope(node.scope);
  const auto outputs = builder_.add_node(node.op->name(), inputs, node.attributes, node.name);
  for (std::size_t i = 0; i < outputs.size(); ++i) replace(node.outputs[i], outputs[i]);
}

Module GraphCopy::finish() {
  Graph& made = builder_.graph();
  for (const ValueId output : graph().outputs) {
    builder_.output(value(output));
    if (const auto coding = graph().codings.find(output); coding != graph().codings.end())
      made.codings[value(output)] = coding->second;
  }
  for (const StateUpdate& update : graph().updates)
    made.updates.push_back({update.state, value(update.value)});
  remove_unused(module_);
  return std::move(module_);
}

}  // namespace tandem
