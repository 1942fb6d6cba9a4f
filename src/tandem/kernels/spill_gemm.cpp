#include "tandem/kernels/spill_gemm.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#include "tandem/kernels/code_rescale_vectors.h"
#endif

#include "tandem/base/error.h"
#include "tandem/kernels/instruction_set.h"

namespace tandem {
namespace {

constexpr int kSpillColumns = static_cast<int>(PackedB16::kPanel);

// kRows rows times a panel of columns; results of all of them to `to`, [kRows][kSpillColumns].
template <int kRows>
void portable_spill_tile(const std::int16_t* a, std::int64_t a_stride, const std::int16_t* panel,
                         std::int64_t pairs, std::int64_t chain, float unit, float* to) {
  std::fill_n(to, kRows * kSpillColumns, 0.0F);
  for (std::int64_t from = 0; from < pairs; from += chain) {
    // Unsigned, so that a chain that is too long wraps as vectors do.
    std::uint32_t sums[kRows][kSpillColumns] = {};
    for (std::int64_t pair = from; pair < std::min(from + chain, pairs); ++pair) {
      for (int r = 0; r < kRows; ++r) {
        const std::int32_t first = a[r * a_stride + 2 * pair],
                           second = a[r * a_stride + 2 * pair + 1];
        for (int j = 0; j < kSpillColumns; ++j) {
          const std::int16_t* two = panel + (pair * kSpillColumns + j) * 2;
          sums[r][j] += static_cast<std::uint32_t>(first * two[0]) +
                        static_cast<std::uint32_t>(second * two[1]);
        }
      }
    }
    for (int r = 0; r < kRows; ++r)
      for (int j = 0; j < kSpillColumns; ++j)
        to[r * kSpillColumns + j] +=
            static_cast<float>(static_cast<std::int32_t>(sums[r][j])) * unit;
  }
}

#if defined(__x86_64__)
template <int kRows>
TANDEM_AVX2 void avx2_spill_tile(const std::int16_t* a, std::int64_t a_stride,
                                 const std::int16_t* panel, std::int64_t pairs, std::int64_t chain,
                                 float unit, float* to) {
  const __m256 factor = _mm256_set1_ps(unit);
  __m256 totals[kRows][2];
  for (int r = 0; r < kRows; ++r) totals[r][0] = totals[r][1] = _mm256_setzero_ps();
  for (std::int64_t from = 0; from < pairs; from += chain) {
    __m256i sums[kRows][2];
    for (int r = 0; r < kRows; ++r) sums[r][0] = sums[r][1] = _mm256_setzero_si256();
    const std::int64_t end = std::min(from + chain, pairs);
    for (std::int64_t pair = from; pair < end; ++pair) {
      const auto* two = reinterpret_cast<const __m256i*>(panel + pair * kSpillColumns * 2);
      const __m256i first = _mm256_loadu_si256(two), second = _mm256_loadu_si256(two + 1);
      for (int r = 0; r < kRows; ++r) {
        std::int32_t both;
        std::memcpy(&both, a + r * a_stride + 2 * pair, sizeof both);
        const __m256i factors = _mm256_set1_epi32(both);
        sums[r][0] = _mm256_add_epi32(sums[r][0], _mm256_madd_epi16(factors, first));
        sums[r][1] = _mm256_add_epi32(sums[r][1], _mm256_madd_epi16(factors, second));
      }
    }
    for (int r = 0; r < kRows; ++r)
      for (int half = 0; half < 2; ++half)
        totals[r][half] = _mm256_add_ps(totals[r][half],
                                        _mm256_mul_ps(_mm256_cvtepi32_ps(sums[r][half]), factor));
  }
  for (int r = 0; r < kRows; ++r)
    for (int half = 0; half < 2; ++half)
      _mm256_storeu_ps(to + r * kSpillColumns + 8 * half, totals[r][half]);
}
#endif

using SpillTile = void (*)(const std::int16_t*, std::int64_t, const std::int16_t*, std::int64_t,
                           std::int64_t, float, float*);

constexpr std::int64_t kSpillRows = 3;  // whose sums of both kinds fill the registers of AVX2
constexpr SpillTile kPortableSpills[] = {portable_spill_tile<1>, portable_spill_tile<2>,
                                         portable_spill_tile<3>};
#if defined(__x86_64__)
constexpr SpillTile kAvx2Spills[] = {avx2_spill_tile<1>, avx2_spill_tile<2>, avx2_spill_tile<3>};
#endif

const SpillTile* spill_tiles() {
#if defined(__x86_64__)
  if (instruction_set() >= InstructionSet::kAvx2) return kAvx2Spills;
#endif
  return kPortableSpills;
}

}  // namespace

std::int64_t safe_pairs(std::int64_t most_a, std::int64_t most_b) {
  ensure(most_a >= 0 && most_b >= 0 && most_a < (1 << 15) && most_b < (1 << 15),
         "magnitudes of 16-bit integers of another size");
  constexpr std::int64_t kMost = std::int64_t{1} << 30;
  const std::int64_t pair = 2 * most_a * most_b;
  return pair == 0 ? kMost : std::min(kMost, std::int64_t{INT32_MAX} / pair);
}

void gemm_with_spills(const std::int16_t* a, std::int64_t rows, std::int64_t a_stride,
                      const PackedB16& b, std::int64_t pairs, int exponent, float* c,
                      std::int64_t c_stride) {
  ensure(pairs >= 1, "chains of no products");
  const SpillTile* tile = spill_tiles();
  const std::int64_t all = b.padded_depth() / 2;
  const float unit = std::ldexp(1.0F, exponent);
  float results[kSpillRows * kSpillColumns];
  for (std::int64_t column = 0; column < b.columns; column += kSpillColumns) {
    const std::int16_t* panel = b.panels.data() + column * all * 2;
    const std::int64_t columns = std::min<std::int64_t>(kSpillColumns, b.columns - column);
    for (std::int64_t row = 0; row < rows; row += kSpillRows) {
      const std::int64_t now = std::min(kSpillRows, rows - row);
      tile[now - 1](a + row * a_stride, a_stride, panel, all, pairs, unit, results);
      for (std::int64_t r = 0; r < now; ++r)
        std::copy_n(results + r * kSpillColumns, columns, c + (row + r) * c_stride + column);
    }
  }
}

}  // namespace tandem
