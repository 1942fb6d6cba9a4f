#include "tandem/graph/bodies.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"

namespace tandem {
namespace {

// Walks the graphs, what each holds before itself. Evaluation nests as deep as they do.
class Walk {
 public:
  explicit Walk(const Module& module) : module_(module), heights_(module.graphs.size(), kNew) {}

  std::vector<GraphId> run() {
    for (GraphId id = 0; id < module_.graphs.size(); ++id) visit(id, 0);
    return std::move(order_);
  }

 private:
  static constexpr int kNew = -1, kOpen = -2, kDeepest = 256;

  // How many graphs lie in each other from this one on.
  int visit(GraphId id, int depth) {
    if (id >= module_.graphs.size()) return 0;
    int& known = heights_[id];
    if (known >= 0) return known;
    if (known == kOpen)
      throw Error("graph '", module_.graphs[id].name, "' is a body inside itself");
    known = kOpen;
    int height = 1;
    if (depth <= kDeepest)
      for (const Node& node : module_.graphs[id].nodes)
        for (const GraphId body : node.bodies)
          height = std::max(height, 1 + visit(body, depth + 1));
    if (depth > kDeepest || height > kDeepest)
      throw Error("bodies lie more than ", kDeepest, " deep in each other");
    order_.push_back(id);
    return known = height;
  }

  const Module& module_;
  std::vector<int> heights_;
  std::vector<GraphId> order_;
};

}  // namespace

std::vector<GraphId> bodies_first(const Module& module) { return Walk(module).run(); }

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
