#include "tandem/kernels/tile_product.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <utility>

#include "tandem/base/threads.h"
#include "tandem/kernels/instruction_set.h"
#include "tandem/kernels/thread_memory.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tandem {
namespace {

constexpr std::int64_t kWide = 32;  // filters that are computed together
constexpr std::int64_t kDeep = 32;  // channels of one tile
constexpr std::int64_t kRowBytes = 64, kTileBytes = 1024;
constexpr std::int64_t kPlanes = 3;                            // bf16 numbers of an f32
constexpr std::int64_t kStepBytes = kPlanes * 2 * kTileBytes;  // of a panel's right operand
// Steps whose right operand is split at a time: they stay in the first-level cache.
constexpr std::int64_t kSteps = 4;
// What of a left operand is split at a time: it stays in the second-level cache.
constexpr std::int64_t kMostSplit = std::int64_t{1} << 20;

std::int64_t quotient_up(std::int64_t value, std::int64_t by) { return (value + by - 1) / by; }

struct TileMemory {
  ThreadMemory split, right, sums;
};
TileMemory& tile_memory() {
  thread_local TileMemory memory;
  return memory;
}

}  // namespace

struct TileProduct::Layout {
  std::int64_t rows = 0;                  // of the output
  std::int64_t tiles = 1, tile_rows = 1;  // of positions, the rows one after the other
  // Bytes of the split image from one phase, plane, block of channels to the next.
  std::int64_t phase = 0, plane = 0, block = 0;
  std::int64_t split_rows = 0;

  std::int64_t sums() const { return tiles * tile_rows * kWide; }
};

struct TileProduct::Work {
  const Part& part;
  const Layout& layout;
  const float *x = nullptr, *right = nullptr, *addend = nullptr;  // of this image
  float* y = nullptr;
  std::byte* split = nullptr;
  std::int64_t first_block = 0, blocks = 0;
};

#if defined(__x86_64__)

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
  constexpr int kPitch = kWide * sizeof(float);
  write_all(left);
  const float* next_from = from + (pitch == 0 ? 0 : next_sums);
  _tile_loadd(0, from, pitch);
  if constexpr (kTwoPanels) _tile_loadd(1, from + 16, pitch);
  if constexpr (kTwoRows) _tile_loadd(2, next_from, pitch);
  if constexpr (kTwoRows && kTwoPanels) _tile_loadd(3, next_from + 16, pitch);
#define TANDEM_LEFT(which)                      \
  _tile_loadd(4, a + (which)*plane, kRowBytes); \
  if constexpr (kTwoRows) _tile_loadd(5, a + (which)*plane + next_tile, kRowBytes);
#define TANDEM_RIGHT(which)                       \
  _tile_loadd(6, b + (which)*2 * kTileBytes, 64); \
  if constexpr (kTwoPanels) _tile_loadd(7, b + (which)*2 * kTileBytes + kTileBytes, 64);
#define TANDEM_PRODUCT                               \
  _tile_dpbf16ps(0, 4, 6);                           \
  if constexpr (kTwoPanels) _tile_dpbf16ps(1, 4, 7); \
  if constexpr (kTwoRows) _tile_dpbf16ps(2, 5, 6);   \
  if constexpr (kTwoRows && kTwoPanels) _tile_dpbf16ps(3, 5, 7);
  for (std::int64_t s = 0; s < count; ++s) {
    const std::byte *a = left + steps[s].left, *b = right + s * kStepBytes;
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
  for (int p = 0; p < kPlanes; ++p) {
    _mm512_storeu_si512(
        to + p * plane,
        _mm512_permutex2var_epi16(_mm512_castps_si512(first), halves, _mm512_castps_si512(second)));
    first = _mm512_sub_ps(first, upper_part(first));
    second = _mm512_sub_ps(second, upper_part(second));
  }
  remains = _mm512_add_ps(remains, _mm512_add_ps(first, second));
}

// `count` pixels of `channels` numbers each, `step` numbers apart: channels of a block side by
// side, the blocks `block` bytes apart. Whether all are finite.
TANDEM_TILES bool split_pixels(const float* x, std::int64_t step, std::int64_t count,
                               std::int64_t channels, std::byte* to, std::int64_t plane,
                               std::int64_t block) {
  __m512 remains = _mm512_setzero_ps();
  const std::int64_t whole = channels / kDeep, rest = channels % kDeep;
  const auto mask = (std::uint64_t{1} << rest) - 1;
  // Block by block: what is written lies side by side.
  for (std::int64_t b = 0; b < whole; ++b) {
    const float* from = x + kDeep * b;
    std::byte* place = to + b * block;
    for (std::int64_t p = 0; p < count; ++p, from += step, place += 64)
      split_vectors(_mm512_loadu_ps(from), _mm512_loadu_ps(from + 16), place, plane, remains);
  }
  if (rest > 0) {
    const float* from = x + kDeep * whole;
    std::byte* place = to + whole * block;
    for (std::int64_t p = 0; p < count; ++p, from += step, place += 64)
      split_vectors(_mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), from),
                    _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), from + 16), place,
                    plane, remains);
  }
  return _mm512_cmp_ps_mask(remains, remains, _CMP_UNORD_Q) == 0;
}

// One step of a panel: `depth` rows, 32 columns of which `columns` count, as three planes of two
// tiles.
TANDEM_TILES void split_right(const float* w, std::int64_t row_step, std::int64_t depth,
                              std::int64_t columns, std::byte* to) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000U));
  const auto mask = columns >= kWide ? ~std::uint64_t{0} : (std::uint64_t{1} << columns) - 1;
  for (int tile = 0; tile < (columns > 16 ? 2 : 1); ++tile, to += kTileBytes) {
    const auto lanes = static_cast<__mmask16>(mask >> (16 * tile));
    const float* from = w + 16 * tile;
    for (std::int64_t k = 0; k < kDeep; k += 2, from += 2 * row_step) {
      std::byte* place = to + 32 * k;
      __m512i even = _mm512_setzero_si512(), odd = even;
      if (k < depth) even = _mm512_castps_si512(_mm512_maskz_loadu_ps(lanes, from));
      if (k + 1 < depth) odd = _mm512_castps_si512(_mm512_maskz_loadu_ps(lanes, from + row_step));
      for (int p = 0; p < kPlanes; ++p) {
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

}  // namespace

// A comparison of times as measured on a Xeon of the fourth generation, in nanoseconds.
bool TileProduct::suits(const Convolution& c, bool right_is_constant) {
  if (instruction_set() < InstructionSet::kAmx || c.group != 1) return false;
  const auto of = [](std::int64_t count) { return static_cast<double>(count); };
  const std::int64_t taps = c.kernel_height * c.kernel_width;
  const std::int64_t positions = c.out_height * c.out_width;
  const std::int64_t blocks = quotient_up(c.channels, kDeep);
  // Sums of 16 positions, 16 filters and 32 channels; 32 channels of a position; 32 rows of a panel
  // (constants come from far); 16 results; and what vectors do in a nanosecond.
  constexpr double kSum = 43, kLeft = 9.5, kRight = 110, kConstantRight = 300, kResult = 5;
  constexpr double kVectorOperations = 190, kMargin = 1.1;
  const std::int64_t tiles = quotient_up(positions, 16), panels = quotient_up(c.filters, kWide);
  const double on_tiles =
      kSum * of(tiles * 2 * panels * blocks * taps) + kLeft * of(c.height * c.width * blocks) +
      (right_is_constant ? kConstantRight : kRight) * of(panels * blocks * taps) +
      kResult * of(positions * 2 * panels);
  const double on_vectors =
      2 * of(positions * c.filters) * of(c.channels * taps) / kVectorOperations;
  return kMargin * on_tiles < on_vectors;
}

#else

bool TileProduct::suits(const Convolution&, bool) { return false; }

#endif

bool all_finite(const float* x, std::int64_t count) {
  constexpr std::uint32_t kExponent = 0x7f800000U;
  std::uint32_t found = 0;
  for (std::int64_t i = 0; i < count; ++i)
    found |= (std::bit_cast<std::uint32_t>(x[i]) & kExponent) == kExponent ? 1U : 0U;
  return found == 0;
}

void turn_to_panels(const float* w, std::int64_t filters, std::int64_t channels,
                    std::int64_t positions, float* to) {
  for (std::int64_t begin = 0; begin < filters; begin += kWide)
    for (std::int64_t p = 0; p < positions; ++p)
      for (std::int64_t c = 0; c < channels; ++c)
        for (std::int64_t f = begin; f < std::min(begin + kWide, filters); ++f)
          *to++ = w[(f * channels + c) * positions + p];
}

// ---- Plan ----

TileProduct::TileProduct(const Convolution& shape, const Options& options)
    : c_(shape), options_(options) {
  const bool pointwise = c_.kernel_height == 1 && c_.kernel_width == 1 && c_.stride_height == 1 &&
                         c_.stride_width == 1 && c_.height == c_.out_height &&
                         c_.width == c_.out_width;
  if (pointwise) {
    // Its positions are one column, and those of all images if they share the right operand.
    c_.height *= c_.width;
    if (options_.right_stride == 0) c_.height *= std::exchange(c_.batch, 1);
    c_.out_height = c_.height;
    c_.width = c_.out_width = 1;
  }
  find_taps();
  const double operations = 2.0 * static_cast<double>(c_.out_height * c_.out_width * c_.filters) *
                            static_cast<double>(c_.channels * c_.kernel_height * c_.kernel_width);
  cut(operations);
}

void TileProduct::find_taps() {
  for (std::int64_t ky = 0; ky < c_.kernel_height; ++ky) {
    for (std::int64_t kx = 0; kx < c_.kernel_width; ++kx) {
      const std::int64_t row = ky * c_.dilation_height, column = kx * c_.dilation_width;
      Tap tap;
      tap.right = (ky * c_.kernel_width + kx) * c_.channels;
      const Phase phase{row % c_.stride_height, column % c_.stride_width};
      const auto known = std::ranges::find_if(phases_, [&](const Phase& other) {
        return other.row == phase.row && other.column == phase.column;
      });
      tap.phase = known - phases_.begin();
      if (known == phases_.end()) phases_.push_back(phase);
      tap.row = row / c_.stride_height;
      tap.column = column / c_.stride_width;
      last_row_ = std::max(last_row_, tap.row);
      last_column_ = std::max(last_column_, tap.column);
      taps_.push_back(tap);
    }
  }
  if (c_.stride_width == 1) {
    // The border on the right of a row is that on the left of the next one.
    const std::int64_t right = c_.out_width + last_column_ - c_.width - c_.pad_left;
    pitch_ = std::max(c_.width + std::max(c_.pad_left, right), c_.out_width);
  } else {
    pitch_ = c_.out_width + last_column_;
  }
}

std::int64_t TileProduct::split_bytes(std::int64_t rows, std::int64_t blocks) const {
  const auto phases = static_cast<std::int64_t>(phases_.size());
  return kPlanes * 64 * blocks * phases * (rows + last_row_) * pitch_;
}

// Parts are as many as a few threads need, none smaller than what a thread takes to wake up.
void TileProduct::cut(double operations) {
  constexpr double kLeastOperations = 4e6, kOperationsPerElement = 48;
  constexpr std::int64_t kMostParts = 4;
  const std::int64_t weights = c_.filters * c_.channels * c_.kernel_height * c_.kernel_width;
  const std::int64_t outputs = c_.out_height * c_.out_width * c_.filters;
  const double effort = operations + kOperationsPerElement * static_cast<double>(outputs + weights);
  const auto spans = [](std::int64_t size, std::int64_t count, std::int64_t unit) {
    const std::int64_t units = quotient_up(size, unit);
    count = std::clamp<std::int64_t>(count, 1, units);
    std::vector<Range> result;
    for (std::int64_t i = 0; i < count; ++i)
      result.push_back({units * i / count * unit, std::min(size, units * (i + 1) / count * unit)});
    return result;
  };
  if (options_.right_stride != 0) {
    const auto together = static_cast<std::int64_t>(kLeastOperations / effort) + 1;
    for (const Range images : spans(c_.batch, quotient_up(c_.batch, together), 1))
      parts_.push_back({images, {0, c_.out_height}, {0, c_.filters}});
    return;
  }
  const auto wanted =
      std::clamp<std::int64_t>(static_cast<std::int64_t>(effort / kLeastOperations), 1, kMostParts);
  const std::int64_t positions = c_.out_height * c_.out_width;
  const std::int64_t bytes = split_bytes(c_.out_height, quotient_up(c_.channels, kDeep));
  // Few positions do not pay for splitting the right operand in each part.
  constexpr std::int64_t kFewPositions = 1000, kFew = 400, kManyFilters = 128;
  shares_left_ = c_.filters >= kManyFilters && positions <= kFewPositions &&
                 (bytes <= kMostSplit || positions <= kFew);
  if (shares_left_) {
    for (const Range filters : spans(c_.filters, wanted, kWide))
      parts_.push_back({{0, c_.batch}, {0, c_.out_height}, filters});
    return;
  }
  const std::int64_t row_parts = std::max(wanted, quotient_up(bytes, kMostSplit));
  const std::int64_t row_unit = c_.out_width == 1 ? 2 * 16 : 1;
  for (std::int64_t image = 0; image < c_.batch; ++image)
    for (const Range rows : spans(c_.out_height, row_parts, row_unit))
      parts_.push_back({{image, image + 1}, rows, {0, c_.filters}});
}

TileProduct::Layout TileProduct::layout_of(const Part& part) const {
  constexpr std::int64_t kMostRows = 16;
  Layout layout;
  layout.rows = part.rows.size();
  const std::int64_t positions = (layout.rows - 1) * pitch_ + c_.out_width;
  layout.tiles = quotient_up(positions, kMostRows);
  layout.tile_rows = quotient_up(positions, layout.tiles);
  const std::int64_t reached = layout.tiles * layout.tile_rows;
  layout.split_rows = layout.rows + last_row_;
  layout.phase =
      64 * (std::max(layout.split_rows * pitch_, reached + last_row_ * pitch_) + last_column_);
  layout.plane = static_cast<std::int64_t>(phases_.size()) * layout.phase;
  layout.block = kPlanes * layout.plane;
  return layout;
}

// ---- Run ----

#if defined(__x86_64__)

// Whether all numbers are finite.
bool TileProduct::split_image(const Work& work) const {
  const Layout& layout = work.layout;
  const std::int64_t channel = work.first_block * kDeep;
  const std::int64_t channels = std::min(work.blocks * kDeep, c_.channels - channel);
  if (c_.width == 1 && taps_.size() == 1 && c_.stride_height == 1 && pitch_ == 1 &&
      c_.pad_top == 0) {
    return split_pixels(work.x + work.part.rows.begin * c_.channels + channel, c_.channels,
                        layout.rows, channels, work.split, layout.plane, layout.block);
  }
  const auto clear = [&](std::byte* to, std::int64_t positions) {
    for (std::int64_t b = 0; b < work.blocks && positions > 0; ++b)
      for (std::int64_t p = 0; p < kPlanes; ++p)
        std::memset(to + b * layout.block + p * layout.plane, 0,
                    static_cast<std::size_t>(64 * positions));
  };
  bool finite = true;
  for (std::size_t f = 0; f < phases_.size(); ++f) {
    const Phase& phase = phases_[f];
    std::byte* to = work.split + static_cast<std::int64_t>(f) * layout.phase;
    const std::int64_t shift = c_.pad_left - phase.column, stride = c_.stride_width;
    const std::int64_t begin =
        std::clamp<std::int64_t>(shift > 0 ? quotient_up(shift, stride) : 0, 0, pitch_);
    const std::int64_t last = c_.width - 1 + shift;
    const std::int64_t end =
        std::clamp<std::int64_t>(last < 0 ? 0 : last / stride + 1, begin, pitch_);
    for (std::int64_t r = 0; r < layout.split_rows; ++r, to += 64 * pitch_) {
      const std::int64_t in =
          (work.part.rows.begin + r) * c_.stride_height + phase.row - c_.pad_top;
      if (in < 0 || in >= c_.height) {
        clear(to, pitch_);
        continue;
      }
      clear(to, begin);
      const std::int64_t column = begin * stride - shift;
      finite &= split_pixels(work.x + (in * c_.width + column) * c_.channels + channel,
                             stride * c_.channels, end - begin, channels, to + 64 * begin,
                             layout.plane, layout.block);
      clear(to + 64 * end, pitch_ - end);
    }
    clear(to, last_column_);
  }
  return finite;
}

TileStep TileProduct::step_of(const Work& work, std::int64_t index) const {
  const auto per_tap = static_cast<std::int64_t>(taps_.size());
  const std::int64_t block = index / per_tap, channel = (work.first_block + block) * kDeep;
  const Tap& tap = taps_[static_cast<std::size_t>(index % per_tap)];
  const std::int64_t row = kRowBytes * (tap.row * pitch_ + tap.column);
  return {block * work.layout.block + tap.phase * work.layout.phase + row, tap.right + channel,
          std::min(kDeep, c_.channels - channel)};
}

void TileProduct::multiply(const Work& work, Range filters, float* sums) const {
  const Layout& layout = work.layout;
  alignas(64) std::array<float, kWide> bias{};
  if (options_.bias != nullptr)
    std::copy_n(options_.bias + filters.begin, filters.size(), bias.begin());
  auto* right = static_cast<std::byte*>(tile_memory().right.take(kSteps * kStepBytes));
  const std::int64_t tiles = layout.tiles;
  const std::int64_t tile_sums = layout.tile_rows * kWide;
  const std::int64_t all = work.blocks * static_cast<std::int64_t>(taps_.size());
  const bool two_panels = filters.size() > 16;
  for (std::int64_t first = 0; first < all; first += kSteps) {
    std::array<TileStep, kSteps> steps;
    const std::int64_t count = std::min(kSteps, all - first);
    for (std::int64_t s = 0; s < count; ++s) {
      const TileStep step = step_of(work, first + s);
      split_right(right_row(work, filters, step.right), right_pitch(filters), step.depth,
                  filters.size(), right + s * kStepBytes);
      steps[static_cast<std::size_t>(s)] = step;
    }
    for (std::int64_t tile = 0; tile < tiles; tile += 2) {
      const bool two_rows = tile + 1 < tiles;
      const Range positions{tile * layout.tile_rows, std::min(tile + 2, tiles) * layout.tile_rows};
      float* to = sums + positions.begin * kWide;
      const float* from = to;
      std::size_t pitch = kWide * sizeof(float);
      if (first == 0) {
        if (options_.adds || work.first_block > 0) {
          begin_sums(work, filters, positions, bias.data(), sums);
        } else {
          from = bias.data();
          pitch = 0;
        }
      }
      const auto add = two_rows     ? two_panels ? add_steps<true, true> : add_steps<true, false>
                           : two_panels ? add_steps<false, true>
                                    : add_steps<false, false>;
      add(work.split + kRowBytes * positions.begin, kRowBytes * layout.tile_rows, layout.plane,
          steps.data(), count, right, from, pitch, to, tile_sums);
      if (first + count == all) end_sums(work, filters, positions, sums);
    }
  }
}

#else

bool TileProduct::split_image(const Work&) const { return false; }
void TileProduct::multiply(const Work&, Range, float*) const {}
namespace {
void shape_tiles(std::int64_t) {}
void release_tiles() {}
}  // namespace

#endif

// Where a row of the right operand holds the columns of a panel, and how far the next row is.
const float* TileProduct::right_row(const Work& work, Range filters, std::int64_t row) const {
  if (!options_.right_in_panels) return work.right + row * c_.filters + filters.begin;
  return work.right + filters.begin * c_.kernel_height * c_.kernel_width * c_.channels +
         row * filters.size();
}
std::int64_t TileProduct::right_pitch(Range filters) const {
  return options_.right_in_panels ? filters.size() : c_.filters;
}

// Infinities have no exact parts: sums that may hold some are computed number by number.
void TileProduct::multiply_plainly(const Work& work, Range filters, float* sums) const {
  const Range positions{0, work.layout.sums() / kWide};
  std::array<float, kWide> bias{};
  if (options_.bias != nullptr)
    std::copy_n(options_.bias + filters.begin, filters.size(), bias.begin());
  begin_sums(work, filters, positions, bias.data(), sums);
  const std::int64_t begin = work.first_block * kDeep;
  const std::int64_t channels = std::min(work.blocks * kDeep, c_.channels - begin);
  for (std::int64_t r = 0; r < work.layout.rows; ++r) {
    for (std::int64_t column = 0; column < c_.out_width; ++column) {
      float* to = sums + (r * pitch_ + column) * kWide;
      for (std::int64_t ky = 0; ky < c_.kernel_height; ++ky) {
        for (std::int64_t kx = 0; kx < c_.kernel_width; ++kx) {
          const std::int64_t row =
              (work.part.rows.begin + r) * c_.stride_height + ky * c_.dilation_height - c_.pad_top;
          const std::int64_t in = column * c_.stride_width + kx * c_.dilation_width - c_.pad_left;
          if (row < 0 || row >= c_.height || in < 0 || in >= c_.width) continue;
          const float* x = work.x + (row * c_.width + in) * c_.channels + begin;
          const float* w =
              right_row(work, filters, (ky * c_.kernel_width + kx) * c_.channels + begin);
          const std::int64_t pitch = right_pitch(filters);
          for (std::int64_t k = 0; k < channels; ++k)
            for (std::int64_t n = 0; n < filters.size(); ++n) to[n] += x[k] * w[k * pitch + n];
        }
      }
    }
  }
  end_sums(work, filters, positions, sums);
}

// visit(position, element): the positions of a range that are outputs, and where they lie.
template <typename Visit>
void TileProduct::for_each_output(const Work& work, Range filters, Range positions,
                                  const Visit& visit) const {
  const std::int64_t pitch = pitch_;
  if (pitch == c_.out_width) {
    const std::int64_t end = std::min(positions.end, work.layout.rows * pitch);
    const std::int64_t first = work.part.rows.begin * pitch;
    std::int64_t at = (first + positions.begin) * c_.filters + filters.begin;
    for (std::int64_t p = positions.begin; p < end; ++p, at += c_.filters) visit(p, at);
    return;
  }
  std::int64_t row = positions.begin / pitch, column = positions.begin % pitch;
  for (std::int64_t p = positions.begin; p < positions.end && row < work.layout.rows; ++row) {
    const std::int64_t pixel = (work.part.rows.begin + row) * c_.out_width;
    const std::int64_t end = std::min(positions.end, p + c_.out_width - column);
    std::int64_t at = (pixel + column) * c_.filters + filters.begin;
    for (std::int64_t i = p; i < end; ++i, at += c_.filters) visit(i, at);
    p += pitch - column;
    column = 0;
  }
}

// The first chunk of channels begins with the bias and what is added, the others with what lies in
// the result.
void TileProduct::begin_sums(const Work& work, Range filters, Range positions, const float* bias,
                             float* sums) const {
  const std::int64_t count = filters.size();
  if (work.first_block > 0) {
    for_each_output(work, filters, positions, [&](std::int64_t p, std::int64_t at) {
      std::copy_n(work.y + at, count, sums + p * kWide);
    });
    return;
  }
  for (std::int64_t p = positions.begin; p < positions.end; ++p)
    std::copy_n(bias, kWide, sums + p * kWide);
  if (!options_.adds) return;
  for_each_output(work, filters, positions, [&](std::int64_t p, std::int64_t at) {
    for (std::int64_t n = 0; n < count; ++n) sums[p * kWide + n] += work.addend[at + n];
  });
}

void TileProduct::end_sums(const Work& work, Range filters, Range positions, float* sums) const {
  const bool ends = (work.first_block + work.blocks) * kDeep >= c_.channels;
  if (ends && options_.activation.function != RealFunction::kCopy) {
    float* first = sums + positions.begin * kWide;
    apply(options_.activation, first, nullptr, first, positions.size() * kWide);
  }
  const auto bytes = static_cast<std::size_t>(filters.size()) * sizeof(float);
  for_each_output(work, filters, positions, [&](std::int64_t p, std::int64_t at) {
    if (filters.size() == kWide)
      std::memcpy(work.y + at, sums + p * kWide, kWide * sizeof(float));
    else
      std::memcpy(work.y + at, sums + p * kWide, bytes);
  });
}

TileProduct::Work TileProduct::work_of(const Part& part, const Layout& layout, std::int64_t image,
                                       const Operands& operands) const {
  const std::int64_t out = c_.out_height * c_.out_width * c_.filters;
  Work work{part, layout};
  work.x = operands.x + image * c_.height * c_.width * c_.channels;
  work.right = operands.right + image * options_.right_stride;
  work.addend = operands.addend == nullptr ? nullptr : operands.addend + image * out;
  work.y = operands.y + image * out;
  return work;
}

// The chunk of all channels that lies in the cache at a time.
std::int64_t TileProduct::chunks(const Layout& layout) const {
  const std::int64_t affordable = std::max<std::int64_t>(1, kMostSplit / layout.block);
  return quotient_up(quotient_up(c_.channels, kDeep), affordable);
}
void TileProduct::take_chunk(Work& work, std::int64_t chunk, std::int64_t chunks) const {
  const std::int64_t blocks = quotient_up(c_.channels, kDeep);
  work.first_block = blocks * chunk / chunks;
  work.blocks = blocks * (chunk + 1) / chunks - work.first_block;
  const auto most = static_cast<std::size_t>(quotient_up(blocks, chunks) * work.layout.block);
  if (work.split == nullptr) work.split = static_cast<std::byte*>(tile_memory().split.take(most));
}

void TileProduct::multiply_filters(const Work& work, Range filters, bool finite) const {
  float* sums = tile_memory().sums.floats(work.layout.sums());
  shape_tiles(work.layout.tile_rows);
  for (std::int64_t begin = filters.begin; begin < filters.end; begin += kWide) {
    const Range panel{begin, std::min(begin + kWide, filters.end)};
    if (finite)
      multiply(work, panel, sums);
    else
      multiply_plainly(work, panel, sums);
  }
  release_tiles();
}

bool TileProduct::right_is_finite(const Work& work) const {
  return options_.right_is_finite ||
         all_finite(work.right, c_.kernel_height * c_.kernel_width * c_.channels * c_.filters);
}

// A part that splits what it reads.
void TileProduct::run_part(const Part& part, const Operands& operands) const {
  const Layout layout = layout_of(part);
  const std::int64_t count = chunks(layout);
  for (std::int64_t image = part.images.begin; image < part.images.end; ++image) {
    Work work = work_of(part, layout, image, operands);
    const bool right = right_is_finite(work);
    for (std::int64_t chunk = 0; chunk < count; ++chunk) {
      take_chunk(work, chunk, count);
      const bool finite = split_image(work) && right;
      multiply_filters(work, part.filters, finite);
    }
  }
}

// Parts that are ranges of filters read the same image, which all threads split.
void TileProduct::run_filters(std::int64_t image, const Operands& operands) const {
  const Part all{{image, image + 1}, {0, c_.out_height}, {0, c_.filters}};
  const Layout layout = layout_of(all);
  const std::int64_t count = chunks(layout);
  Work work = work_of(all, layout, image, operands);
  const bool right = right_is_finite(work);
  constexpr std::int64_t kLeastBytes = std::int64_t{1} << 17;
  const std::int64_t grain = std::max<std::int64_t>(1, kLeastBytes / layout.block);
  for (std::int64_t chunk = 0; chunk < count; ++chunk) {
    take_chunk(work, chunk, count);
    std::atomic<bool> finite = right;
    parallel_for(0, work.blocks, grain, [&](std::int64_t from, std::int64_t to) {
      Work some = work;
      some.first_block += from;
      some.blocks = to - from;
      some.split += from * layout.block;
      if (!split_image(some)) finite = false;
    });
    parallel_for(0, static_cast<std::int64_t>(parts_.size()), 1,
                 [&](std::int64_t from, std::int64_t to) {
                   for (std::int64_t p = from; p < to; ++p)
                     multiply_filters(work, parts_[static_cast<std::size_t>(p)].filters, finite);
                 });
  }
}

void TileProduct::run(const float* x, const float* right, const float* addend, float* y) const {
  const Operands operands{x, right, addend, y};
  if (shares_left_) {
    for (std::int64_t image = 0; image < c_.batch; ++image) run_filters(image, operands);
    return;
  }
  parallel_for(0, static_cast<std::int64_t>(parts_.size()), 1,
               [&](std::int64_t from, std::int64_t to) {
                 for (std::int64_t p = from; p < to; ++p)
                   run_part(parts_[static_cast<std::size_t>(p)], operands);
               });
}

}  // namespace tandem
