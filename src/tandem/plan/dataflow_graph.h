#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/plan/movement_map.h"

namespace tandem {

// What a dataflow machine has to do for a function: its nodes without those that compute
// constants, only rename elements (Reshape and the like) or feed no output. Internal to the room.
class DataflowGraph {
 public:
  // All dimensions must be integers. Throws Error where a movement cannot be laid out.
  DataflowGraph(const Module& module, const std::string& function);

  const Module& module() const { return *module_; }
  const Graph& graph() const { return *graph_; }
  const Node& node(NodeId id) const { return graph_->nodes[id]; }

  // The nodes that become stages, in order.
  const std::vector<NodeId>& nodes() const { return nodes_; }
  // The value whose stream carries this one's elements in the same order.
  ValueId resolve(ValueId value) const { return alias_[value]; }
  // The constant that a value holds in every run, or nullptr.
  const Tensor* constant(ValueId value) const;
  // How often a resolved value is read, by nodes and as an output.
  std::size_t readers(ValueId value) const { return readers_[value]; }

  Format format(ValueId value) const { return graph_->values[value].type.format; }
  Shape shape(ValueId value) const { return graph_->values[value].type.static_shape(); }
  std::int64_t elements(ValueId value) const { return element_count(shape(value)); }

  // Where the elements of a movement node's output come from, found once.
  const MovementMap& movement(ValueId output) const { return movements_.at(output); }

 private:
  void fold_constants();
  void find_aliases();
  void find_live_nodes();

  const Module* module_;
  const Graph* graph_;
  std::map<ValueId, Tensor> constants_;
  std::map<ValueId, MovementMap> movements_;
  std::vector<ValueId> alias_;
  std::vector<NodeId> nodes_;
  std::vector<std::size_t> readers_;
};

}  // namespace tandem
