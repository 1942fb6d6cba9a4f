#include <algorithm>
#include <cstring>

#include "tandem/base/error.h"
#include "tandem/kernels/decode_panels.h"

#if defined(__x86_64__)
#include "tandem/kernels/code_rescale_vectors.h"

#define TANDEM_DECODE __attribute__((target("avx2,fma,f16c")))
#define TANDEM_DECODE_INLINE TANDEM_DECODE inline __attribute__((always_inline))

namespace tandem {
namespace {

constexpr int kSteps = kDecodeTile / 4;
constexpr int kHalves = kDecodePanel / 8;  // vectors of eight rows

TANDEM_DECODE_INLINE __m256i load_bytes(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

// Asks for the tile that lies some way ahead: the next of this panel, or of the one behind it.
template <int kBits>
TANDEM_DECODE_INLINE void prefetch_ahead(const std::uint8_t* tile) {
  constexpr int kAhead = 2048, kLine = 64;
#pragma GCC unroll 8
  for (int at = 0; at < 4 * kDecodePanel * kBits; at += kLine)
    _mm_prefetch(reinterpret_cast<const char*>(tile + kAhead + at), _MM_HINT_T0);
}

// ---- Codes of a step: four positions of the depth for eight rows, 32 bytes ----

// The field of step `step` in a plane of kWidth bits, moved to bit `to` of its byte; with others
// beside it where it is not `alone`.
template <int kWidth>
TANDEM_DECODE_INLINE __m256i field(const std::uint8_t* plane, int half, int step, int to,
                                   bool alone) {
  constexpr int kFields = 8 / kWidth;
  const __m256i bytes = load_bytes(plane + 32 * (half * kWidth + step / kFields));
  if constexpr (kWidth == 8) return bytes;
  const int from = step % kFields * kWidth;
  const __m256i moved = to > from   ? _mm256_slli_epi16(bytes, to - from)
                        : to < from ? _mm256_srli_epi16(bytes, from - to)
                                    : bytes;
  const auto mask = static_cast<char>(((1 << kWidth) - 1) << to);
  return alone ? _mm256_and_si256(moved, _mm256_set1_epi8(mask)) : moved;
}

// The codes of kBits bits, shifted left by `shift`. Not `alone`, those of one plane have other
// bits above them, and those of the byte below under them.
template <int kBits>
TANDEM_DECODE_INLINE __m256i codes_of(const std::uint8_t* tile, int half, int step, int shift,
                                      bool alone = true) {
  if constexpr (8 % kBits == 0) return field<kBits>(tile, half, step, shift, alone);
  int from = 0;
  __m256i codes = _mm256_setzero_si256();
  if constexpr ((kBits & 4) != 0) {
    codes = field<4>(tile, half, step, shift, true);
    from += 4;
  }
  if constexpr ((kBits & 2) != 0) {
    const __m256i two = field<2>(tile + 32 * kHalves * from, half, step, shift + from, true);
    codes = from == 0 ? two : _mm256_or_si256(codes, two);
    from += 2;
  }
  if constexpr ((kBits & 1) != 0)
    codes = _mm256_or_si256(codes,
                            field<1>(tile + 32 * kHalves * from, half, step, shift + from, true));
  return codes;
}

// ---- Reals of a step: a vector of eight rows for each of four positions ----
// A decoder opens a step and then makes one vector after the other: registers are few.

// Unsigned integers times powers of two, which decode_prescale() takes back: a code is masked out
// of its lane of 32 bits and converted where it stands; one of 8 bits at the top is shifted down,
// since a lane is signed.
template <int kBits>
struct IntegerReals {
  static constexpr int kChains = 4;
  static constexpr bool kOneRegister = true;
  __m256i masks[4];

  TANDEM_DECODE_INLINE explicit IntegerReals(const CodeDecoder&) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j)
      masks[j] = _mm256_set1_epi32(static_cast<int>(((1U << kBits) - 1) << 8 * j));
  }
  using Step = __m256i;
  TANDEM_DECODE_INLINE Step open(const std::uint8_t* tile, int half, int step) const {
    return codes_of<kBits>(tile, half, step, 0, false);
  }
  TANDEM_DECODE_INLINE __m256 real(const Step& bytes, int j) const {
    return _mm256_cvtepi32_ps(kBits == 8 && j == 3 ? _mm256_srli_epi32(bytes, 24)
                                                   : _mm256_and_si256(bytes, masks[j]));
  }
};

// Bits moved to the places that they have in f16. A byte becomes the upper one of 16 bits.
template <int kBits>
struct FloatReals {
  static constexpr int kChains = 4;
  static constexpr bool kOneRegister = false;
  __m128i shift;
  __m256i mask;

  TANDEM_DECODE_INLINE explicit FloatReals(const CodeDecoder& decoder) {
    const int down = 5 - decoder.exponent_bits;
    shift = _mm_cvtsi32_si128(down);
    mask = _mm256_set1_epi16(static_cast<short>(0x8000 | 0x7fff >> down));
  }
  // Positions 0, 2, 1 and 3: each half of a register is one.
  struct Step {
    alignas(32) std::uint16_t halves[4][8];
  };
  TANDEM_DECODE_INLINE Step open(const std::uint8_t* tile, int half, int step) const {
    const __m256i bytes = codes_of<kBits>(tile, half, step, 8 - kBits),
                  zero = _mm256_setzero_si256();
    Step opened;
    _mm256_store_si256(reinterpret_cast<__m256i*>(opened.halves[0]),
                       in_place(_mm256_unpacklo_epi8(zero, bytes)));
    _mm256_store_si256(reinterpret_cast<__m256i*>(opened.halves[2]),
                       in_place(_mm256_unpackhi_epi8(zero, bytes)));
    // Conversions take their half from memory: to extract it takes as long as all the rest.
    asm("" : "+m"(opened));
    return opened;
  }
  TANDEM_DECODE_INLINE __m256 real(const Step& step, int j) const {
    return _mm256_cvtph_ps(
        _mm_load_si128(reinterpret_cast<const __m128i*>(step.halves[j % 2 * 2 + j / 2])));
  }

 private:
  TANDEM_DECODE_INLINE __m256i in_place(__m256i top) const {
    return _mm256_and_si256(_mm256_sra_epi16(top, shift), mask);
  }
};

// Four tables, one for each byte of an f32.
struct TableReals {
  static constexpr int kChains = 2;
  static constexpr bool kOneRegister = false;
  __m256i bytes[4];

  TANDEM_DECODE_INLINE explicit TableReals(const CodeDecoder& decoder) {
    for (std::size_t b = 0; b < 4; ++b) {
      std::uint8_t table[16];
      for (std::size_t i = 0; i < 16; ++i)
        std::memcpy(table + i, reinterpret_cast<const char*>(&decoder.table[i]) + b, 1);
      bytes[b] =
          _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
    }
  }
  struct Step {
    __m256i low[2], high[2];  // two bytes each of positions 0 and 1, and of 2 and 3
  };
  TANDEM_DECODE_INLINE Step open(const std::uint8_t* tile, int half, int step) const {
    const __m256i codes = codes_of<4>(tile, half, step, 0);
    const __m256i a = _mm256_shuffle_epi8(bytes[0], codes),
                  b = _mm256_shuffle_epi8(bytes[1], codes),
                  c = _mm256_shuffle_epi8(bytes[2], codes),
                  d = _mm256_shuffle_epi8(bytes[3], codes);
    return {{_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)},
            {_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d)}};
  }
  TANDEM_DECODE_INLINE __m256 real(const Step& step, int j) const {
    const __m256i low = step.low[j / 2], high = step.high[j / 2];
    return _mm256_castsi256_ps(j % 2 == 0 ? _mm256_unpacklo_epi16(low, high)
                                          : _mm256_unpackhi_epi16(low, high));
  }
};

// ---- Scales and zero points of eight rows ----

TANDEM_DECODE_INLINE __m256 halves(const void* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(from)));
}

TANDEM_DECODE_INLINE __m256i eight_bytes(const void* from) {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(from)));
}

// Of a group of any kind but kNested.
TANDEM_DECODE_INLINE __m256 plain_scales(ScaleKind kind, const std::byte* scales,
                                         std::int64_t group, int half) {
  const std::int64_t at = group * kDecodePanel + 8 * half;
  if (kind == ScaleKind::kF16) return halves(scales + 2 * at);
  if (kind == ScaleKind::kF32) return _mm256_loadu_ps(reinterpret_cast<const float*>(scales) + at);
  const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(scales + 2 * at));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(codes), 16));
}

TANDEM_DECODE_INLINE __m256i nested_scales(const DecodeWeights::Panel& panel, std::int64_t group,
                                           int half) {
  return eight_bytes(panel.scales + group * kDecodePanel + 8 * half);
}

TANDEM_DECODE_INLINE __m256 super_scales(const DecodeWeights::Panel& panel, std::int64_t super,
                                         int half) {
  return halves(panel.super_scales + super * kDecodePanel + 8 * half);
}

TANDEM_DECODE_INLINE __m256i zero_points(const DecodeWeights::Panel& panel, std::int64_t group,
                                         int half) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(
      reinterpret_cast<const __m128i*>(panel.zeros + group * kDecodePanel + 8 * half)));
}

// ---- With f32 ----

// `of_one` chains of sums for one row of x and each half, so that additions need not wait for each
// other; more rows wait for each other less.
constexpr int chains_of(int rows, int of_one) { return rows == 1 ? of_one : rows == 2 ? 2 : 1; }

template <int kRows, int kOfOne>
struct RealSums {
  static constexpr int kChains = chains_of(kRows, kOfOne);
  __m256 at[kHalves][kRows][kChains];

  TANDEM_DECODE_INLINE void clear() {
#pragma GCC unroll 2
    for (int half = 0; half < kHalves; ++half)
#pragma GCC unroll 4
      for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 4
        for (int c = 0; c < kChains; ++c) at[half][m][c] = _mm256_setzero_ps();
  }
  // Four positions, of which x has kRows elements each.
  template <typename Reals>
  TANDEM_DECODE_INLINE void add(const Reals& reals, const std::uint8_t* tile, int step,
                                const float* x) {
    if constexpr (Reals::kOneRegister) {  // an element of x meets both halves at once
      const typename Reals::Step first = reals.open(tile, 0, step),
                                 second = reals.open(tile, 1, step);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const __m256 real[kHalves] = {reals.real(first, j), reals.real(second, j)};
#pragma GCC unroll 4
        for (int m = 0; m < kRows; ++m) {
          const __m256 element = _mm256_broadcast_ss(x + j * kRows + m);
#pragma GCC unroll 2
          for (int half = 0; half < kHalves; ++half) {
            __m256& sum = at[half][m][j % kChains];
            sum = _mm256_fmadd_ps(real[half], element, sum);
          }
        }
      }
    } else {
#pragma GCC unroll 2
      for (int half = 0; half < kHalves; ++half) {
        asm("" : "+r"(x));  // else x is kept in registers for the second half, and sums in memory
        const typename Reals::Step opened = reals.open(tile, half, step);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
          const __m256 real = reals.real(opened, j);
#pragma GCC unroll 4
          for (int m = 0; m < kRows; ++m) {
            __m256& sum = at[half][m][j % kChains];
            sum = _mm256_fmadd_ps(real, _mm256_broadcast_ss(x + j * kRows + m), sum);
          }
        }
      }
    }
  }
  TANDEM_DECODE_INLINE __m256 of(int half, int m) const {
    const __m256(&sums)[kChains] = at[half][m];
    if constexpr (kChains == 1) return sums[0];
    const __m256 sum = _mm256_add_ps(sums[0], sums[1]);
    if constexpr (kChains == 4) return _mm256_add_ps(sum, _mm256_add_ps(sums[2], sums[3]));
    return sum;
  }
};

// What is the same for all groups of a panel.
struct RealScales {
  const DecodeWeights::Panel& panel;
  ScaleKind kind;
  bool is_integer;
  std::int64_t groups_of_super;  // groups that share a scale of scales
  __m256 zero;

  TANDEM_DECODE_INLINE RealScales(const DecodeWeights& w, const DecodeWeights::Panel& of)
      : panel(of),
        kind(w.scale_kind()),
        is_integer(w.decoder().kind == CodeDecoder::Kind::kInteger),
        groups_of_super(std::max<std::int64_t>(1, DecodeWeights::kSuperGroup / w.group())) {
    zero = _mm256_set1_ps(static_cast<float>(w.decoder().zero));
  }
  template <int kRows, int kOfOne>
  TANDEM_DECODE_INLINE void add(const RealSums<kRows, kOfOne>& sums, std::int64_t group,
                                const float* group_sums, __m256 (&totals)[kHalves][kRows]) const {
#pragma GCC unroll 2
    for (int half = 0; half < kHalves; ++half) {
      const __m256 scale =
          kind == ScaleKind::kNested
              ? _mm256_mul_ps(_mm256_cvtepi32_ps(nested_scales(panel, group, half)),
                              super_scales(panel, group / groups_of_super, half))
              : plain_scales(kind, panel.scales, group, half);
      const __m256 zeros =
          panel.zeros != nullptr ? _mm256_cvtepi32_ps(zero_points(panel, group, half)) : zero;
#pragma GCC unroll 4
      for (int m = 0; m < kRows; ++m) {
        __m256 sum = sums.of(half, m);
        if (is_integer)
          sum = _mm256_fnmadd_ps(zeros, _mm256_broadcast_ss(group_sums + group * kRows + m), sum);
        totals[half][m] = _mm256_fmadd_ps(scale, sum, totals[half][m]);
      }
    }
  }
};

template <int kRows>
TANDEM_DECODE_INLINE void clear_totals(__m256 (&totals)[kHalves][kRows]) {
#pragma GCC unroll 2
  for (int half = 0; half < kHalves; ++half)
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) totals[half][m] = _mm256_setzero_ps();
}

template <int kRows>
TANDEM_DECODE_INLINE void store_totals(const __m256 (&totals)[kHalves][kRows], float* y) {
#pragma GCC unroll 2
  for (int half = 0; half < kHalves; ++half)
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m)
      _mm256_storeu_ps(y + m * kDecodePanel + 8 * half, totals[half][m]);
}

// Groups of kGroupSteps steps, or of whole tiles.
template <typename Reals, int kBits, int kRows, int kGroupSteps>
TANDEM_DECODE void real_panel(const DecodeWeights& w, const DecodeWeights::Panel& panel,
                              const DecodePanels::RealRows& rows, float* y) {
  const Reals reals(w.decoder());
  const RealScales scales(w, panel);
  const std::int64_t all = w.padded_depth() / kDecodeTile;
  const std::int64_t of_group = kGroupSteps < kSteps ? 1 : w.group() / kDecodeTile;
  const std::uint8_t* tile = panel.codes;
  const float* x = rows.x;
  __m256 totals[kHalves][kRows];
  clear_totals(totals);
  std::int64_t group = 0;
  for (std::int64_t t = 0; t < all; t += of_group) {
    RealSums<kRows, Reals::kChains> sums;
    sums.clear();
    for (std::int64_t i = 0; i < of_group;
         ++i, tile += 4 * kDecodePanel * kBits, x += kDecodeTile * kRows) {
      prefetch_ahead<kBits>(tile);
#pragma GCC unroll 8
      for (int step = 0; step < kSteps; ++step) {
        sums.add(reals, tile, step, x + 4 * step * kRows);
        if (kGroupSteps < kSteps && step + 1 == kGroupSteps) {
          scales.add(sums, group++, rows.group_sums, totals);
          sums.clear();
        }
      }
    }
    scales.add(sums, group++, rows.group_sums, totals);
  }
  store_totals(totals, y);
}

// ---- With codes ----

// Steps whose pairs of products with codes up to 127 add up within 16 bits.
constexpr int steps_in_16_bits(int bits) {
  const int most = 32767 / (2 * 127 * ((1 << bits) - 1));
  return most >= 8 ? 8 : most >= 4 ? 4 : most >= 2 ? 2 : 1;
}
static_assert(steps_in_16_bits(4) == 8 && steps_in_16_bits(6) == 2 && steps_in_16_bits(7) == 1);

// Sums of two products each. Unsigned bytes as they are; of 8 bits, which would not fit, signed
// ones: magnitudes times codes that take the signs.
template <int kBits>
TANDEM_DECODE_INLINE __m256i pairs_of_products(__m256i weights, __m256i codes) {
  if constexpr (kBits < 8) return _mm256_maddubs_epi16(weights, codes);
  return _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(codes, weights));
}

template <int kBits>
TANDEM_DECODE_INLINE __m256i bytes_of_step(const std::uint8_t* tile, int half, int step) {
  const __m256i bytes = codes_of<kBits>(tile, half, step, 0);
  return kBits < 8 ? bytes : _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
}

TANDEM_DECODE_INLINE __m256i four_codes(const std::int8_t* x) {
  std::int32_t four;
  std::memcpy(&four, x, sizeof four);
  return _mm256_set1_epi32(four);
}

template <int kRows>
struct CodeSums {
  __m256i at[kHalves][kRows];

  TANDEM_DECODE_INLINE void clear() {
#pragma GCC unroll 2
    for (int half = 0; half < kHalves; ++half)
#pragma GCC unroll 4
      for (int m = 0; m < kRows; ++m) at[half][m] = _mm256_setzero_si256();
  }
  // The sums of kCount steps from `first` on, times 16-bit factors.
  template <int kBits, int kCount>
  TANDEM_DECODE_INLINE void add(const std::uint8_t* tile, int first, const std::int8_t* x,
                                std::int64_t depth, const __m256i (&factors)[kHalves]) {
    constexpr int kSafe = steps_in_16_bits(kBits) < kCount ? steps_in_16_bits(kBits) : kCount;
#pragma GCC unroll 8
    for (int step = first; step < first + kCount; step += kSafe) {
      __m256i pairs[kHalves][kRows];
#pragma GCC unroll 8
      for (int s = step; s < step + kSafe; ++s) {
        const __m256i weights[kHalves] = {bytes_of_step<kBits>(tile, 0, s),
                                          bytes_of_step<kBits>(tile, 1, s)};
#pragma GCC unroll 4
        for (int m = 0; m < kRows; ++m) {
          const __m256i codes = four_codes(x + m * depth + 4 * s);
#pragma GCC unroll 2
          for (int half = 0; half < kHalves; ++half) {
            const __m256i products = pairs_of_products<kBits>(weights[half], codes);
            pairs[half][m] = s == step ? products : _mm256_add_epi16(pairs[half][m], products);
          }
        }
      }
#pragma GCC unroll 2
      for (int half = 0; half < kHalves; ++half)
#pragma GCC unroll 4
        for (int m = 0; m < kRows; ++m)
          at[half][m] =
              _mm256_add_epi32(at[half][m], _mm256_madd_epi16(pairs[half][m], factors[half]));
    }
  }
  // Exact sums of one half, scaled.
  TANDEM_DECODE_INLINE static __m256 scaled(__m256i sum, __m256 scale, const float* x_scale) {
    return _mm256_mul_ps(_mm256_cvtepi32_ps(sum),
                         _mm256_mul_ps(scale, _mm256_broadcast_ss(x_scale)));
  }
};

template <int kBits, int kRows>
TANDEM_DECODE void code_panel(const DecodeWeights& w, const DecodeWeights::Panel& panel,
                              const DecodePanels::CodeRows& rows, float* y) {
  const std::int64_t depth = w.padded_depth(), groups = w.groups(), tiles = w.group() / kDecodeTile;
  const ScaleKind kind = w.scale_kind();
  const __m256i ones[kHalves] = {_mm256_set1_epi16(1), _mm256_set1_epi16(1)};
  const std::uint8_t* tile = panel.codes;
  const std::int8_t* x = rows.x;
  __m256 totals[kHalves][kRows];
  clear_totals(totals);
  for (std::int64_t group = 0; group < groups; ++group) {
    CodeSums<kRows> sums;
    sums.clear();
    for (std::int64_t t = 0; t < tiles; ++t, tile += 4 * kDecodePanel * kBits, x += kDecodeTile) {
      prefetch_ahead<kBits>(tile);
      sums.template add<kBits, kSteps>(tile, 0, x, depth, ones);
    }
#pragma GCC unroll 2
    for (int half = 0; half < kHalves; ++half) {
      const __m256 scale = plain_scales(kind, panel.scales, group, half);
#pragma GCC unroll 4
      for (int m = 0; m < kRows; ++m) {
        __m256i taken = _mm256_set1_epi32(rows.zero_sums[m * groups + group]);
        if (panel.zeros != nullptr) {
          __m256i zeros = zero_points(panel, group, half);
          if constexpr (kBits == 8) zeros = _mm256_sub_epi32(zeros, _mm256_set1_epi32(128));
          taken = _mm256_mullo_epi32(taken, zeros);
        }
        const __m256i sum = _mm256_sub_epi32(sums.at[half][m], taken);
        totals[half][m] = _mm256_add_ps(totals[half][m],
                                        sums.scaled(sum, scale, rows.scales + m * groups + group));
      }
    }
  }
  store_totals(totals, y);
}

// Groups of 16 with integers as scales: exact integers up to a group of 256.
template <int kBits, int kRows>
TANDEM_DECODE void nested_code_panel(const DecodeWeights& w, const DecodeWeights::Panel& panel,
                                     const DecodePanels::CodeRows& rows, float* y) {
  constexpr std::int64_t kTiles = DecodeWeights::kSuperGroup / kDecodeTile;
  const std::int64_t depth = w.padded_depth(), groups = w.groups();
  const std::int64_t supers = depth / DecodeWeights::kSuperGroup;
  const std::uint8_t* tile = panel.codes;
  const std::int8_t* x = rows.x;
  std::int64_t group = 0;
  __m256 totals[kHalves][kRows];
  clear_totals(totals);
  for (std::int64_t super = 0; super < supers; ++super) {
    CodeSums<kRows> sums;
    sums.clear();
    for (std::int64_t t = 0; t < kTiles; ++t, tile += 4 * kDecodePanel * kBits, x += kDecodeTile) {
      prefetch_ahead<kBits>(tile);
#pragma GCC unroll 2
      for (int of_tile = 0; of_tile < 2; ++of_tile, ++group) {
        __m256i lanes[kHalves], factors[kHalves];  // the scale, and the same in 16 bits twice
#pragma GCC unroll 2
        for (int half = 0; half < kHalves; ++half) {
          lanes[half] = nested_scales(panel, group, half);
          factors[half] = _mm256_blend_epi16(lanes[half], _mm256_slli_epi32(lanes[half], 16), 0xAA);
        }
        sums.template add<kBits, 4>(tile, 4 * of_tile, x, depth, factors);
#pragma GCC unroll 4
        for (int m = 0; m < kRows; ++m) {
          const __m256i taken = _mm256_set1_epi32(rows.zero_sums[m * groups + group]);
#pragma GCC unroll 2
          for (int half = 0; half < kHalves; ++half)
            sums.at[half][m] =
                _mm256_sub_epi32(sums.at[half][m], _mm256_mullo_epi32(taken, lanes[half]));
        }
      }
    }
#pragma GCC unroll 2
    for (int half = 0; half < kHalves; ++half) {
      const __m256 scale = super_scales(panel, super, half);
#pragma GCC unroll 4
      for (int m = 0; m < kRows; ++m)
        totals[half][m] =
            _mm256_add_ps(totals[half][m],
                          sums.scaled(sums.at[half][m], scale, rows.scales + m * supers + super));
    }
  }
  store_totals(totals, y);
}

// ---- The choice ----

using Real = DecodePanels::Real;
using Code = DecodePanels::Code;

constexpr int index_of(int rows) { return rows == 4 ? 2 : rows - 1; }

template <typename Reals, int kBits, int kGroupSteps = kSteps>
Real real_of(int rows) {
  static constexpr Real kByRows[] = {real_panel<Reals, kBits, 1, kGroupSteps>,
                                     real_panel<Reals, kBits, 2, kGroupSteps>,
                                     real_panel<Reals, kBits, 4, kGroupSteps>};
  return kByRows[index_of(rows)];
}

template <int kBits>
Real integer_real_of(const DecodeWeights& w, int rows) {
  return w.group() < kDecodeTile ? real_of<IntegerReals<kBits>, kBits, 4>(rows)
                                 : real_of<IntegerReals<kBits>, kBits>(rows);
}

template <int kBits>
Code code_of(const DecodeWeights& w, int rows) {
  static constexpr Code kPlain[] = {code_panel<kBits, 1>, code_panel<kBits, 2>,
                                    code_panel<kBits, 4>};
  static constexpr Code kNested[] = {nested_code_panel<kBits, 1>, nested_code_panel<kBits, 2>,
                                     nested_code_panel<kBits, 4>};
  return (w.scale_kind() == ScaleKind::kNested ? kNested : kPlain)[index_of(rows)];
}

}  // namespace

DecodePanels::Real avx2_real_panel(const DecodeWeights& w, int rows) {
  using Kind = CodeDecoder::Kind;
  const CodeDecoder& decoder = w.decoder();
  if (decoder.kind == Kind::kTable) return real_of<TableReals, 4>(rows);
  if (decoder.kind == Kind::kFloat) {
    switch (decoder.bits) {
      case 5: return real_of<FloatReals<5>, 5>(rows);
      case 6: return real_of<FloatReals<6>, 6>(rows);
      case 7: return real_of<FloatReals<7>, 7>(rows);
      case 8: return real_of<FloatReals<8>, 8>(rows);
      default: throw InternalError("a width of floats that no kernel decodes");
    }
  }
  switch (decoder.bits) {
    case 1: return integer_real_of<1>(w, rows);
    case 2: return integer_real_of<2>(w, rows);
    case 3: return integer_real_of<3>(w, rows);
    case 4: return integer_real_of<4>(w, rows);
    case 5: return integer_real_of<5>(w, rows);
    case 6: return integer_real_of<6>(w, rows);
    case 7: return integer_real_of<7>(w, rows);
    default: return integer_real_of<8>(w, rows);
  }
}

DecodePanels::Code avx2_code_panel(const DecodeWeights& w, int rows) {
  switch (w.decoder().bits) {
    case 1: return code_of<1>(w, rows);
    case 2: return code_of<2>(w, rows);
    case 3: return code_of<3>(w, rows);
    case 4: return code_of<4>(w, rows);
    case 5: return code_of<5>(w, rows);
    case 6: return code_of<6>(w, rows);
    case 7: return code_of<7>(w, rows);
    default: return code_of<8>(w, rows);
  }
}

}  // namespace tandem
#endif
