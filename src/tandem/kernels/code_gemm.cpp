#include "tandem/kernels/code_gemm.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>

#if defined(__x86_64__)
#include "tandem/kernels/code_rescale_vectors.h"
#endif

namespace tandem {
namespace {

constexpr std::int64_t kWidth = PackedCodes::kPanel;

void portable_product(const std::uint8_t* a, std::int64_t rows, std::int64_t a_stride,
                      const std::int8_t* panel, std::int64_t quads, std::int32_t* c,
                      std::int64_t c_stride) {
  for (std::int64_t r = 0; r < rows; ++r, a += a_stride, c += c_stride) {
    std::int32_t sums[kWidth] = {};
    for (std::int64_t k = 0; k < quads; ++k)
      for (std::int64_t j = 0; j < kWidth; ++j)
        for (std::int64_t i = 0; i < 4; ++i)
          sums[j] += a[4 * k + i] * panel[(k * kWidth + j) * 4 + i];
    std::copy_n(sums, kWidth, c);
  }
}

#if defined(__x86_64__)

// kRows rows times kPanels panels, `pitch` bytes from panel to panel.
template <int kRows, int kPanels>
TANDEM_VNNI void vnni_tile(const std::uint8_t* a, std::int64_t a_stride, const std::int8_t* panels,
                           std::int64_t pitch, std::int64_t quads, std::int32_t* c,
                           std::int64_t c_stride) {
  __m512i sums[kRows][kPanels];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; ++p) sums[r][p] = _mm512_setzero_si512();
  for (std::int64_t k = 0; k < quads; ++k) {
    __m512i weights[kPanels];
    for (int p = 0; p < kPanels; ++p) weights[p] = _mm512_loadu_si512(panels + p * pitch + 64 * k);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      std::int32_t four;
      std::memcpy(&four, a + r * a_stride + 4 * k, sizeof four);
      const __m512i codes = _mm512_set1_epi32(four);
      for (int p = 0; p < kPanels; ++p) sums[r][p] = add_products(sums[r][p], codes, weights[p]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; ++p)
      _mm512_storeu_si512(c + r * c_stride + p * kWidth, sums[r][p]);
}

using VnniTile = void (*)(const std::uint8_t*, std::int64_t, const std::int8_t*, std::int64_t,
                          std::int64_t, std::int32_t*, std::int64_t);

// Tiles of 1 to `count` rows.
template <int kPanels, int... kRows>
constexpr auto vnni_tiles(std::integer_sequence<int, kRows...>) {
  return std::array<VnniTile, sizeof...(kRows)>{vnni_tile<kRows + 1, kPanels>...};
}
constexpr auto kVnniTiles4 = vnni_tiles<4>(std::make_integer_sequence<int, 6>());
constexpr auto kVnniTiles2 = vnni_tiles<2>(std::make_integer_sequence<int, 12>());
constexpr auto kVnniTiles1 = vnni_tiles<1>(std::make_integer_sequence<int, 12>());

// As many panels at once as fill the registers with sums.
template <std::size_t kMostRows>
void vnni_product(const std::array<VnniTile, kMostRows>& tiles, const std::uint8_t* a,
                  std::int64_t rows, std::int64_t a_stride, const std::int8_t* panels,
                  std::int64_t pitch, std::int64_t quads, std::int32_t* c, std::int64_t c_stride) {
  for (std::int64_t row = 0; row < rows; row += static_cast<std::int64_t>(kMostRows)) {
    const std::int64_t now = std::min(static_cast<std::int64_t>(kMostRows), rows - row);
    tiles[static_cast<std::size_t>(now - 1)](a + row * a_stride, a_stride, panels, pitch, quads,
                                             c + row * c_stride, c_stride);
  }
}

void multiply_vnni(const std::uint8_t* a, std::int64_t rows, std::int64_t a_stride,
                   const PackedCodes& b, std::int64_t first, std::int64_t count, std::int32_t* c,
                   std::int64_t c_stride) {
  const std::int64_t pitch = b.padded_depth() * kWidth, quads = (b.depth + 3) / 4;
  std::int64_t done = 0;
  while (done < count) {
    const std::int8_t* panels = b.panel(first + done);
    std::int32_t* to = c + done * kWidth;
    if (count - done >= 4) {
      vnni_product(kVnniTiles4, a, rows, a_stride, panels, pitch, quads, to, c_stride);
      done += 4;
    } else if (count - done >= 2) {
      vnni_product(kVnniTiles2, a, rows, a_stride, panels, pitch, quads, to, c_stride);
      done += 2;
    } else {
      vnni_product(kVnniTiles1, a, rows, a_stride, panels, pitch, quads, to, c_stride);
      done += 1;
    }
  }
}

// How the eight tile registers are used: sums in 0 to 3, codes in 4 and 5, weights in 6 and 7.
struct TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};

  // The codes of two tiles of rows.
  TileShapes(int first, int second) {
    const int of[8] = {first, first, second, second, first, second, 16, 16};
    for (int t = 0; t < 8; ++t) {
      row_bytes[t] = 64;
      rows[t] = static_cast<std::uint8_t>(std::max(of[t], 1));
    }
  }
};
static_assert(sizeof(TileShapes) == 64);

#define TANDEM_AMX __attribute__((target("amx-tile,amx-int8")))

// Up to 32 rows times two panels, or 16 rows or one panel where the others are absent.
template <bool kTwoRows, bool kTwoPanels>
TANDEM_AMX void amx_tile(const std::uint8_t* a, std::int64_t a_stride, const std::int8_t* panels,
                         std::int64_t pitch, std::int64_t blocks, std::int32_t* c,
                         std::int64_t c_stride) {
  const auto a_bytes = static_cast<std::size_t>(a_stride);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t k = 0; k < blocks; ++k) {
    _tile_loadd(4, a + 64 * k, a_bytes);
    _tile_loadd(6, panels + 1024 * k, 64);
    _tile_dpbusd(0, 4, 6);
    if constexpr (kTwoPanels) {
      _tile_loadd(7, panels + pitch + 1024 * k, 64);
      _tile_dpbusd(1, 4, 7);
    }
    if constexpr (kTwoRows) {
      _tile_loadd(5, a + 16 * a_stride + 64 * k, a_bytes);
      _tile_dpbusd(2, 5, 6);
      if constexpr (kTwoPanels) _tile_dpbusd(3, 5, 7);
    }
  }
  const auto c_bytes = static_cast<std::size_t>(c_stride) * sizeof(std::int32_t);
  _tile_stored(0, c, c_bytes);
  if constexpr (kTwoPanels) _tile_stored(1, c + kWidth, c_bytes);
  if constexpr (kTwoRows) {
    _tile_stored(2, c + 16 * c_stride, c_bytes);
    if constexpr (kTwoPanels) _tile_stored(3, c + 16 * c_stride + kWidth, c_bytes);
  }
}

TANDEM_AMX void multiply_amx(const std::uint8_t* a, std::int64_t rows, std::int64_t a_stride,
                             const PackedCodes& b, std::int64_t first, std::int64_t count,
                             std::int32_t* c, std::int64_t c_stride) {
  const std::int64_t pitch = b.padded_depth() * kWidth, blocks = b.padded_depth() / 64;
  int shaped = 0;
  for (std::int64_t row = 0; row < rows; row += 32) {
    const int now = static_cast<int>(std::min<std::int64_t>(32, rows - row));
    if (now != shaped) {
      const TileShapes shapes(std::min(now, 16), now - 16);
      _tile_loadconfig(&shapes);
      shaped = now;
    }
    for (std::int64_t panel = 0; panel < count; panel += 2) {
      const std::int8_t* panels = b.panel(first + panel);
      std::int32_t* to = c + row * c_stride + panel * kWidth;
      const bool two_rows = now > 16, two_panels = count - panel > 1;
      const auto tile = two_rows     ? two_panels ? amx_tile<true, true> : amx_tile<true, false>
                            : two_panels ? amx_tile<false, true>
                                     : amx_tile<false, false>;
      tile(a + row * a_stride, a_stride, panels, pitch, blocks, to, c_stride);
    }
  }
  _tile_release();
}

// kRows rows times a panel of 16 columns, in the steps of its proof.
template <int kRows>
struct WindowTile {
  const std::uint8_t* a;
  std::int64_t a_stride;
  __m256i low[kRows], high[kRows];

  // `count` times kLength steps of one window, whose sums stay in 16 bits.
  template <int kLength>
  TANDEM_AVX2_INLINE void add_steps(std::uint32_t count, const std::uint32_t*& offsets,
                                    const std::int8_t*& steps) {
    const __m256i ones = _mm256_set1_epi16(1);
    for (std::uint32_t n = 0; n < count; ++n, ++offsets, steps += kLength * 96) {
      __m256i order[kLength], first[kLength], second[kLength];
#pragma GCC unroll 2
      for (int s = 0; s < kLength; ++s) {
        const auto* bytes = reinterpret_cast<const __m256i*>(steps) + 3 * s;
        order[s] = _mm256_loadu_si256(bytes);
        first[s] = _mm256_loadu_si256(bytes + 1);
        second[s] = _mm256_loadu_si256(bytes + 2);
      }
      const std::uint8_t* window = a + *offsets;
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const __m256i codes = _mm256_broadcastsi128_si256(
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(window + r * a_stride)));
        __m256i placed = _mm256_shuffle_epi8(codes, order[0]);
        __m256i x = _mm256_maddubs_epi16(placed, first[0]);
        __m256i y = _mm256_maddubs_epi16(placed, second[0]);
#pragma GCC unroll 2
        for (int s = 1; s < kLength; ++s) {
          placed = _mm256_shuffle_epi8(codes, order[s]);
          x = _mm256_add_epi16(x, _mm256_maddubs_epi16(placed, first[s]));
          y = _mm256_add_epi16(y, _mm256_maddubs_epi16(placed, second[s]));
        }
        low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(x, ones));
        high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(y, ones));
      }
    }
  }

  TANDEM_AVX2 static void run(const std::uint8_t* a, std::int64_t a_stride,
                              const PairedPanel& panel, std::int32_t* c, std::int64_t c_stride) {
    WindowTile tile{a, a_stride, {}, {}};
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) tile.low[r] = tile.high[r] = _mm256_setzero_si256();
    const std::uint32_t* offsets = panel.offsets.data();
    const std::int8_t* steps = panel.steps.data();
    static_assert(PairedPanel::kStepBytes == 96);
    tile.template add_steps<2>(panel.doubles, offsets, steps);
    tile.template add_steps<1>(panel.singles, offsets, steps);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + r * c_stride), tile.low[r]);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + r * c_stride + 8), tile.high[r]);
    }
  }
};

// The same in steps whose products are added in 32 bits at once.
template <int kRows>
TANDEM_AVX2 void wide_tile(const std::uint8_t* a, std::int64_t a_stride, const PairedPanel& panel,
                           std::int32_t* c, std::int64_t c_stride) {
  __m256i low[kRows], high[kRows];
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) low[r] = high[r] = _mm256_setzero_si256();
  const __m256i even_bytes = _mm256_set1_epi16(0xFF);
  const std::int16_t* weights = panel.wide_weights.data();
  for (const std::uint32_t offset : panel.wide_offsets) {
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      // Read for each row anew: there are no registers left that could hold them.
      const auto* words = reinterpret_cast<const __m256i*>(weights);
      asm("" : "+r"(words));
      std::int32_t four;
      std::memcpy(&four, a + r * a_stride + offset, sizeof four);
      const __m256i codes = _mm256_set1_epi32(four);
      const __m256i even = _mm256_and_si256(codes, even_bytes), odd = _mm256_srli_epi16(codes, 8);
      low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(even, _mm256_loadu_si256(words)));
      high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(even, _mm256_loadu_si256(words + 1)));
      low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(odd, _mm256_loadu_si256(words + 2)));
      high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(odd, _mm256_loadu_si256(words + 3)));
    }
    weights += 64;
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + r * c_stride), low[r]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + r * c_stride + 8), high[r]);
  }
}

using Avx2Tile = void (*)(const std::uint8_t*, std::int64_t, const PairedPanel&, std::int32_t*,
                          std::int64_t);
constexpr std::array<Avx2Tile, 4> kWindowTiles = {WindowTile<1>::run, WindowTile<2>::run,
                                                  WindowTile<3>::run, WindowTile<4>::run};
constexpr std::array<Avx2Tile, 6> kWideTiles = {wide_tile<1>, wide_tile<2>, wide_tile<3>,
                                                wide_tile<4>, wide_tile<5>, wide_tile<6>};

// Tiles of 1 to as many rows as there are kinds of them.
void run_tiles(std::span<const Avx2Tile> tiles, const std::uint8_t* a, std::int64_t rows,
               std::int64_t a_stride, const PairedPanel& panel, std::int32_t* c,
               std::int64_t c_stride) {
  const auto most = static_cast<std::int64_t>(tiles.size());
  for (std::int64_t row = 0; row < rows; row += most) {
    const std::int64_t now = std::min(most, rows - row);
    tiles[static_cast<std::size_t>(now - 1)](a + row * a_stride, a_stride, panel,
                                             c + row * c_stride, c_stride);
  }
}

void multiply_avx2(const std::uint8_t* a, std::int64_t rows, std::int64_t a_stride,
                   const PairedPanel& panel, std::int32_t* c, std::int64_t c_stride) {
  if (panel.wide_offsets.empty())
    run_tiles(kWindowTiles, a, rows, a_stride, panel, c, c_stride);
  else
    run_tiles(kWideTiles, a, rows, a_stride, panel, c, c_stride);
}
#endif

// Four rows of sixteen weights, of which `rows` and `columns` exist, side by side for each column.
struct Quad {
  std::int8_t bytes[4][kWidth];

  Quad(const std::uint8_t* b, std::int64_t rows, std::int64_t columns, std::int64_t stride,
       std::uint8_t flip) {
    std::memset(bytes, 0, sizeof bytes);
    for (std::int64_t i = 0; i < rows; ++i) {
      if (columns == kWidth) {
        std::memcpy(bytes[i], b + i * stride, kWidth);
      } else {
        std::copy_n(reinterpret_cast<const std::int8_t*>(b + i * stride), columns, bytes[i]);
      }
      for (std::int64_t j = 0; j < columns; ++j)
        bytes[i][j] = static_cast<std::int8_t>(bytes[i][j] ^ flip);
    }
  }
  void add_to(std::int32_t* sums) const {
    for (const auto& row : bytes)
      for (std::int64_t j = 0; j < kWidth; ++j) sums[j] += row[j];
  }
  void interleave(std::int8_t* to) const {
#if defined(__x86_64__)
    const auto row = [&](int i) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes[i]));
    };
    const __m128i low01 = _mm_unpacklo_epi8(row(0), row(1)),
                  high01 = _mm_unpackhi_epi8(row(0), row(1)),
                  low23 = _mm_unpacklo_epi8(row(2), row(3)),
                  high23 = _mm_unpackhi_epi8(row(2), row(3));
    auto* vectors = reinterpret_cast<__m128i*>(to);
    _mm_storeu_si128(vectors, _mm_unpacklo_epi16(low01, low23));
    _mm_storeu_si128(vectors + 1, _mm_unpackhi_epi16(low01, low23));
    _mm_storeu_si128(vectors + 2, _mm_unpacklo_epi16(high01, high23));
    _mm_storeu_si128(vectors + 3, _mm_unpackhi_epi16(high01, high23));
#else
    for (std::int64_t j = 0; j < kWidth; ++j)
      for (std::int64_t i = 0; i < 4; ++i) to[4 * j + i] = bytes[i][j];
#endif
  }
  // Elements 0 and 2, then 1 and 3, as words.
  void interleave_wide(std::int16_t* to) const {
    for (std::int64_t first = 0; first < 2; ++first)
      for (std::int64_t j = 0; j < kWidth; ++j)
        for (std::int64_t i = 0; i < 2; ++i)
          to[(first * kWidth + j) * 2 + i] = bytes[first + 2 * i][j];
  }
};

struct RowSumKernel {
  [[gnu::always_inline]] static inline void run(const std::uint8_t* a, std::int64_t rows,
                                                std::int64_t a_stride, std::int64_t count,
                                                std::int32_t* sums) {
    for (std::int64_t r = 0; r < rows; ++r) {
      std::int32_t sum = 0;
      for (std::int64_t k = 0; k < count; ++k) sum += a[r * a_stride + k];
      sums[r] = sum;
    }
  }
};

struct FlipKernel {
  [[gnu::always_inline]] static inline void run(std::uint8_t* codes, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) codes[i] ^= 0x80;
  }
};

struct AddToSumsKernel {
  [[gnu::always_inline]] static inline void run(const std::int32_t* by_row,
                                                const std::int32_t* by_column, std::int64_t rows,
                                                std::int64_t columns, std::int32_t* c,
                                                std::int64_t c_stride) {
    for (std::int64_t r = 0; r < rows; ++r, c += c_stride)
      for (std::int64_t j = 0; j < columns; ++j) c[j] += by_row[r] + by_column[j];
  }
};

// Column j of panel p as [depth][kWidth].
std::vector<std::int8_t> panel_rows(const std::int8_t* b, std::int64_t depth, std::int64_t padded,
                                    std::int64_t columns, std::int64_t row_stride,
                                    std::int64_t column_stride, std::int64_t panel) {
  std::vector<std::int8_t> rows(static_cast<std::size_t>(padded * kWidth));
  const std::int64_t first = panel * kWidth, count = std::min(kWidth, columns - first);
  for (std::int64_t k = 0; k < depth; ++k)
    for (std::int64_t j = 0; j < count; ++j)
      rows[static_cast<std::size_t>(k * kWidth + j)] =
          b[k * row_stride + (first + j) * column_stride];
  return rows;
}

}  // namespace

PackedCodes pack_codes(const std::int8_t* b, std::int64_t depth, std::int64_t columns,
                       std::int64_t row_stride, std::int64_t column_stride, int most) {
  PackedCodes packed;
  packed.set = instruction_set();
  packed.depth = depth;
  packed.columns = columns;
  packed.sums.assign(static_cast<std::size_t>(columns), 0);
  for (std::int64_t k = 0; k < depth; ++k)
    for (std::int64_t j = 0; j < columns; ++j)
      packed.sums[static_cast<std::size_t>(j)] += b[k * row_stride + j * column_stride];
  const std::int64_t padded = packed.padded_depth(), panels = packed.panel_count();
  const bool pairs = packed.set == InstructionSet::kAvx2;
  if (!pairs) packed.lines.resize(static_cast<std::size_t>(panels * padded * kWidth / 64));
  for (std::int64_t panel = 0; panel < panels; ++panel) {
    const auto rows = panel_rows(b, depth, padded, columns, row_stride, column_stride, panel);
    if (pairs) {
      packed.paired.push_back(pair_panel(rows, padded, most));
      continue;
    }
    std::int8_t* to = packed.lines.data()->bytes + panel * padded * kWidth;
    for (std::int64_t k = 0; k < padded; ++k)
      for (std::int64_t j = 0; j < kWidth; ++j)
        to[(k / 4 * kWidth + j) * 4 + k % 4] = rows[static_cast<std::size_t>(k * kWidth + j)];
  }
  return packed;
}

void pack_computed_codes(const std::uint8_t* b, bool is_signed, std::int64_t depth,
                         std::int64_t columns, PackedCodes& packed) {
  packed.set = instruction_set();
  packed.depth = depth;
  packed.columns = columns;
  const std::int64_t panels = packed.panel_count(), quads = (depth + 3) / 4,
                     pitch = packed.padded_depth() * kWidth;
  const bool wide = packed.set == InstructionSet::kAvx2;
  packed.sums.assign(static_cast<std::size_t>(panels * kWidth), 0);
  if (wide) packed.paired.resize(static_cast<std::size_t>(panels));
  if (!wide) packed.lines.resize(static_cast<std::size_t>(panels * pitch / 64));
  for (std::int64_t p = 0; p < panels; ++p) {
    std::int8_t* to = wide ? nullptr : packed.lines.data()->bytes + p * pitch;
    if (wide) {
      PairedPanel& panel = packed.paired[static_cast<std::size_t>(p)];
      panel.wide_offsets.resize(static_cast<std::size_t>(quads));
      panel.wide_weights.resize(static_cast<std::size_t>(quads * 64));
    } else {
      std::memset(to + quads * 64, 0, static_cast<std::size_t>(pitch - quads * 64));
    }
    for (std::int64_t q = 0; q < quads; ++q) {
      const Quad quad(b + 4 * q * columns + p * kWidth, std::min<std::int64_t>(4, depth - 4 * q),
                      std::min(kWidth, columns - p * kWidth), columns, is_signed ? 0 : 0x80);
      quad.add_to(packed.sums.data() + p * kWidth);
      if (!wide) {
        quad.interleave(to + 64 * q);
        continue;
      }
      PairedPanel& panel = packed.paired[static_cast<std::size_t>(p)];
      panel.wide_offsets[static_cast<std::size_t>(q)] = static_cast<std::uint32_t>(4 * q);
      quad.interleave_wide(panel.wide_weights.data() + 64 * q);
    }
  }
}

void sum_code_rows(const std::uint8_t* a, std::int64_t rows, std::int64_t a_stride,
                   std::int64_t count, std::int32_t* sums) {
  run_kernel<RowSumKernel>(a, rows, a_stride, count, sums);
}

void flip_code_signs(std::uint8_t* codes, std::int64_t count) {
  run_kernel<FlipKernel>(codes, count);
}

void add_to_sums(const std::int32_t* by_row, const std::int32_t* by_column, std::int64_t rows,
                 std::int64_t columns, std::int32_t* c, std::int64_t c_stride) {
  run_kernel<AddToSumsKernel>(by_row, by_column, rows, columns, c, c_stride);
}

void multiply_codes(const std::uint8_t* a, std::int64_t rows, std::int64_t a_stride,
                    const PackedCodes& b, std::int64_t first, std::int64_t count, std::int32_t* c,
                    std::int64_t c_stride) {
#if defined(__x86_64__)
  if (b.set == InstructionSet::kAmx)
    return multiply_amx(a, rows, a_stride, b, first, count, c, c_stride);
  if (b.set == InstructionSet::kVnni)
    return multiply_vnni(a, rows, a_stride, b, first, count, c, c_stride);
  if (b.set == InstructionSet::kAvx2) {
    for (std::int64_t p = 0; p < count; ++p)
      multiply_avx2(a, rows, a_stride, b.paired[static_cast<std::size_t>(first + p)],
                    c + p * kWidth, c_stride);
    return;
  }
#endif
  for (std::int64_t p = 0; p < count; ++p)
    portable_product(a, rows, a_stride, b.panel(first + p), (b.depth + 3) / 4, c + p * kWidth,
                     c_stride);
}

}  // namespace tandem
