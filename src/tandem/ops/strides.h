#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tandem/tensor/tensor.h"

namespace tandem {

// Strides of `from` along the axes of `to`, to which it broadcasts (0 where it is repeated).
std::vector<std::int64_t> broadcast_strides(const Shape& from, const Shape& to);

// Elements shape[..] of `from` picked at offset + sum of index * stride: the one meaning of every
// operator that only moves elements. Works on stored elements, so in any format.
Tensor strided_copy(const Tensor& from, Shape shape, std::int64_t offset,
                    const std::vector<std::int64_t>& strides);

// Walks a shape in row-major order in runs along which each of kOperands operands, given by its
// strides, advances by a constant step: visit(first, count, offsets, steps), where `first` is the
// row-major position. Neighbouring axes that every operand passes evenly form one run.
template <std::size_t kOperands, typename Visit>
void for_each_run(const Shape& shape,
                  const std::array<std::vector<std::int64_t>, kOperands>& strides,
                  const Visit& visit) {
  using Steps = std::array<std::int64_t, kOperands>;
  struct Axis {
    std::int64_t extent;
    Steps steps;
  };
  std::vector<Axis> axes;  // outermost first, neighbours merged
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 0) return;
    if (shape[d] == 1) continue;
    Axis axis{shape[d], {}};
    for (std::size_t i = 0; i < kOperands; ++i) axis.steps[i] = strides[i][d];
    bool merges = !axes.empty();
    for (std::size_t i = 0; merges && i < kOperands; ++i)
      merges = axes.back().steps[i] == axis.steps[i] * axis.extent;
    if (merges) axis.extent *= axes.back().extent;
    if (merges)
      axes.back() = axis;
    else
      axes.push_back(axis);
  }
  if (axes.empty()) axes.push_back({1, {}});
  const Axis run = axes.back();
  axes.pop_back();
  std::vector<std::int64_t> index(axes.size(), 0);
  Steps offsets{};
  for (std::int64_t first = 0;; first += run.extent) {
    visit(first, run.extent, offsets, run.steps);
    std::size_t d = axes.size();
    while (d > 0) {
      --d;
      for (std::size_t i = 0; i < kOperands; ++i) offsets[i] += axes[d].steps[i];
      if (++index[d] < axes[d].extent) break;
      for (std::size_t i = 0; i < kOperands; ++i) offsets[i] -= axes[d].steps[i] * axes[d].extent;
      index[d] = 0;
      if (d == 0) return;
    }
    if (axes.empty()) return;
  }
}

}  // namespace tandem
