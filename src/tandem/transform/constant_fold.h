#pragma once

#include <optional>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// The most elements that the result of one folded node has.
inline constexpr std::int64_t kMostFoldedElements = std::int64_t{1} << 24;

// Replaces every node whose inputs are all constants by its results, in all graphs, and removes
// what nothing needs any more. The module computes the same. Kept are Dequantize, which tells the
// format of the number it makes, operators that are not known, nodes with bodies, and nodes whose
// folding would take more than kMostFoldedElements result elements or 2^30 operations.
void fold_constants(Module& module);

// Replaces the scales and zero points of Quantize and Dequantize that are computed from constants
// alone, by Dequantize too (nested scales are codes), by their values. The module computes the
// same.
void fold_scales(Module& module);

// The results of one such node; nullopt where it is kept, or would have more elements than `most`.
std::optional<std::vector<Tensor>> fold_node(const Module& module, const Graph& graph,
                                             const Node& node,
                                             std::int64_t most = kMostFoldedElements);

}  // namespace tandem
