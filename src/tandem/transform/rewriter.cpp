#include "tandem/transform/rewriter.h"

#include <algorithm>
#include <utility>

#include "tandem/graph/bodies.h"

namespace tandem {

Rewriter::Rewriter(const Module& old)
    : old_(old),
      builder_(new_, Builder::add_graph(new_, "main")),
      values_(old.main().values.size(), kNone) {
  new_.symbols = old.symbols;
  new_.metadata = old.metadata;
  new_.constants = old.constants;
  new_.states = old.states;
  const Graph& graph = old_graph();
  for (const ValueId input : graph.inputs)
    values_[input] = builder_.input(graph.values[input].name, graph.values[input].type);
  for (ValueId id = 0; id < graph.values.size(); ++id) {
    const Value& value = graph.values[id];
    if (value.constant != kNone) values_[id] = builder_.constant(value.constant);
    if (value.state != kNone) values_[id] = builder_.read_state(value.state);
  }
}

std::vector<ValueId> Rewriter::copy(const Node& node, std::vector<ValueId> inputs) {
  builder_.set_scope(node.scope);
  const auto outputs = copy_node(builder_, old_, node, inputs);
  for (std::size_t i = 0; i < outputs.size(); ++i) set(node.outputs[i], outputs[i]);
  return outputs;
}

std::vector<ValueId> Rewriter::copy(const Node& node) {
  std::vector<ValueId> inputs;
  for (const ValueId input : node.inputs) inputs.push_back(at(input));
  return copy(node, std::move(inputs));
}

Module Rewriter::finish() {
  return finish([this](ValueId old) { return at(old); });
}

Module Rewriter::finish(const std::function<ValueId(ValueId)>& end) {
  for (const ValueId output : old_graph().outputs) {
    const ValueId now = end(output);
    builder_.output(now);
    rename(now, old_graph().values[output].name);
  }
  for (const StateUpdate& update : old_graph().updates)
    builder_.graph().updates.push_back({update.state, end(update.value)});
  copy_codings();
  return std::move(new_);
}

void Rewriter::rename(ValueId now, const std::string& name) {
  std::vector<Value>& values = builder_.graph().values;
  if (values[now].producer == kNone) return;
  const auto other = std::ranges::find(values, name, &Value::name);
  if (other == values.end()) {
    values[now].name = name;
  } else if (other->producer != kNone) {
    std::swap(values[now].name, other->name);
  }
}

void Rewriter::copy_codings() {
  Graph& graph = builder_.graph();
  const auto copy_of = [&](const std::vector<ValueId>& old, const std::vector<ValueId>& now,
                           ValueId value, const Coding& coding) {
    const auto found = std::ranges::find(old, value);
    if (found != old.end())
      graph.codings[now[static_cast<std::size_t>(found - old.begin())]] = coding;
  };
  for (const auto& [value, coding] : old_graph().codings) {
    copy_of(old_graph().inputs, graph.inputs, value, coding);
    copy_of(old_graph().outputs, graph.outputs, value, coding);
  }
}

}  // namespace tandem
