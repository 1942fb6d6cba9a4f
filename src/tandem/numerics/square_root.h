#pragma once

#include <cstdint>

namespace tandem {

// The greatest integer whose square is at most `value`, which must not be negative (InternalError).
std::int64_t floor_square_root(std::int64_t value);

}  // namespace tandem
