#include "tandem/graph/module.h"

#include <algorithm>
#include <set>
#include <utility>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/bodies.h"
#include "tandem/graph/constant_names.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/symbolic.h"

namespace tandem {

bool TensorType::is_static() const {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d.is_constant(); });
}

Shape TensorType::static_shape() const {
  Shape result;
  for (const Dim& dim : shape) result.push_back(dim.constant());
  return result;
}

std::string TensorType::to_string() const {
  std::vector<std::string> dims;
  for (const Dim& dim : shape) dims.push_back(dim.to_string());
  return format.name() + "[" + join(dims, ",") + "]";
}

TensorType type_of(const Tensor& tensor) {
  return {std::vector<Dim>(tensor.shape().begin(), tensor.shape().end()), tensor.format()};
}

std::string_view name(Lifetime lifetime) {
  switch (lifetime) {
    case Lifetime::kModel: return "model";
    case Lifetime::kStream: return "stream";
    case Lifetime::kRun: return "run";
  }
  return "?";
}

const Graph& Module::function(std::string_view name) const {
  const auto found = functions.find(std::string(name));
  if (found == functions.end()) {
    std::vector<std::string> names;
    for (const auto& [key, id] : functions) names.push_back(key);
    throw Error("the module has no function '", name, "'", suggestion(name, names));
  }
  return graphs[found->second];
}

Graph& Module::function(std::string_view name) {
  return const_cast<Graph&>(std::as_const(*this).function(name));
}

namespace {

template <typename Taken>
ConstantId add_under_free_name(std::vector<Constant>& constants, Tensor tensor,
                               const std::string& name, const Taken& taken) {
  std::string unique = name;
  for (std::size_t i = constants.size(); taken(unique); ++i) unique = concat(name, "_", i);
  constants.push_back({std::move(unique), std::move(tensor)});
  return constants.size() - 1;
}

}  // namespace

ConstantId Module::add_constant(Tensor tensor, const std::string& name) {
  return add_under_free_name(constants, std::move(tensor), name, [&](const std::string& candidate) {
    return std::ranges::find(constants, candidate, &Constant::name) != constants.end();
  });
}

ConstantId ConstantNames::add(Tensor tensor, const std::string& name) {
  for (; seen_ < module_.constants.size(); ++seen_) names_.insert(module_.constants[seen_].name);
  return add_under_free_name(
      module_.constants, std::move(tensor), name,
      [&](const std::string& candidate) { return names_.contains(candidate); });
}

const Tensor* constant_of(const Module& module, const Graph& graph, ValueId value) {
  if (value == kNone || graph.values[value].constant == kNone) return nullptr;
  return &module.constants[graph.values[value].constant].tensor;
}

std::vector<std::vector<NodeId>> consumers(const Graph& graph) {
  std::vector<std::vector<NodeId>> readers(graph.values.size());
  for (NodeId node = 0; node < graph.nodes.size(); ++node) {
    for (const ValueId input : graph.nodes[node].inputs) {
      if (input != kNone && (readers[input].empty() || readers[input].back() != node))
        readers[input].push_back(node);
    }
  }
  return readers;
}

Module specialize(const Module& module, const std::map<std::string, std::int64_t>& symbols) {
  std::vector<std::string> known;
  for (const Symbol& symbol : module.symbols) known.push_back(symbol.name);
  for (const auto& [name, value] : symbols) {
    const auto found = std::find_if(module.symbols.begin(), module.symbols.end(),
                                    [&, n = name](const Symbol& s) { return s.name == n; });
    if (found == module.symbols.end())
      throw Error("the module has no symbol '", name, "'", suggestion(name, known));
    if (value < found->min || value > found->max) {
      throw Error("symbol ", name, " = ", value, " is out of its bounds [", found->min, ",",
                  found->max, "]");
    }
  }
  Module bound = module;
  std::erase_if(bound.symbols, [&](const Symbol& s) { return symbols.contains(s.name); });
  const auto bind = [&](TensorType& type) {
    for (Dim& dim : type.shape) dim = dim.bind(symbols);
  };
  for (State& state : bound.states) bind(state.type);
  for (const GraphId id : bodies_first(bound)) {
    Graph& graph = bound.graphs[id];
    for (Value& value : graph.values)
      if (value.producer == kNone) bind(value.type);
    for (Node& node : graph.nodes) {
      bind_symbols(node.attributes, symbols);
      const auto types = infer_checked(bound, graph, node);
      for (std::size_t i = 0; i < types.size(); ++i) graph.values[node.outputs[i]].type = types[i];
    }
  }
  return bound;
}

namespace {

// Keeps the marked elements of a vector and returns old index -> new index (kNone: dropped).
template <typename T>
std::vector<std::size_t> compact(std::vector<T>& items, const std::vector<bool>& keep) {
  std::vector<std::size_t> moved(items.size(), kNone);
  std::size_t next = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!keep[i]) continue;
    moved[i] = next;
    if (next != i) items[next] = std::move(items[i]);
    ++next;
  }
  items.resize(next);
  return moved;
}

void remap(std::size_t& id, const std::vector<std::size_t>& moved) {
  if (id != kNone) id = moved[id];
}

void remove_unused_nodes(Graph& graph) {
  std::vector<bool> value_used(graph.values.size()), node_used(graph.nodes.size());
  for (const ValueId value : graph.inputs) value_used[value] = true;
  for (const ValueId value : graph.outputs) value_used[value] = true;
  for (const StateUpdate& update : graph.updates) value_used[update.value] = true;
  for (NodeId id = graph.nodes.size(); id-- > 0;) {
    const Node& node = graph.nodes[id];
    node_used[id] = std::any_of(node.outputs.begin(), node.outputs.end(),
                                [&](ValueId v) { return v != kNone && value_used[v]; });
    if (!node_used[id]) continue;
    for (const ValueId v : node.inputs)
      if (v != kNone) value_used[v] = true;
    for (const ValueId v : node.outputs)
      if (v != kNone) value_used[v] = true;
  }
  const auto nodes = compact(graph.nodes, node_used);
  const auto values = compact(graph.values, value_used);
  for (Value& value : graph.values) remap(value.producer, nodes);
  for (Node& node : graph.nodes) {
    for (ValueId& v : node.inputs) remap(v, values);
    for (ValueId& v : node.outputs) remap(v, values);
  }
  for (ValueId& v : graph.inputs) remap(v, values);
  for (ValueId& v : graph.outputs) remap(v, values);
  for (StateUpdate& update : graph.updates) remap(update.value, values);
  std::map<ValueId, Coding> codings;
  for (const auto& [value, coding] : graph.codings)
    if (values[value] != kNone) codings[values[value]] = coding;
  graph.codings = std::move(codings);
}

// Whether there were any.
bool remove_unread_states(Module& module) {
  std::vector<bool> read(module.states.size());
  for (const Graph& graph : module.graphs)
    for (const Value& value : graph.values)
      if (value.state != kNone) read[value.state] = true;
  if (std::ranges::find(read, false) == read.end()) return false;
  const auto states = compact(module.states, read);
  for (Graph& graph : module.graphs) {
    std::erase_if(graph.updates, [&](const StateUpdate& update) { return !read[update.state]; });
    for (StateUpdate& update : graph.updates) remap(update.state, states);
    for (Value& value : graph.values) remap(value.state, states);
  }
  return true;
}

}  // namespace

void remove_unused(Module& module) {
  std::vector<bool> graph_used(module.graphs.size());
  std::vector<GraphId> pending;
  for (const auto& [name, id] : module.functions) pending.push_back(id);
  while (!pending.empty()) {
    const GraphId id = pending.back();
    pending.pop_back();
    if (graph_used[id]) continue;
    graph_used[id] = true;
    remove_unused_nodes(module.graphs[id]);
    for (const Node& node : module.graphs[id].nodes)
      pending.insert(pending.end(), node.bodies.begin(), node.bodies.end());
  }
  const auto graphs = compact(module.graphs, graph_used);
  for (auto& [name, id] : module.functions) remap(id, graphs);
  while (remove_unread_states(module))
    for (Graph& graph : module.graphs) remove_unused_nodes(graph);
  std::vector<bool> constant_used(module.constants.size());
  for (const State& state : module.states) constant_used[state.initial] = true;
  for (Graph& graph : module.graphs) {
    for (const Value& value : graph.values)
      if (value.constant != kNone) constant_used[value.constant] = true;
    for (const auto& [value, coding] : graph.codings) {
      constant_used[coding.scale] = true;
      constant_used[coding.offset] = true;
    }
    for (Node& node : graph.nodes)
      for (GraphId& body : node.bodies) remap(body, graphs);
  }
  const auto constants = compact(module.constants, constant_used);
  for (State& state : module.states) remap(state.initial, constants);
  for (Graph& graph : module.graphs) {
    for (Value& value : graph.values) remap(value.constant, constants);
    for (auto& [value, coding] : graph.codings) {
      remap(coding.scale, constants);
      remap(coding.offset, constants);
    }
  }
}

}  // namespace tandem
