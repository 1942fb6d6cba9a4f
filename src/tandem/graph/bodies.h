#pragma once

#include <span>
#include <vector>

#include "tandem/graph/builder.h"

namespace tandem {

// Graphs inside graphs: the bodies of If, Loop and Scan.

// All graphs in an order in which the bodies of a graph's nodes stand before it. Throws Error where
// a body holds itself, or bodies lie too deep in each other.
std::vector<GraphId> bodies_first(const Module& module);

// Appends the nodes of a graph, which may be of another module, over `inputs` in place of its
// inputs, with copies of the constants and bodies that they need. Returns the outputs.
std::vector<ValueId> inline_graph(Builder& builder, const Module& from, const Graph& graph,
                                  std::span<const ValueId> inputs);

// Copies a body with all that it needs to another module; the module itself keeps the name unique.
GraphId copy_body(Module& to, const Module& from, GraphId body);

// A node of another module's graph over inputs of the builder's graph, with copies of its bodies.
std::vector<ValueId> copy_node(Builder& builder, const Module& from, const Node& node,
                               const std::vector<ValueId>& inputs);

// A name that no graph of the module has.
std::string unique_graph_name(const Module& module, const std::string& wanted);

}  // namespace tandem
