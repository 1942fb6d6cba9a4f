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
#include "tandem/kernels/tile_kernels.h"

namespace tandem {
namespace {

// What of a left operand is split at a time: it stays in the second-level cache.
constexpr std::int64_t kMostSplit = 896 * 1024;
// And of a right operand whose rows hold more than a panel: a page of it is entered once for many.
constexpr std::int64_t kMostRight = 448 * 1024;

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

  std::int64_t sums() const { return tiles * tile_rows * kTileWide; }
};

struct TileProduct::Work {
  const Part& part;
  const Layout& layout;
  const float *x = nullptr, *right = nullptr, *addend = nullptr;  // of this image
  float* y = nullptr;
  std::byte* split = nullptr;
  std::int64_t first_block = 0, blocks = 0;
};

// A comparison of times as measured on a Xeon of the fourth generation, in nanoseconds.
bool TileProduct::suits(const Convolution& c, bool right_is_constant) {
  if (instruction_set() < InstructionSet::kAmx || c.group != 1) return false;
  const auto of = [](std::int64_t count) { return static_cast<double>(count); };
  const std::int64_t taps = c.kernel_height * c.kernel_width;
  const std::int64_t positions = c.out_height * c.out_width;
  const std::int64_t blocks = quotient_up(c.channels, kTileDeep);
  // Sums of 16 positions, 16 filters and 32 channels; 32 channels of a position; 32 rows of a panel
  // (constants come from far); 16 results; and what vectors do in a nanosecond.
  constexpr double kSum = 43, kLeft = 9.5, kRight = 110, kConstantRight = 300, kResult = 5;
  constexpr double kVectorOperations = 190, kMargin = 1.1;
  const std::int64_t tiles = quotient_up(positions, 16), panels = quotient_up(c.filters, kTileWide);
  const double on_tiles =
      kSum * of(tiles * 2 * panels * blocks * taps) + kLeft * of(c.height * c.width * blocks) +
      (right_is_constant ? kConstantRight : kRight) * of(panels * blocks * taps) +
      kResult * of(positions * 2 * panels);
  const double on_vectors =
      2 * of(positions * c.filters) * of(c.channels * taps) / kVectorOperations;
  return kMargin * on_tiles < on_vectors;
}

bool all_finite(const float* x, std::int64_t count) {
  constexpr std::uint32_t kExponent = 0x7f800000U;
  std::uint32_t found = 0;
  for (std::int64_t i = 0; i < count; ++i)
    found |= (std::bit_cast<std::uint32_t>(x[i]) & kExponent) == kExponent ? 1U : 0U;
  return found == 0;
}

void turn_to_panels(const float* w, std::int64_t filters, std::int64_t channels,
                    std::int64_t positions, float* to) {
  for (std::int64_t begin = 0; begin < filters; begin += kTileWide)
    for (std::int64_t p = 0; p < positions; ++p)
      for (std::int64_t c = 0; c < channels; ++c)
        for (std::int64_t f = begin; f < std::min(begin + kTileWide, filters); ++f)
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
  return kTilePlanes * 64 * blocks * phases * (rows + last_row_) * pitch_;
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
  const std::int64_t bytes = split_bytes(c_.out_height, quotient_up(c_.channels, kTileDeep));
  // Few positions do not pay for splitting the right operand in each part.
  constexpr std::int64_t kFewPositions = 1000, kFew = 400, kManyFilters = 128;
  shares_left_ = c_.filters >= kManyFilters && positions <= kFewPositions &&
                 (bytes <= kMostSplit || positions <= kFew);
  // What the threads exchange then takes its time; where splitting the weights once more is less of
  // it, each thread computes rows of its own (nanoseconds, as in suits()).
  const std::int64_t steps = quotient_up(c_.channels, kTileDeep) *
                             static_cast<std::int64_t>(taps_.size()) *
                             quotient_up(c_.filters, kTileWide);
  constexpr double kSplitStep = 150, kExchange = 16000, kExchangedByte = 0.1;
  cuts_rows_ = shares_left_ && wanted > 1 &&
               kSplitStep * static_cast<double>(steps) <
                   kExchange + kExchangedByte * static_cast<double>(bytes);
  if (cuts_rows_) return;
  if (shares_left_) {
    // They share the left operand, so that more parts cost nothing and keep threads equally busy.
    const std::int64_t count = wanted > 1 ? 2 * kMostParts : 1;
    for (const Range filters : spans(c_.filters, count, kTileWide))
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
  layout.block = kTilePlanes * layout.plane;
  return layout;
}

// ---- Run ----

// Whether all numbers are finite.
bool TileProduct::split_image(const Work& work) const {
  const Layout& layout = work.layout;
  const std::int64_t channel = work.first_block * kTileDeep;
  const std::int64_t channels = std::min(work.blocks * kTileDeep, c_.channels - channel);
  if (c_.width == 1 && taps_.size() == 1 && c_.stride_height == 1 && pitch_ == 1 &&
      c_.pad_top == 0) {
    return split_pixels(work.x + work.part.rows.begin * c_.channels + channel, c_.channels,
                        layout.rows, channels, work.split, layout.plane, layout.block);
  }
  const auto clear = [&](std::byte* to, std::int64_t positions) {
    for (std::int64_t b = 0; b < work.blocks && positions > 0; ++b)
      for (std::int64_t p = 0; p < kTilePlanes; ++p)
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

std::int64_t TileProduct::step_count(const Work& work) const {
  return work.blocks * static_cast<std::int64_t>(taps_.size());
}

TileStep TileProduct::step_of(const Work& work, std::int64_t index) const {
  const auto per_tap = static_cast<std::int64_t>(taps_.size());
  const std::int64_t block = index / per_tap, channel = (work.first_block + block) * kTileDeep;
  const Tap& tap = taps_[static_cast<std::size_t>(index % per_tap)];
  const std::int64_t row = kTileRowBytes * (tap.row * pitch_ + tap.column);
  return {block * work.layout.block + tap.phase * work.layout.phase + row, tap.right + channel,
          std::min(kTileDeep, c_.channels - channel)};
}

// The right operand of some steps of a panel.
void TileProduct::split_steps(const Work& work, Range filters, std::int64_t first,
                              std::int64_t count, std::byte* to) const {
  for (std::int64_t s = 0; s < count; ++s) {
    const TileStep step = step_of(work, first + s);
    split_right(right_row(work, filters, step.right), right_pitch(filters), step.depth,
                filters.size(), to + s * kTileStepBytes);
  }
}

// `split` is the right operand of all steps, or null.
void TileProduct::multiply(const Work& work, Range filters, const std::byte* split,
                           float* sums) const {
  const Layout& layout = work.layout;
  alignas(64) std::array<float, kTileWide> bias{};
  if (options_.bias != nullptr)
    std::copy_n(options_.bias + filters.begin, filters.size(), bias.begin());
  const std::int64_t tiles = layout.tiles;
  const std::int64_t tile_sums = layout.tile_rows * kTileWide;
  const std::int64_t all = step_count(work);
  const bool two_panels = filters.size() > 16;
  for (std::int64_t first = 0; first < all; first += kTileSteps) {
    std::array<TileStep, kTileSteps> steps;
    const std::int64_t count = std::min(kTileSteps, all - first);
    for (std::int64_t s = 0; s < count; ++s)
      steps[static_cast<std::size_t>(s)] = step_of(work, first + s);
    const std::byte* right = split + first * kTileStepBytes;
    if (split == nullptr) {
      auto* own = static_cast<std::byte*>(tile_memory().right.take(kTileSteps * kTileStepBytes));
      split_steps(work, filters, first, count, own);
      right = own;
    }
    for (std::int64_t tile = 0; tile < tiles; tile += 2) {
      const bool two_rows = tile + 1 < tiles;
      const Range positions{tile * layout.tile_rows, std::min(tile + 2, tiles) * layout.tile_rows};
      float* to = sums + positions.begin * kTileWide;
      const float* from = to;
      std::size_t pitch = kTileWide * sizeof(float);
      if (first == 0) {
        if (options_.adds || work.first_block > 0) {
          begin_sums(work, filters, positions, bias.data(), sums);
        } else {
          from = bias.data();
          pitch = 0;
        }
      }
      TileSums sum{two_rows, two_panels};
      sum.left = work.split + kTileRowBytes * positions.begin;
      sum.next_left = kTileRowBytes * layout.tile_rows;
      sum.plane = layout.plane;
      sum.right = right;
      sum.from = from;
      sum.from_pitch = pitch;
      sum.sums = to;
      sum.next_sums = tile_sums;
      add_tile_steps(sum, steps.data(), count);
      if (first + count == all) end_sums(work, filters, positions, sums);
    }
  }
}

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
  const Range positions{0, work.layout.sums() / kTileWide};
  std::array<float, kTileWide> bias{};
  if (options_.bias != nullptr)
    std::copy_n(options_.bias + filters.begin, filters.size(), bias.begin());
  begin_sums(work, filters, positions, bias.data(), sums);
  const std::int64_t begin = work.first_block * kTileDeep;
  const std::int64_t channels = std::min(work.blocks * kTileDeep, c_.channels - begin);
  for (std::int64_t r = 0; r < work.layout.rows; ++r) {
    for (std::int64_t column = 0; column < c_.out_width; ++column) {
      float* to = sums + (r * pitch_ + column) * kTileWide;
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
      std::copy_n(work.y + at, count, sums + p * kTileWide);
    });
    return;
  }
  for (std::int64_t p = positions.begin; p < positions.end; ++p)
    std::copy_n(bias, kTileWide, sums + p * kTileWide);
  if (!options_.adds) return;
  for_each_output(work, filters, positions, [&](std::int64_t p, std::int64_t at) {
    for (std::int64_t n = 0; n < count; ++n) sums[p * kTileWide + n] += work.addend[at + n];
  });
}

void TileProduct::end_sums(const Work& work, Range filters, Range positions, float* sums) const {
  const bool ends = (work.first_block + work.blocks) * kTileDeep >= c_.channels;
  if (ends && options_.activation.function != RealFunction::kCopy) {
    float* first = sums + positions.begin * kTileWide;
    apply(options_.activation, first, nullptr, first, positions.size() * kTileWide);
  }
  const auto bytes = static_cast<std::size_t>(filters.size()) * sizeof(float);
  for_each_output(work, filters, positions, [&](std::int64_t p, std::int64_t at) {
    if (filters.size() == kTileWide)
      std::memcpy(work.y + at, sums + p * kTileWide, kTileWide * sizeof(float));
    else
      std::memcpy(work.y + at, sums + p * kTileWide, bytes);
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
  return quotient_up(quotient_up(c_.channels, kTileDeep), affordable);
}
void TileProduct::take_chunk(Work& work, std::int64_t chunk, std::int64_t chunks) const {
  const std::int64_t blocks = quotient_up(c_.channels, kTileDeep);
  work.first_block = blocks * chunk / chunks;
  work.blocks = blocks * (chunk + 1) / chunks - work.first_block;
  const auto most = static_cast<std::size_t>(quotient_up(blocks, chunks) * work.layout.block);
  if (work.split == nullptr) work.split = static_cast<std::byte*>(tile_memory().split.take(most));
}

void TileProduct::multiply_filters(const Work& work, Range filters, bool finite) const {
  float* sums = tile_memory().sums.floats(work.layout.sums());
  const std::int64_t panel_bytes = step_count(work) * kTileStepBytes;
  const bool splits_together = finite && !options_.right_in_panels && c_.filters > kTileWide;
  const std::int64_t together = splits_together ? kMostRight / panel_bytes : 0;
  shape_tiles(work.layout.tile_rows);
  for (std::int64_t group = filters.begin; group < filters.end;) {
    const Range panels{
        group, std::min(group + std::max<std::int64_t>(together, 1) * kTileWide, filters.end)};
    const auto panel_at = [&](std::int64_t begin) {
      return Range{begin, std::min(begin + kTileWide, filters.end)};
    };
    std::byte* split = nullptr;
    if (together > 1) {
      split = static_cast<std::byte*>(
          tile_memory().right.take(static_cast<std::size_t>(together * panel_bytes)));
      for (std::int64_t step = 0; step < step_count(work); ++step)
        for (std::int64_t begin = panels.begin; begin < panels.end; begin += kTileWide)
          split_steps(work, panel_at(begin), step, 1,
                      split + (begin - group) / kTileWide * panel_bytes + step * kTileStepBytes);
    }
    for (std::int64_t begin = panels.begin; begin < panels.end; begin += kTileWide) {
      const std::byte* of_panel =
          split == nullptr ? nullptr : split + (begin - group) / kTileWide * panel_bytes;
      if (finite)
        multiply(work, panel_at(begin), of_panel, sums);
      else
        multiply_plainly(work, panel_at(begin), sums);
    }
    group = panels.end;
  }
  release_tiles();
}

bool TileProduct::right_is_finite(const Work& work) const {
  return options_.right_is_finite ||
         all_finite(work.right, c_.kernel_height * c_.kernel_width * c_.channels * c_.filters);
}

// A part that splits what it reads. Rows that share one with a number that is not finite are
// computed one by one, so that the bits do not depend on the parts.
void TileProduct::run_part(const Part& part, const Operands& operands) const {
  const Layout layout = layout_of(part);
  const std::int64_t count =
      cuts_rows_ ? chunks(layout_of({part.images, {0, c_.out_height}, part.filters}))
                 : chunks(layout);
  for (std::int64_t image = part.images.begin; image < part.images.end; ++image) {
    Work work = work_of(part, layout, image, operands);
    const bool right = right_is_finite(work);
    for (std::int64_t chunk = 0; chunk < count; ++chunk) {
      take_chunk(work, chunk, count);
      const bool finite = split_image(work) && right;
      if (finite || part.rows.size() == 1) {
        multiply_filters(work, part.filters, finite);
        continue;
      }
      for (std::int64_t row = part.rows.begin; row < part.rows.end; ++row) {
        const Part alone{part.images, {row, row + 1}, part.filters};
        const Layout layout_alone = layout_of(alone);
        Work of_row = work_of(alone, layout_alone, image, operands);
        of_row.split = work.split;
        of_row.first_block = work.first_block;
        of_row.blocks = work.blocks;
        multiply_filters(of_row, part.filters, split_image(of_row) && right);
      }
    }
  }
}

// Parts are rows for each thread: all are computed in the same way, whatever their part.
void TileProduct::run_rows(const Operands& operands) const {
  const std::int64_t parts = std::min<std::int64_t>(thread_count(), c_.out_height);
  for (std::int64_t image = 0; image < c_.batch; ++image) {
    parallel_for(0, parts, 1, [&](std::int64_t part, std::int64_t) {
      const Range rows{c_.out_height * part / parts, c_.out_height * (part + 1) / parts};
      run_part({{image, image + 1}, rows, {0, c_.filters}}, operands);
    });
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
  if (cuts_rows_) return run_rows(operands);
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
