#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

// Internal to the room: the arithmetic on shapes that exporters leave in a graph (Shape, Gather,
// Concat, ...), done while reading.

// A small tensor of integers or booleans whose elements may be symbolic dimensions; symbolic ones
// may have been cast to reals.
struct DimTensor {
  Format format;
  Shape shape;
  std::vector<Dim> elements;

  bool is_constant() const;
  Tensor tensor() const;  // of a constant one
};

// Between what and what a dimension lies when its symbols keep their bounds; nullopt where that is
// beyond 64 bits.
std::optional<IntegerRange> dim_bounds(const Dim& dim, const std::vector<Symbol>& symbols);

// A dimension with an expression in place of a symbol.
Dim with_symbol(const Dim& dim, const std::string& symbol, const Dim& now);

// A tensor of indices, shapes or booleans (int64, int32 or bool) of at most `most` elements.
std::optional<DimTensor> dims_of(const Tensor& tensor, std::int64_t most = 4096);

// The attributes that matter to shape arithmetic.
struct DimAttributes {
  std::int64_t axis = 0;
  std::int64_t keepdims = 1;
  std::optional<std::vector<std::int64_t>> axes, starts, ends;
  std::optional<Format> to;
};

// The result of an ONNX operator on such tensors, absent inputs being empty; nullopt where this is
// no operator of shape arithmetic or its operands are of higher rank than that needs. Throws Error
// where the result cannot be a dimension (N / 2) or is out of range.
std::optional<DimTensor> evaluate_dims(std::string_view op,
                                       std::span<const std::optional<DimTensor>> inputs,
                                       const DimAttributes& attributes,
                                       const std::vector<Symbol>& symbols);

}  // namespace tandem
