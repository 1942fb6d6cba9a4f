#pragma once

#include <cstdint>
#include <vector>

#include "tandem/kernels/instruction_set.h"
#include "tandem/kernels/saturation.h"

namespace tandem {

// Products of matrices of 8-bit codes, exact: c[i,j] = sum_k a[i,k] * b[k,j] in 32 bits, with
// unsigned a and signed b. b is packed beforehand, for one instruction set.

struct alignas(64) CacheLine {
  std::int8_t bytes[64] = {};
};

struct PackedCodes {
  static constexpr std::int64_t kPanel = 16;  // columns that lie together
  static constexpr std::int64_t kDepthUnit = 64;

  InstructionSet set = InstructionSet::kPortable;
  std::int64_t depth = 0, columns = 0;
  std::vector<CacheLine> lines;     // [panel][padded depth / 4][kPanel][4]; not of kAvx2
  std::vector<PairedPanel> paired;  // of kAvx2
  std::vector<std::int32_t> sums;   // of each column of b

  // The elements of a row of `a` that are read; from `depth` on their values do not matter.
  std::int64_t padded_depth() const { return (depth + kDepthUnit - 1) / kDepthUnit * kDepthUnit; }
  std::int64_t panel_count() const { return (columns + kPanel - 1) / kPanel; }
  const std::int8_t* panel(std::int64_t index) const {
    return lines.data()->bytes + index * padded_depth() * kPanel;
  }
};

// b[k,j] lies at b + k * row_stride + j * column_stride; the elements of `a` are at most `most`.
// For the instruction set that is chosen now.
PackedCodes pack_codes(const std::int8_t* b, std::int64_t depth, std::int64_t columns,
                       std::int64_t row_stride, std::int64_t column_stride, int most = 255);

// The same for an operand that is computed, b[k * columns + j], into memory that is used again.
// Unsigned codes are packed less 128. Nothing is proven: with AVX2 all steps are wide.
void pack_computed_codes(const std::uint8_t* b, bool is_signed, std::int64_t depth,
                         std::int64_t columns, PackedCodes& packed);

// sums[r] = the sum of `count` unsigned codes of row r.
void sum_code_rows(const std::uint8_t* a, std::int64_t rows, std::int64_t a_stride,
                   std::int64_t count, std::int32_t* sums);

// Turns signed codes into unsigned ones, code + 128, and back.
void flip_code_signs(std::uint8_t* codes, std::int64_t count);

// c[r,j] += by_row[r] + by_column[j]
void add_to_sums(const std::int32_t* by_row, const std::int32_t* by_column, std::int64_t rows,
                 std::int64_t columns, std::int32_t* c, std::int64_t c_stride);

// Rows of c for the panels [first, first + count): [rows][count * kPanel], c_stride from row to
// row; columns beyond the last are zero. `a` has padded_depth() readable elements in each row.
void multiply_codes(const std::uint8_t* a, std::int64_t rows, std::int64_t a_stride,
                    const PackedCodes& b, std::int64_t first, std::int64_t count, std::int32_t* c,
                    std::int64_t c_stride);

}  // namespace tandem
