#pragma once

#include <span>
#include <string>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/plan/element_program.h"
#include "tandem/plan/target.h"

namespace tandem {

// How the nodes of a lowered function are run on a sequential machine.
struct McuGroups {
  // By value: the value whose memory it shares (itself, what a reshape made it from, or the first
  // one that reads the same state).
  std::vector<ValueId> base_of;
  // In execution order. The first node of a group is anything but a reshape; the others are
  // element-wise. What a node of a group but the last computes is read by one other node of the
  // group only, and never touches memory.
  std::vector<std::vector<NodeId>> groups;
};

// The shape of a value whose symbols are bound.
Shape shape_of(const Graph& graph, ValueId value);

McuGroups group_nodes(const Module& module, const Graph& graph);

// What a sequential machine cannot run: every node that is no integer primitive and no data
// movement, symbols that are not bound, states that do not live as long as a stream, formats that
// are no integers. The whole list.
std::vector<Issue> sequential_issues(const Module& module, const Graph& graph);

// The loops in which the first node of a group computes its result; empty where any nest serves
// (element-wise nodes and data movement).
LoopExtents producer_nest(const Module& module, const Graph& graph, const Node& node);

// Whether the nodes of a group from `first` on can be computed in a nest, those before it being
// computed in registers.
bool nodes_fit_nest(const Module& module, const Graph& graph, const std::vector<ValueId>& base_of,
                    std::span<const NodeId> nodes, std::size_t first, const LoopExtents& nest);

// The nest in which a group is computed: the producer's, or for element-wise groups the one with
// the fewest loops in which all operands can be addressed.
LoopExtents group_nest(const Module& module, const Graph& graph,
                       const std::vector<ValueId>& base_of, const std::vector<NodeId>& nodes);

}  // namespace tandem
