#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tandem/graph/operator.h"

namespace tandem {

// Where every element of one output of a data movement comes from.
struct MovementMap {
  // By element of the output in row-major order: the node's input, or -1 for a constant, and the
  // element of that input, or the constant's integer.
  std::vector<std::int32_t> input;
  std::vector<std::int64_t> offset;

  // The output is one whole input, element for element: nothing needs to move.
  bool is_identity(std::size_t input_size) const;
};

// Found by running the operator on numbered elements, so every data movement is covered, also those
// that are added later. nullopt when the elements that move depend on data.
std::optional<MovementMap> movement_map(const NodeView& node, std::size_t output);

// A box of an output whose elements lie at base + sum of index * stride in one source (or are one
// constant, kept in `base`; input is -1 then).
struct MovementBox {
  std::vector<std::int64_t> start, extents;  // within the output, by axis
  std::int32_t input = -1;
  std::int64_t base = 0;
  std::vector<std::int64_t> strides;
};

// The map as few boxes over the output's shape; nullopt when more than `most` would be needed.
std::optional<std::vector<MovementBox>> decompose(const MovementMap& map,
                                                  const std::vector<std::int64_t>& shape,
                                                  std::size_t most);

// The boxes of one output of a data movement, without a map where its attributes tell them (Concat,
// Split, Slice, Expand, Transpose, Reshape, Identity).
std::optional<std::vector<MovementBox>> movement_boxes(const NodeView& node, std::size_t output,
                                                       std::size_t most);

// The axes of the input of a Transpose in the order in which they stand in its result.
std::vector<std::size_t> permutation_of(const NodeView& node);

}  // namespace tandem
