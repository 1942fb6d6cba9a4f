#pragma once

#include <cstdint>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// For every element of `to` in row-major order the offset of the element of `from` that
// broadcasts to it (NumPy's rule). `from` must broadcast to `to` (InternalError otherwise).
std::vector<std::int64_t> broadcast_offsets(const Shape& from, const Shape& to);

// NumPy's broadcasting of types with symbolic dimensions: equal, or one of them 1.
std::vector<Dim> broadcast_dims(const std::vector<Dim>& a, const std::vector<Dim>& b);

// True when `from` broadcasts to `to` without enlarging it.
bool broadcasts_to(const std::vector<Dim>& from, const std::vector<Dim>& to);

// Axis in [-rank, rank) to [0, rank); throws Error naming both otherwise.
std::size_t normalized_axis(std::int64_t axis, std::size_t rank);

// The extents before, at and after an axis: element (o, i, n) lies at (o * extent + i) * inner + n.
struct AxisSplit {
  std::int64_t outer = 1, extent = 1, inner = 1;
};
AxisSplit split_at(const Shape& shape, std::size_t axis);

}  // namespace tandem
