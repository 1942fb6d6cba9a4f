#pragma once

#include <cstdint>

namespace tandem {

// y[c * y_stride + r] = x[r * x_stride + c] for `rows` rows and `columns` columns of 32-bit
// elements of any kind; x and y do not overlap.
void transpose32(const std::uint32_t* x, std::int64_t x_stride, std::uint32_t* y,
                 std::int64_t y_stride, std::int64_t rows, std::int64_t columns);

// to[2 * i] = first[i], to[2 * i + 1] = second[i] for `count` elements of each; none overlap. For
// unsigned integers of 8 to 64 bits.
template <typename Element>
void interleave(const Element* first, const Element* second, std::int64_t count, Element* to);

}  // namespace tandem
