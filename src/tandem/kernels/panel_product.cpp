#include "tandem/kernels/panel_product.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "tandem/base/threads.h"
#include "tandem/kernels/instruction_set.h"
#include "tandem/kernels/panel_kernels.h"
#include "tandem/kernels/thread_memory.h"
#include "tandem/kernels/transpose.h"

namespace tandem {
namespace {

struct PanelMemory {
  ThreadMemory windows, sums, weights;
};
PanelMemory& panel_memory() {
  thread_local PanelMemory memory;
  return memory;
}

// One panel, [position, channel, lane].
void turn_to_filter_panel(const float* w, const WeightOrder& order, const FilterPanel& panel,
                          std::int64_t lanes, float* to) {
  const std::int64_t width = panel.vectors * lanes, empty = width - panel.filters;
  w += panel.first * order.by_filter;
  for (std::int64_t p = 0; p < order.positions; ++p, to += width * order.channels) {
    const float* from = w + p * order.by_position;
    if (order.by_channel == 1 && order.by_filter != 1) {
      const auto words = [](const float* x) { return reinterpret_cast<const std::uint32_t*>(x); };
      transpose32(words(from), order.by_filter, reinterpret_cast<std::uint32_t*>(to), width,
                  panel.filters, order.channels);
    }
    for (std::int64_t c = 0; c < order.channels; ++c) {
      const float* row = from + c * order.by_channel;
      float* lane = to + c * width;
      if (order.by_filter == 1)
        std::memcpy(lane, row, static_cast<std::size_t>(panel.filters) * sizeof(float));
      else if (order.by_channel != 1)
        for (std::int64_t i = 0; i < panel.filters; ++i) lane[i] = row[i * order.by_filter];
      std::fill_n(lane + panel.filters, empty, 0.0F);
    }
  }
}

}  // namespace

std::int64_t panel_lanes() { return instruction_set() >= InstructionSet::kVnni ? 16 : 8; }

std::vector<FilterPanel> filter_panels(std::int64_t filters, std::int64_t lanes_of_vector) {
  std::vector<FilterPanel> panels;
  std::int64_t at = 0;
  for (std::int64_t first = 0; first < filters;) {
    const std::int64_t left = filters - first;
    // Of what is left behind a panel of two vectors, up to one more joins it.
    const std::int64_t needed = (left + lanes_of_vector - 1) / lanes_of_vector;
    const int vectors = needed == 1 || needed == 3 ? static_cast<int>(needed) : 2;
    const std::int64_t lanes = vectors * lanes_of_vector;
    panels.push_back({first, std::min(left, lanes), vectors, at});
    first += lanes;
    at += lanes;
  }
  return panels;
}

std::int64_t panel_floats(const WeightOrder& order) {
  const FilterPanel last = filter_panels(order.filters, panel_lanes()).back();
  return (last.at + last.vectors * panel_lanes()) * order.channels * order.positions;
}

void turn_to_filter_panels(const float* w, const WeightOrder& order, float* to) {
  const std::int64_t lanes = panel_lanes();
  for (const FilterPanel& panel : filter_panels(order.filters, lanes)) {
    turn_to_filter_panel(w, order, panel, lanes, to);
    to += panel.vectors * lanes * order.channels * order.positions;
  }
}

bool PanelProduct::is_there() {
#if defined(__x86_64__)
  static const bool has_fma = __builtin_cpu_supports("fma") != 0;
  return has_fma && instruction_set() >= InstructionSet::kAvx2;
#else
  return false;
#endif
}

bool PanelProduct::suits(const Convolution& c) {
  if (!is_there() || c.group != 1) return false;
  const bool is_product = c.kernel_height * c.kernel_width * c.stride_height * c.stride_width == 1;
  if (panel_lanes() == 16) return is_product && c.out_height == c.height && c.out_width == c.width;
  // oneDNN is as fast, or faster, at images of few channels, and at products and kernels of one
  // position, measured on Zen 3: there it reaches nine tenths of the peak, or takes no memory
  // beside the weights; at large weights of other kernels the half, and at strides of one position
  // a tenth.
  constexpr std::int64_t kManyChannels = 16;
  return !is_product && c.channels >= kManyChannels;
}

PanelProduct::PanelProduct(const Convolution& shape, const float* panels, const Options& options)
    : c_(shape),
      options_(options),
      low_(-std::numeric_limits<float>::infinity()),
      high_(std::numeric_limits<float>::infinity()),
      panels_(panels),
      lanes_(panel_lanes()),
      order_(filter_panels(shape.filters, lanes_)) {
  const RealCall& call = options.activation;
  if (call.function == RealFunction::kRelu && call.alpha == 0) {
    low_ = 0;
  } else if (call.function == RealFunction::kClip) {
    low_ = call.alpha;
    high_ = call.beta;
  } else {
    applies_ = call.function != RealFunction::kCopy;
  }
  bias_.assign(static_cast<std::size_t>(order_.back().at + order_.back().vectors * lanes_), 0.0F);
  if (options.bias != nullptr) std::copy_n(options.bias, c_.filters, bias_.data());
  positions_ = c_.kernel_height * c_.kernel_width;
  zeros_.assign(static_cast<std::size_t>(c_.channels), 0.0F);
  cut();
}

// Parts that threads compute: ranges of panels where the weights are what has to be read, else of
// pixels. None is smaller than what a thread takes to wake up.
void PanelProduct::cut() {
  const std::int64_t pixels = c_.batch * c_.out_height * c_.out_width,
                     window = positions_ * c_.channels;
  constexpr double kLeastOperations = 1e6, kOperationsPerElement = 16;
  constexpr std::int64_t kParts = 4, kLeastPanels = 2;
  const double weights = static_cast<double>(window) * static_cast<double>(c_.filters);
  const double operations =
      2 * weights * static_cast<double>(pixels) + kOperationsPerElement * weights;
  const auto affordable = static_cast<std::int64_t>(operations / kLeastOperations);
  const auto panels = static_cast<std::int64_t>(order_.size());
  const std::int64_t elements = c_.batch * c_.height * c_.width * c_.channels + pixels * c_.filters;
  const bool by_panels = (panels_ == nullptr || weights > static_cast<double>(elements)) &&
                         panels >= kParts * kLeastPanels;
  const std::int64_t most = most_panel_pixels(lanes_, 2);
  const std::int64_t units = by_panels ? panels : (pixels + most - 1) / most;
  const std::int64_t count = std::clamp<std::int64_t>(std::min(affordable, units), 1, kParts);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t begin = units * i / count, end = units * (i + 1) / count;
    if (by_panels) {
      parts_.push_back({0, pixels, static_cast<std::size_t>(begin), static_cast<std::size_t>(end)});
    } else {
      parts_.push_back({begin * most, std::min(pixels, end * most), 0, order_.size()});
    }
  }
  // What a block of pixels reads stays in the second cache while all panels pass; where they are
  // turned for it, it is as much as pays.
  constexpr std::int64_t kCached = 64 * 1024, kMostTurned = 256;
  const std::int64_t read = std::max<std::int64_t>(
      c_.channels * c_.stride_width * std::min(c_.stride_height, c_.kernel_height), 1);
  block_ = panels_ == nullptr ? kMostTurned / most * most
                              : std::clamp<std::int64_t>(kCached / read / most, 4, 64) * most;
}

void PanelProduct::run(const float* x, const float* addend, float* y) const {
  struct Run {
    const PanelProduct& self;
    const float *x, *addend;
    float* y;
  } run{*this, x, options_.adds ? addend : nullptr, y};
  parallel_for(
      0, static_cast<std::int64_t>(parts_.size()), 1, [&run](std::int64_t from, std::int64_t to) {
        for (std::int64_t i = from; i < to; ++i)
          run.self.run_part(run.self.parts_[static_cast<std::size_t>(i)], run.x, run.addend, run.y);
      });
}

void PanelProduct::run_part(const Part& part, const float* x, const float* addend, float* y) const {
  // Panels that are turned together: of each row of weights a few lines.
  constexpr std::size_t kTurned = 4;
  const std::size_t together = panels_ == nullptr ? kTurned : order_.size();
  for (std::size_t begin = part.first_panel; begin < part.last_panel; begin += together) {
    const std::size_t end = std::min(begin + together, part.last_panel);
    run_panels(part, begin, end, panels_ == nullptr ? turned(begin, end) : weights_at(begin), x,
               addend, y);
  }
}

const float* PanelProduct::weights_at(std::size_t panel) const {
  return panels_ + order_[panel].at * positions_ * c_.channels;
}

// Of this thread until it turns others.
const float* PanelProduct::turned(std::size_t begin, std::size_t end) const {
  const FilterPanel &first = order_[begin], &last = order_[end - 1];
  const std::int64_t window = positions_ * c_.channels,
                     floats = (last.at + last.vectors * lanes_ - first.at) * window;
  float* weights = panel_memory().weights.floats(floats);
  for (std::size_t panel = begin; panel < end; ++panel)
    turn_to_filter_panel(options_.weights, options_.order, order_[panel], lanes_,
                         weights + (order_[panel].at - first.at) * window);
  return weights;
}

void PanelProduct::run_panels(const Part& part, std::size_t begin, std::size_t end,
                              const float* weights, const float* x, const float* addend,
                              float* y) const {
  const FilterPanel &first = order_[begin], &last = order_[end - 1];
  const std::int64_t columns = last.first + last.filters - first.first;
  // Blocks of one length, that the last one does not compute a pixel alone.
  const std::int64_t pixels = part.end - part.begin, blocks = (pixels + block_ - 1) / block_;
  for (std::int64_t i = 0; i < blocks; ++i) {
    Windows windows{part.begin + pixels * i / blocks, part.begin + pixels * (i + 1) / blocks, x,
                    nullptr};
    if (!has_rows()) find_windows(windows);
    for (std::size_t panel = begin; panel < end; ++panel) {
      const std::int64_t at = (order_[panel].at - first.at) * positions_ * c_.channels;
      multiply(windows, order_[panel], weights + at, addend, y);
    }
    if (!applies_) continue;
    float* results = y + windows.begin * c_.filters + first.first;
    const std::int64_t count = windows.end - windows.begin;
    if (columns == c_.filters) {
      apply(options_.activation, results, nullptr, results, count * columns);
    } else {
      for (std::int64_t p = 0; p < count; ++p, results += c_.filters)
        apply(options_.activation, results, nullptr, results, columns);
    }
  }
}

void PanelProduct::find_windows(Windows& windows) const {
  const std::int64_t count = windows.end - windows.begin;
  auto** channels = static_cast<const float**>(panel_memory().windows.take(
      static_cast<std::size_t>(count * positions_) * sizeof(const float*)));
  windows.channels = channels;
  const std::int64_t image_size = c_.height * c_.width * c_.channels;
  const std::int64_t image_pixels = c_.out_height * c_.out_width;
  for (std::int64_t p = windows.begin; p < windows.end; ++p) {
    const float* image = windows.x + p / image_pixels * image_size;
    const std::int64_t pixel = p % image_pixels;
    const std::int64_t top = pixel / c_.out_width * c_.stride_height - c_.pad_top,
                       left = pixel % c_.out_width * c_.stride_width - c_.pad_left;
    for (std::int64_t i = 0; i < c_.kernel_height; ++i) {
      const std::int64_t row = top + i * c_.dilation_height;
      for (std::int64_t j = 0; j < c_.kernel_width; ++j) {
        const std::int64_t column = left + j * c_.dilation_width;
        const bool is_inside = row >= 0 && row < c_.height && column >= 0 && column < c_.width;
        *channels++ = is_inside ? image + (row * c_.width + column) * c_.channels : zeros_.data();
      }
    }
  }
}

// In chunks of the window, of which the weights stay in the second cache while all pixels pass.
void PanelProduct::multiply(const Windows& windows, const FilterPanel& panel, const float* weights,
                            const float* addend, float* y) const {
  constexpr std::int64_t kMostDepth = 1536;
  const std::int64_t lanes = panel.vectors * lanes_, parts = (c_.channels - 1) / kMostDepth + 1,
                     positions = std::max<std::int64_t>(kMostDepth / c_.channels, 1);
  float* sums = panel_memory().sums.floats((windows.end - windows.begin) * lanes);
  Chunk chunk{};
  chunk.weights = weights;
  for (std::int64_t p = 0; p < positions_; p += positions) {
    chunk.first_position = p;
    chunk.last_position = std::min(p + positions, positions_);
    for (std::int64_t part = 0; part < parts; ++part) {
      chunk.first_channel = c_.channels * part / parts;
      chunk.last_channel = c_.channels * (part + 1) / parts;
      chunk.is_last = chunk.last_position == positions_ && part + 1 == parts;
      multiply_chunk(windows, panel, chunk, sums, addend, y);
      const std::int64_t depth = chunk.last_channel - chunk.first_channel;
      chunk.weights += (chunk.last_position - p) * depth * lanes;
      chunk.is_first = false;
    }
  }
}

void PanelProduct::multiply_chunk(const Windows& windows, const FilterPanel& panel,
                                  const Chunk& chunk, float* sums, const float* addend,
                                  float* y) const {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::int64_t pixels = windows.end - windows.begin,
                     most = most_panel_pixels(lanes_, panel.vectors);
  const std::int64_t groups = (pixels + most - 1) / most, lanes = panel.vectors * lanes_;
  // Results are stored at their place where whole vectors belong there, or parts can be stored.
  const bool is_placed = chunk.is_last && (panel.filters == lanes || has_rows());
  PanelWork work;
  work.positions = positions_;
  work.x_stride = c_.channels;
  work.first_position = chunk.first_position;
  work.last_position = chunk.last_position;
  work.first_channel = chunk.first_channel;
  work.last_channel = chunk.last_channel;
  work.weights = chunk.weights;
  work.from_stride = chunk.is_first ? 0 : lanes;
  work.stride = is_placed ? c_.filters : lanes;
  work.filters = is_placed ? panel.filters : lanes;
  work.low = is_placed ? low_ : -kInfinity;
  work.high = is_placed ? high_ : kInfinity;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int64_t begin = pixels * g / groups, count = pixels * (g + 1) / groups - begin;
    const std::int64_t at = (windows.begin + begin) * c_.filters + panel.first;
    if (has_rows())
      work.x = windows.x + (windows.begin + begin) * c_.channels;
    else
      work.channels = windows.channels + begin * positions_;
    work.from = chunk.is_first ? bias_.data() + panel.at : sums + begin * lanes;
    work.y = is_placed ? y + at : sums + begin * lanes;
    work.addend = is_placed && addend != nullptr ? addend + at : nullptr;
    panel_kernel(lanes_, count, panel.vectors)(work);
    if (chunk.is_last && !is_placed)
      place(work.y, count, lanes, panel.filters, addend == nullptr ? nullptr : addend + at, y + at);
  }
}

// What kernels store of a panel that is not whole.
void PanelProduct::place(const float* sums, std::int64_t pixels, std::int64_t lanes,
                         std::int64_t filters, const float* addend, float* y) const {
  for (std::int64_t p = 0; p < pixels; ++p, sums += lanes, y += c_.filters) {
    for (std::int64_t i = 0; i < filters; ++i) {
      const float sum = addend == nullptr ? sums[i] : sums[i] + addend[p * c_.filters + i];
      y[i] = sum < low_ ? low_ : sum > high_ ? high_ : sum;
    }
  }
}

}  // namespace tandem
