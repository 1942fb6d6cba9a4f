#pragma once

#include <optional>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// Replaces every node whose inputs are all constants by its results, in all graphs, and removes
// what nothing needs any more. The module computes the same. Kept are Dequantize, which tells the
// format of the number it makes, nodes with bodies, and nodes whose folding would take more than
// 2^24 result elements or 2^30 operations.
void fold_constants(Module& module);

// The results of one such node; nullopt where it is kept.
std::optional<std::vector<Tensor>> fold_node(const Module& module, const Graph& graph,
                                             const Node& node);

}  // namespace tandem
