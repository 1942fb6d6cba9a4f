#pragma once

#include <vector>

#include "tandem/ops/window.h"

namespace tandem {

// The window of a MaxPool or AveragePool node over the spatial extents of its input. With
// ceil_mode the pads at the end differ from the declared ones such that output_extents() are those
// of ONNX (rounded up, but no window begins in the padding at the end).
Window pool_window(const NodeView& node, const std::vector<std::int64_t>& extents);

// [N,C,windows...] of such a node over x [N,C,spatial...]; throws Error on another rank.
std::vector<Dim> pooled_shape(const NodeView& node, const TensorType& x);

// For every output position (row-major over the spatial axes) the elements by which an AveragePool
// divides: those inside the input, or with count_include_pad also the declared padding.
std::vector<std::int64_t> average_divisors(const NodeView& node,
                                           const std::vector<std::int64_t>& extents);

}  // namespace tandem
