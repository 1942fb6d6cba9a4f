#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tandem/graph/builder.h"
#include "tandem/graph/operator.h"

namespace tandem {

// The meaning of Transpose on one tensor: axis d of the result is axis perm[d] of the tensor.
Tensor transposed_tensor(const Tensor& tensor, const std::vector<std::int64_t>& perm);

// Elements that lie evenly in a row-major tensor: from `offset` on, with a step for each axis.
struct StridedPart {
  Shape shape;
  std::int64_t offset = 0;
  std::vector<std::int64_t> strides;
};

// What a Slice takes from a tensor of the shape `from`.
StridedPart slice_of(const NodeView& node, const Shape& from);

// The attribute `shape` of a Reshape from `from` to `to`: each entry is an integer, a product with
// dimensions of the input ("d0", "4*d0": d0 is the first), once "-1" for what is left, or else an
// expression in symbols ("{N*L}").
std::vector<std::string> reshape_attribute(const std::vector<Dim>& from,
                                           const std::vector<Dim>& to);

// Appends a Reshape to the given dimensions, or returns `x` when it has them already.
ValueId add_reshape(Builder& builder, ValueId x, const std::vector<Dim>& to, std::string name = "");

}  // namespace tandem
