#include "tandem/graph/builder.h"

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/registry.h"

namespace tandem {

GraphId Builder::add_graph(Module& module, std::string name) {
  module.graphs.emplace_back();
  module.graphs.back().name = name;
  module.functions[std::move(name)] = module.graphs.size() - 1;
  return module.graphs.size() - 1;
}

namespace {

// `wanted`, or wanted_2, wanted_3, ... until it is free; the count per stem keeps it linear.
std::string claim(std::map<std::string, int, std::less<>>& names, std::string_view wanted) {
  const std::string stem = wanted.empty() ? "v" : std::string(wanted);
  if (names.try_emplace(stem, 1).second) return stem;  // mostly
  std::string candidate = stem;
  int count = names[stem];
  while (names.contains(candidate) && names[candidate] > 0) candidate = concat(stem, "_", ++count);
  names[stem] = std::max(count, 1);
  names[candidate] = std::max(names[candidate], 1);
  return candidate;
}

}  // namespace

std::string Builder::unique_value_name(std::string_view wanted) {
  for (; values_seen_ < graph().values.size(); ++values_seen_)
    value_names_[graph().values[values_seen_].name] = 1;
  ++values_seen_;
  return claim(value_names_, wanted);
}

std::string Builder::unique_node_name(std::string_view wanted) {
  for (; nodes_seen_ < graph().nodes.size(); ++nodes_seen_)
    node_names_[graph().nodes[nodes_seen_].name] = 1;
  ++nodes_seen_;
  return claim(node_names_, wanted);
}

ValueId Builder::input(const std::string& name, TensorType type) {
  Value value;
  value.name = unique_value_name(name);
  value.type = std::move(type);
  graph().values.push_back(std::move(value));
  graph().inputs.push_back(graph().values.size() - 1);
  return graph().values.size() - 1;
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): takes names as input() does
ValueId Builder::constant(Tensor tensor, std::string name) {
  return constant(module_.add_constant(std::move(tensor), name));
}

ValueId Builder::constant(ConstantId id) {
  Value value;
  value.name = unique_value_name(module_.constants[id].name);
  value.type = type_of(module_.constants[id].tensor);
  value.constant = id;
  graph().values.push_back(std::move(value));
  return graph().values.size() - 1;
}

ValueId Builder::read_state(StateId state) {
  Value value;
  value.name = unique_value_name(module_.states[state].name);
  value.type = module_.states[state].type;
  value.state = state;
  graph().values.push_back(std::move(value));
  return graph().values.size() - 1;
}

std::vector<ValueId> Builder::add_node(std::string_view op, std::vector<ValueId> inputs,
                                       Attributes attributes, const std::string& name,
                                       std::vector<GraphId> bodies) {
  Node node;
  node.op = &operators().find(op);
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  node.name = unique_node_name(name.empty() ? std::string(op) : name);
  node.scope = scope_;
  node.bodies = std::move(bodies);
  node.attributes =
      complete_attributes(node.op->attributes(), std::move(node.attributes), node.op->name());
  const std::vector<TensorType> types = infer_checked(module_, graph(), node);
  for (std::size_t i = 0; i < types.size(); ++i) {
    Value value;
    value.name = unique_value_name(i == 0 ? node.name : concat(node.name, "_", i));
    value.type = types[i];
    value.producer = graph().nodes.size();
    graph().values.push_back(std::move(value));
    node.outputs.push_back(graph().values.size() - 1);
  }
  graph().nodes.push_back(std::move(node));
  return graph().nodes.back().outputs;
}

ValueId Builder::add(std::string_view op, std::vector<ValueId> inputs, Attributes attributes,
                     std::string name) {  // NOLINT(performance-unnecessary-value-param): as above
  const auto outputs = add_node(op, std::move(inputs), std::move(attributes), name);
  ensure(outputs.size() == 1, concat(op, " has not one output"));
  return outputs.front();
}

}  // namespace tandem
