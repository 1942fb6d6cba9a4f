#include "tandem/kernels/tile_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace tandem {
namespace {

#define TANDEM_TILES __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl")))

// GCC does not know what the instructions on tiles read: all that was written is in memory then.
inline void write_all(const void* memory) { asm volatile("" : : "r"(memory) : "memory"); }

struct FloatTileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};

  // Sums in tiles 0 to 3, left operands in 4 and 5, right ones in 6 and 7.
  explicit FloatTileShapes(std::int64_t left_rows) {
    for (int t = 0; t < 8; ++t) {
      row_bytes[t] = 64;
      rows[t] = static_cast<std::uint8_t>(t < 6 ? left_rows : 16);
    }
  }
};
static_assert(sizeof(FloatTileShapes) == 64);

// Adds `count` steps to `from`, rows of 32 numbers that lie `pitch` bytes apart, for up to two
// tiles of positions and two of filters. The order of the products lets each operand be loaded as
// seldom as eight tiles allow.
template <bool kTwoRows, bool kTwoPanels>
TANDEM_TILES void add_steps(const std::byte* left, std::int64_t next_tile, std::int64_t plane,
                            const TileStep* steps, std::int64_t count, const std::byte* right,
                            const float* from, std::size_t pitch, float* sums,
                            std::int64_t next_sums) {
  constexpr int kPitch = kTileWide * sizeof(float);
  write_all(left);
  const float* next_from = from + (pitch == 0 ? 0 : next_sums);
  _tile_loadd(0, from, pitch);
  if constexpr (kTwoPanels) _tile_loadd(1, from + 16, pitch);
  if constexpr (kTwoRows) _tile_loadd(2, next_from, pitch);
  if constexpr (kTwoRows && kTwoPanels) _tile_loadd(3, next_from + 16, pitch);
#define TANDEM_LEFT(which)                          \
  _tile_loadd(4, a + (which)*plane, kTileRowBytes); \
  if constexpr (kTwoRows) _tile_loadd(5, a + (which)*plane + next_tile, kTileRowBytes);
#define TANDEM_RIGHT(which)                       \
  _tile_loadd(6, b + (which)*2 * kTileBytes, 64); \
  if constexpr (kTwoPanels) _tile_loadd(7, b + (which)*2 * kTileBytes + kTileBytes, 64);
#define TANDEM_PRODUCT                               \
  _tile_dpbf16ps(0, 4, 6);                           \
  if constexpr (kTwoPanels) _tile_dpbf16ps(1, 4, 7); \
  if constexpr (kTwoRows) _tile_dpbf16ps(2, 5, 6);   \
  if constexpr (kTwoRows && kTwoPanels) _tile_dpbf16ps(3, 5, 7);
  for (std::int64_t s = 0; s < count; ++s) {
    const std::byte *a = left + steps[s].left, *b = right + s * kTileStepBytes;
    TANDEM_RIGHT(0)
    TANDEM_LEFT(2)
    TANDEM_PRODUCT
    TANDEM_LEFT(1)
    TANDEM_PRODUCT
    TANDEM_RIGHT(1)
    TANDEM_PRODUCT
    TANDEM_LEFT(0)
    TANDEM_PRODUCT
    TANDEM_RIGHT(2)
    TANDEM_PRODUCT
    TANDEM_RIGHT(0)
    TANDEM_PRODUCT
  }
#undef TANDEM_LEFT
#undef TANDEM_RIGHT
#undef TANDEM_PRODUCT
  _tile_stored(0, sums, kPitch);
  if constexpr (kTwoPanels) _tile_stored(1, sums + 16, kPitch);
  if constexpr (kTwoRows) _tile_stored(2, sums + next_sums, kPitch);
  if constexpr (kTwoRows && kTwoPanels) _tile_stored(3, sums + next_sums + 16, kPitch);
}

// The upper half of each number's bits: its greatest part in bf16.
TANDEM_TILES inline __m512 upper_part(__m512 x) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000U));
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), upper));
}

// 32 numbers as three planes of bf16; `remains` is NaN once one of them is infinite or NaN.
TANDEM_TILES inline void split_vectors(__m512 first, __m512 second, std::byte* to,
                                       std::int64_t plane, __m512& remains) {
  const __m512i halves =
      _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27,
                       25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  for (int p = 0; p < kTilePlanes; ++p) {
    _mm512_storeu_si512(
        to + p * plane,
        _mm512_permutex2var_epi16(_mm512_castps_si512(first), halves, _mm512_castps_si512(second)));
    first = _mm512_sub_ps(first, upper_part(first));
    second = _mm512_sub_ps(second, upper_part(second));
  }
  remains = _mm512_add_ps(remains, _mm512_add_ps(first, second));
}

}  // namespace

TANDEM_TILES bool split_pixels(const float* x, std::int64_t step, std::int64_t count,
                               std::int64_t channels, std::byte* to, std::int64_t plane,
                               std::int64_t block) {
  __m512 remains = _mm512_setzero_ps();
  const std::int64_t whole = channels / kTileDeep, rest = channels % kTileDeep;
  const auto mask = (std::uint64_t{1} << rest) - 1;
  // Block by block: what is written lies side by side.
  for (std::int64_t b = 0; b < whole; ++b) {
    const float* from = x + kTileDeep * b;
    std::byte* place = to + b * block;
    for (std::int64_t p = 0; p < count; ++p, from += step, place += 64)
      split_vectors(_mm512_loadu_ps(from), _mm512_loadu_ps(from + 16), place, plane, remains);
  }
  if (rest > 0) {
    const float* from = x + kTileDeep * whole;
    std::byte* place = to + whole * block;
    for (std::int64_t p = 0; p < count; ++p, from += step, place += 64)
      split_vectors(_mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), from),
                    _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), from + 16), place,
                    plane, remains);
  }
  return _mm512_cmp_ps_mask(remains, remains, _CMP_UNORD_Q) == 0;
}

TANDEM_TILES void split_right(const float* w, std::int64_t row_step, std::int64_t depth,
                              std::int64_t columns, std::byte* to) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000U));
  const auto mask = columns >= kTileWide ? ~std::uint64_t{0} : (std::uint64_t{1} << columns) - 1;
  for (int tile = 0; tile < (columns > 16 ? 2 : 1); ++tile, to += kTileBytes) {
    const auto lanes = static_cast<__mmask16>(mask >> (16 * tile));
    const float* from = w + 16 * tile;
    for (std::int64_t k = 0; k < kTileDeep; k += 2, from += 2 * row_step) {
      std::byte* place = to + 32 * k;
      __m512i even = _mm512_setzero_si512(), odd = even;
      // The next step's rows are on their way meanwhile.
      const float* then = from + kTileDeep * row_step;
      _mm_prefetch(reinterpret_cast<const char*>(then), _MM_HINT_T1);
      _mm_prefetch(reinterpret_cast<const char*>(then + row_step), _MM_HINT_T1);
      if (k < depth) even = _mm512_castps_si512(_mm512_maskz_loadu_ps(lanes, from));
      if (k + 1 < depth) odd = _mm512_castps_si512(_mm512_maskz_loadu_ps(lanes, from + row_step));
      for (int p = 0; p < kTilePlanes; ++p) {
        const __m512i even_part = _mm512_and_si512(even, upper);
        const __m512i odd_part = _mm512_and_si512(odd, upper);
        _mm512_storeu_si512(
            place + p * 2 * kTileBytes,
            _mm512_or_si512(_mm512_maskz_srli_epi32(0xffff, even_part, 16), odd_part));
        even = _mm512_castps_si512(
            _mm512_sub_ps(_mm512_castsi512_ps(even), _mm512_castsi512_ps(even_part)));
        odd = _mm512_castps_si512(
            _mm512_sub_ps(_mm512_castsi512_ps(odd), _mm512_castsi512_ps(odd_part)));
      }
    }
  }
}

TANDEM_TILES void shape_tiles(std::int64_t left_rows) {
  const FloatTileShapes shapes(left_rows);
  write_all(&shapes);
  _tile_loadconfig(&shapes);
}
TANDEM_TILES void release_tiles() { _tile_release(); }

void add_tile_steps(const TileSums& t, const TileStep* steps, std::int64_t count) {
  const auto add = t.two_rows     ? t.two_panels ? add_steps<true, true> : add_steps<true, false>
                       : t.two_panels ? add_steps<false, true>
                                  : add_steps<false, false>;
  add(t.left, t.next_left, t.plane, steps, count, t.right, t.from, t.from_pitch, t.sums,
      t.next_sums);
}

}  // namespace tandem

#else

#include "tandem/base/error.h"

namespace tandem {

void shape_tiles(std::int64_t) { throw InternalError("tiles without x86-64"); }
void release_tiles() {}
bool split_pixels(const float*, std::int64_t, std::int64_t, std::int64_t, std::byte*, std::int64_t,
                  std::int64_t) {
  throw InternalError("tiles without x86-64");
}
void split_right(const float*, std::int64_t, std::int64_t, std::int64_t, std::byte*) {}
void add_tile_steps(const TileSums&, const TileStep*, std::int64_t) {}

}  // namespace tandem

#endif
