#pragma once

#include <cstdint>

namespace tandem {

// y[c * y_stride + r] = x[r * x_stride + c] for `rows` rows and `columns` columns of 32-bit
// elements of any kind; x and y do not overlap.
void transpose32(const std::uint32_t* x, std::int64_t x_stride, std::uint32_t* y,
                 std::int64_t y_stride, std::int64_t rows, std::int64_t columns);

// to[2 * i] = first[i], to[2 * i + 1] = second[i] for `count` elements of each; none overlap.
void interleave(const std::uint8_t* first, const std::uint8_t* second, std::int64_t count,
                std::uint8_t* to);
void interleave(const std::uint16_t* first, const std::uint16_t* second, std::int64_t count,
                std::uint16_t* to);
void interleave(const std::uint32_t* first, const std::uint32_t* second, std::int64_t count,
                std::uint32_t* to);
void interleave(const std::uint64_t* first, const std::uint64_t* second, std::int64_t count,
                std::uint64_t* to);

}  // namespace tandem
