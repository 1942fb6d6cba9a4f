#include "tandem/kernels/integer_gemm.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include "tandem/kernels/code_rescale_vectors.h"
#endif

#include "tandem/kernels/instruction_set.h"

namespace tandem {
namespace {

constexpr std::int64_t kPanel = PackedB16::kPanel;

// One panel of columns of c for kRows rows; `columns` of them exist in c.
template <int kRows>
void portable_tile(const std::int16_t* a, std::int64_t a_stride, const std::int16_t* panel,
                   std::int64_t pairs, std::int32_t* c, std::int64_t c_stride,
                   std::int64_t columns) {
  std::int32_t sums[kRows][kPanel] = {};
  for (std::int64_t pair = 0; pair < pairs; ++pair, panel += 2 * kPanel) {
    for (int r = 0; r < kRows; ++r) {
      const std::int32_t first = a[r * a_stride + 2 * pair],
                         second = a[r * a_stride + 2 * pair + 1];
      for (std::int64_t j = 0; j < kPanel; ++j)
        sums[r][j] += first * panel[2 * j] + second * panel[2 * j + 1];
    }
  }
  for (int r = 0; r < kRows; ++r) std::copy_n(sums[r], columns, c + r * c_stride);
}

#if defined(__x86_64__)
template <int kRows>
__attribute__((target("avx2"))) void avx2_tile(const std::int16_t* a, std::int64_t a_stride,
                                               const std::int16_t* panel, std::int64_t pairs,
                                               std::int32_t* c, std::int64_t c_stride,
                                               std::int64_t columns) {
  __m256i low[kRows], high[kRows];
  for (int r = 0; r < kRows; ++r) low[r] = high[r] = _mm256_setzero_si256();
  for (std::int64_t pair = 0; pair < pairs; ++pair, panel += 2 * kPanel) {
    const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel));
    const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel + kPanel));
    for (int r = 0; r < kRows; ++r) {
      std::int32_t both;
      std::memcpy(&both, a + r * a_stride + 2 * pair, sizeof both);
      const __m256i factors = _mm256_set1_epi32(both);
      low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(factors, first));
      high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(factors, second));
    }
  }
  for (int r = 0; r < kRows; ++r) {
    std::int32_t* row = c + r * c_stride;
    if (columns == kPanel) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(row), low[r]);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(row + kPanel / 2), high[r]);
    } else {
      alignas(32) std::int32_t edge[kPanel];
      _mm256_store_si256(reinterpret_cast<__m256i*>(edge), low[r]);
      _mm256_store_si256(reinterpret_cast<__m256i*>(edge + kPanel / 2), high[r]);
      std::copy_n(edge, columns, row);
    }
  }
}
#endif

using Tile = void (*)(const std::int16_t*, std::int64_t, const std::int16_t*, std::int64_t,
                      std::int32_t*, std::int64_t, std::int64_t);

// Tiles of 1 to 6 rows; six fill the vector registers of AVX2.
constexpr std::int64_t kTileRows = 6;
constexpr Tile kPortableTiles[] = {portable_tile<1>, portable_tile<2>, portable_tile<3>,
                                   portable_tile<4>, portable_tile<5>, portable_tile<6>};
#if defined(__x86_64__)
constexpr Tile kAvx2Tiles[] = {avx2_tile<1>, avx2_tile<2>, avx2_tile<3>,
                               avx2_tile<4>, avx2_tile<5>, avx2_tile<6>};
#endif

const Tile* tiles() {
#if defined(__x86_64__)
  if (instruction_set() >= InstructionSet::kAvx2) return kAvx2Tiles;
#endif
  return kPortableTiles;
}

struct RowTimesMatrix {
  template <typename Lane>
  [[gnu::always_inline]] static inline void run(const Lane* a, const Lane* b, std::int64_t depth,
                                                std::int64_t columns, Lane* c) {
    for (std::int64_t j = 0; j < columns; ++j) c[j] = 0;
    for (std::int64_t k = 0; k < depth; ++k, b += columns) {
      const Lane factor = a[k];
      for (std::int64_t j = 0; j < columns; ++j) c[j] += factor * b[j];
    }
  }
};

}  // namespace

void pack_b16(const std::int16_t* b, std::int64_t depth, std::int64_t columns,
              std::int64_t row_stride, std::int64_t column_stride, PackedB16& packed) {
  packed.depth = depth;
  packed.columns = columns;
  const std::int64_t pairs = packed.padded_depth() / 2, count = (columns + kPanel - 1) / kPanel;
  packed.panels.assign(static_cast<std::size_t>(count * pairs * 2 * kPanel), 0);
  for (std::int64_t k = 0; k < depth; ++k) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const std::int64_t at = ((j / kPanel * pairs + k / 2) * kPanel + j % kPanel) * 2 + k % 2;
      packed.panels[static_cast<std::size_t>(at)] = b[k * row_stride + j * column_stride];
    }
  }
}

void gemm_b16(const std::int16_t* a, std::int64_t rows, std::int64_t a_stride, const PackedB16& b,
              std::int32_t* c, std::int64_t c_stride) {
  const Tile* tile = tiles();
  const std::int64_t pairs = b.padded_depth() / 2;
  for (std::int64_t column = 0; column < b.columns; column += kPanel) {
    const std::int16_t* panel = b.panels.data() + column * pairs * 2;
    const std::int64_t columns = std::min(kPanel, b.columns - column);
    for (std::int64_t row = 0; row < rows; row += kTileRows) {
      const std::int64_t now = std::min(kTileRows, rows - row);
      tile[now - 1](a + row * a_stride, a_stride, panel, pairs, c + row * c_stride + column,
                    c_stride, columns);
    }
  }
}

template <typename Lane>
void gemm_lanes(const Lane* a, std::int64_t rows, std::int64_t a_stride, const Lane* b,
                std::int64_t depth, std::int64_t columns, Lane* c, std::int64_t c_stride) {
  for (std::int64_t row = 0; row < rows; ++row)
    run_kernel<RowTimesMatrix>(a + row * a_stride, b, depth, columns, c + row * c_stride);
}

template void gemm_lanes<std::int32_t>(const std::int32_t*, std::int64_t, std::int64_t,
                                       const std::int32_t*, std::int64_t, std::int64_t,
                                       std::int32_t*, std::int64_t);
template void gemm_lanes<std::int64_t>(const std::int64_t*, std::int64_t, std::int64_t,
                                       const std::int64_t*, std::int64_t, std::int64_t,
                                       std::int64_t*, std::int64_t);

}  // namespace tandem
