#pragma once

#include <cstdint>
#include <vector>

namespace tandem {

// Products of integer matrices, exact: c[i,j] = sum_k a[i,k] * b[k,j] with b packed beforehand.
// Sums are taken in any order, so every partial sum must fit the type of c.

// b for 16-bit operands and 32-bit sums: columns in panels of kPanel, each holding pairs of rows
// side by side. Rows are padded with zeros to an even number.
struct PackedB16 {
  static constexpr std::int64_t kPanel = 16;
  std::int64_t depth = 0, columns = 0;
  std::vector<std::int16_t> panels;

  std::int64_t padded_depth() const { return depth + depth % 2; }
};
// b[k,j] lies at b + k * row_stride + j * column_stride.
void pack_b16(const std::int16_t* b, std::int64_t depth, std::int64_t columns,
              std::int64_t row_stride, std::int64_t column_stride, PackedB16& packed);

// a has padded_depth() columns, a_stride elements from row to row; what stands in the padding does
// not matter. A pair of products must not leave 32 bits: -32768 * -32768 twice is the only case.
void gemm_b16(const std::int16_t* a, std::int64_t rows, std::int64_t a_stride, const PackedB16& b,
              std::int32_t* c, std::int64_t c_stride);

// The same for wide operands: b is [depth, columns] row-major, Lane is std::int32_t or
// std::int64_t.
template <typename Lane>
void gemm_lanes(const Lane* a, std::int64_t rows, std::int64_t a_stride, const Lane* b,
                std::int64_t depth, std::int64_t columns, Lane* c, std::int64_t c_stride);

}  // namespace tandem
