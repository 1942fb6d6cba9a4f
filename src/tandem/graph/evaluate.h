#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// State values between runs, by StateId; starts at the initial values.
std::vector<Tensor> initial_states(const Module& module);

// Runs a graph node by node with Operator::evaluate: the definition of what a module computes.
// Inputs in the order of graph.inputs; their shapes bind the symbols. Returns the outputs.
// `observe`, where given, sees every computed value once. Throws Error on a wrong input type,
// InternalError when an operator breaks its own type rule, Interrupted between nodes.
std::vector<Tensor> evaluate(const Module& module, const Graph& graph,
                             std::span<const Tensor> inputs, std::vector<Tensor>* states = nullptr,
                             const std::function<void(ValueId, const Tensor&)>& observe = {});

// What the shapes of the inputs say the symbols are. Throws Error on a wrong type, or another
// number of inputs than the graph has.
std::map<std::string, std::int64_t> symbols_of(const Graph& graph, std::span<const Tensor> inputs);

// One node alone.
std::vector<Tensor> evaluate_node(const Module& module, const Graph& graph, const Node& node,
                                  std::span<const Tensor> inputs);

}  // namespace tandem
