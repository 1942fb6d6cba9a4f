#pragma once

#include <cstdint>
#include <vector>

#include "tandem/tensor/tensor.h"

namespace tandem {

// A position in an axis of `extent` elements, negative ones counted from the end; throws Error
// where it is outside.
std::int64_t resolved_position(std::int64_t position, std::int64_t extent);

// The same of all elements of a tensor of integers.
std::vector<std::int64_t> resolved_positions(const Tensor& positions, std::int64_t extent);

}  // namespace tandem
