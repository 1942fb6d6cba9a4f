#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// Appends nodes to one graph of a module, inferring types as it goes. Names are made unique.
class Builder {
 public:
  Builder(Module& module, GraphId graph) : module_(module), graph_(graph) {}
  // A module with the empty function `name`, and its builder's graph.
  static GraphId add_graph(Module& module, std::string name);

  Module& module() { return module_; }
  Graph& graph() { return module_.graphs[graph_]; }
  GraphId graph_id() const { return graph_; }
  const TensorType& type(ValueId value) { return graph().values[value].type; }
  Shape shape(ValueId value) { return type(value).static_shape(); }

  ValueId input(const std::string& name, TensorType type);
  ValueId constant(Tensor tensor, std::string name = "c");
  ValueId constant(ConstantId id);
  ValueId read_state(StateId state);
  void output(ValueId value) { graph().outputs.push_back(value); }

  // Appends a node; the result's names are `name` and name_1, name_2 for further outputs.
  // Throws Error (operator and node named) when the operator refuses.
  std::vector<ValueId> add_node(std::string_view op, std::vector<ValueId> inputs,
                                Attributes attributes = {}, const std::string& name = "",
                                std::vector<GraphId> bodies = {});
  // The same for operators with one output.
  ValueId add(std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {},
              std::string name = "");

  // Scope recorded in the nodes that follow.
  void set_scope(std::string scope) { scope_ = std::move(scope); }
  const std::string& scope() const { return scope_; }

 private:
  std::string unique_value_name(std::string_view wanted);
  std::string unique_node_name(std::string_view wanted);
  Module& module_;
  GraphId graph_;
  std::string scope_;
  std::map<std::string, int, std::less<>> value_names_, node_names_;
  std::size_t values_seen_ = 0, nodes_seen_ = 0;
};

}  // namespace tandem
