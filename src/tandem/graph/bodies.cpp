#include "tandem/graph/bodies.h"

#include <algorithm>
#include <cstdint>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"

namespace tandem {
namespace {

enum class Mark : std::uint8_t { kNew, kOpen, kDone };

void visit(const Module& module, GraphId id, std::vector<Mark>& marks,
           std::vector<GraphId>& order) {
  if (id >= module.graphs.size() || marks[id] == Mark::kDone) return;
  if (marks[id] == Mark::kOpen)
    throw Error("graph '", module.graphs[id].name, "' is a body inside itself");
  marks[id] = Mark::kOpen;
  for (const Node& node : module.graphs[id].nodes)
    for (const GraphId body : node.bodies) visit(module, body, marks, order);
  marks[id] = Mark::kDone;
  order.push_back(id);
}

}  // namespace

std::vector<GraphId> bodies_first(const Module& module) {
  std::vector<Mark> marks(module.graphs.size(), Mark::kNew);
  std::vector<GraphId> order;
  for (GraphId id = 0; id < module.graphs.size(); ++id) visit(module, id, marks, order);
  return order;
}

std::string unique_graph_name(const Module& module, const std::string& wanted) {
  const auto taken = [&](const std::string& name) {
    return std::ranges::find(module.graphs, name, &Graph::name) != module.graphs.end();
  };
  std::string name = wanted;
  for (int i = 2; taken(name); ++i) name = concat(wanted, "_", i);
  return name;
}

std::vector<ValueId> copy_node(Builder& builder, const Module& from, const Node& node,
                               const std::vector<ValueId>& inputs) {
  std::vector<GraphId> bodies = node.bodies;
  if (&builder.module() != &from)
    for (GraphId& body : bodies) body = copy_body(builder.module(), from, body);
  return builder.add_node(node.op->name(), inputs, node.attributes, node.name, bodies);
}

std::vector<ValueId> inline_graph(Builder& builder, const Module& from, const Graph& graph,
                                  std::span<const ValueId> inputs) {
  ensure(inputs.size() == graph.inputs.size(), "a graph is inlined over other inputs");
  std::vector<ValueId> values(graph.values.size(), kNone);
  for (std::size_t i = 0; i < inputs.size(); ++i) values[graph.inputs[i]] = inputs[i];
  for (ValueId id = 0; id < graph.values.size(); ++id) {
    const ConstantId constant = graph.values[id].constant;
    if (constant == kNone) continue;
    values[id] = &builder.module() == &from ? builder.constant(constant)
                                            : builder.constant(from.constants[constant].tensor,
                                                               from.constants[constant].name);
  }
  for (const Node& node : graph.nodes) {
    std::vector<ValueId> operands;
    for (const ValueId input : node.inputs)
      operands.push_back(input == kNone ? kNone : values[input]);
    const auto outputs = copy_node(builder, from, node, operands);
    for (std::size_t i = 0; i < outputs.size(); ++i) values[node.outputs[i]] = outputs[i];
  }
  std::vector<ValueId> outputs;
  for (const ValueId output : graph.outputs) outputs.push_back(values[output]);
  return outputs;
}

GraphId copy_body(Module& to, const Module& from, GraphId body) {
  const Graph& source = from.graphs[body];
  const GraphId id = to.graphs.size();
  to.graphs.emplace_back();
  to.graphs[id].name = unique_graph_name(to, source.name);
  Builder builder(to, id);
  std::vector<ValueId> inputs;
  for (const ValueId input : source.inputs)
    inputs.push_back(builder.input(source.values[input].name, source.values[input].type));
  for (const ValueId output : inline_graph(builder, from, source, inputs)) builder.output(output);
  return id;
}

}  // namespace tandem
