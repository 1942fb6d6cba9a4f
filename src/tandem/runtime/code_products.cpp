#include <algorithm>
#include <cstring>
#include <numeric>

#include "tandem/base/error.h"
#include "tandem/base/threads.h"
#include "tandem/kernels/code_depthwise.h"
#include "tandem/kernels/code_gemm.h"
#include "tandem/runtime/code_groups.h"
#include "tandem/runtime/code_memory.h"
#include "tandem/runtime/code_steps.h"
#include "tandem/runtime/code_windows.h"

namespace tandem {
namespace {

// Work on fewer products than this is done before another thread has begun.
constexpr std::int64_t kThreadProducts = 4'000'000, kThreadFilterProducts = 1'000'000;

// The lines of a tail for sums of codes + 128, whose columns of weights add up to `sums`.
std::vector<RescaleLine> lines_for(const CodeTail& tail, std::int64_t channels, bool is_signed,
                                   const std::vector<std::int32_t>& sums) {
  std::vector<RescaleLine> lines;
  for (std::int64_t c = 0; c < channels; ++c) {
    RescaleLine line = tail.line(c);
    if (is_signed)
      line.addend -= 128 * std::int64_t{sums[static_cast<std::size_t>(c)]} * line.multiplier;
    lines.push_back(line);
  }
  return lines;
}

// The rows of a left operand: of a matrix, or the windows of a convolution. Copies may write
// kSlack elements more than there are.
constexpr std::int64_t kSlack = 64;
class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual std::int64_t rows() const = 0;
  // Writes a row's elements of one group.
  virtual void copy(const std::uint8_t* x, std::int64_t row, std::int64_t group,
                    std::uint8_t* to) const = 0;
  std::int64_t size() const { return size_; }  // elements of x
  // Elements from row to row where rows lie in x as they are; 0 where they do not.
  virtual std::int64_t plain_stride() const = 0;

 protected:
  explicit RowSource(std::int64_t size) : size_(size) {}
  // In whole pieces where they can be read, as short copies of any length take longest.
  static std::uint8_t* copy_run(const std::uint8_t* from, std::int64_t count,
                                const std::uint8_t* end, std::uint8_t* to) {
    constexpr std::int64_t kPiece = 32;
    static_assert(kPiece <= kSlack);
    if (count > 8 * kPiece || end - from < count + kPiece) return std::copy_n(from, count, to);
    for (std::int64_t i = 0; i < count; i += kPiece) std::memcpy(to + i, from + i, kPiece);
    return to + count;
  }

 private:
  std::int64_t size_;
};

class MatrixRows final : public RowSource {
 public:
  MatrixRows(std::int64_t rows, std::int64_t depth)
      : RowSource(rows * depth), rows_(rows), depth_(depth) {}
  std::int64_t rows() const override { return rows_; }
  void copy(const std::uint8_t* x, std::int64_t row, std::int64_t,
            std::uint8_t* to) const override {
    copy_run(x + row * depth_, depth_, x + size(), to);
  }
  std::int64_t plain_stride() const override { return depth_; }

 private:
  std::int64_t rows_, depth_;
};

class WindowRows final : public RowSource {
 public:
  WindowRows(const NodeView& node, const Window& window)
      : RowSource(element_count(node.input(0).static_shape())),
        windows_(node.input(0).static_shape(), window),
        images_(node.input(0).static_shape()[0]),
        per_group_(node.input(1).static_shape().back()),
        pad_(static_cast<std::uint8_t>(node.integer("pad_value"))) {
    // Neighbouring taps whose channels lie side by side are copied as one.
    const bool joins = node.integer("group") == 1;
    for (const std::int64_t tap : windows_.offsets()) {
      if (joins && !runs_.empty() && runs_.back().first + runs_.back().second == tap) {
        runs_.back().second += per_group_;
      } else {
        runs_.emplace_back(tap, per_group_);
      }
    }
    plain_ = joins && windows_.pixels() * per_group_ == windows_.image_size() &&
             windows_.taps() == 1 && windows_.is_inside(0) && windows_.stride() == per_group_;
    for (std::int64_t p = 0; p < windows_.pixels(); ++p) plain_ = plain_ && windows_.is_inside(p);
  }
  std::int64_t rows() const override { return images_ * windows_.pixels(); }
  void copy(const std::uint8_t* x, std::int64_t row, std::int64_t group,
            std::uint8_t* to) const override {
    const std::int64_t pixel = row % windows_.pixels();
    const std::uint8_t* from = x + row / windows_.pixels() * windows_.image_size() +
                               windows_.origin(pixel) + group * per_group_;
    if (windows_.is_inside(pixel)) {
      for (const auto& [offset, length] : runs_)
        to = copy_run(from + offset, length, x + size(), to);
      return;
    }
    const std::int64_t length = windows_.row_length();
    const auto [first, last] = windows_.inside_of_row(pixel);
    for (std::int64_t row_of_taps = 0; row_of_taps * length < windows_.taps(); ++row_of_taps) {
      if (!windows_.has_row(pixel, row_of_taps)) {
        to = std::fill_n(to, length * per_group_, pad_);
        continue;
      }
      to = std::fill_n(to, first * per_group_, pad_);
      for (std::int64_t i = first; i < last; ++i) {
        const auto tap = static_cast<std::size_t>(row_of_taps * length + i);
        to = std::copy_n(from + windows_.offsets()[tap], per_group_, to);
      }
      to = std::fill_n(to, (length - last) * per_group_, pad_);
    }
  }
  std::int64_t plain_stride() const override { return plain_ ? per_group_ : 0; }

 private:
  CodeWindows windows_;
  std::int64_t images_, per_group_;
  std::uint8_t pad_;
  bool plain_ = false;
  std::vector<std::pair<std::int64_t, std::int64_t>> runs_;  // offset and length
};

// A convolution or product with constant weights, then its codes: blocks of rows times panels of
// columns, whose sums never leave the cache.
class CodeProductStep final : public StepProgram {
 public:
  explicit CodeProductStep(const StepContext& context) {
    const NodeView head = context.node();
    const bool multiplies = head.node.op->name() == "IntMatMul";
    x_ = head.node.inputs[0];
    result_ = context.graph.nodes[context.step.nodes.back()].outputs[0];
    is_signed_ = is_signed_byte(head.input(0).format);
    const Shape w = head.input(1).static_shape();
    packed_ = packed_weights(head);
    groups_ = static_cast<std::int64_t>(packed_.size());
    const std::int64_t depth = packed_[0].depth, columns = packed_[0].columns;
    outputs_ = columns * groups_;
    const auto tail = *code_tail(context.module, context.graph, context.step.nodes);
    for (std::int64_t group = 0; group < groups_; ++group) {
      CodeTail own = tail;
      if (own.lines.size() > 1)
        own.lines = {tail.lines.begin() + group * columns,
                     tail.lines.begin() + (group + 1) * columns};
      rescales_.emplace_back(
          lines_for(own, columns, is_signed_, packed_[static_cast<std::size_t>(group)].sums),
          tail.low, tail.high);
    }
    table_ = tail.table;
    if (multiplies) {
      rows_ =
          std::make_unique<MatrixRows>(element_count(head.input(0).static_shape()) / depth, depth);
    } else {
      rows_ = std::make_unique<WindowRows>(head, window_of(head, {w.begin() + 1, w.end() - 1}));
    }
    divide(depth);
  }

  void run(const Places& places, Scratch&) const override {
    const std::uint8_t* x = reinterpret_cast<const std::uint8_t*>(places.read[x_]);
    std::uint8_t* to = reinterpret_cast<std::uint8_t*>(places.write[result_]);
    const std::int64_t items = blocks_ * groups_ * parts_;
    parallel_for(0, items, threaded_ ? 1 : items, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t item = begin; item < end; ++item) compute(x, item, to);
    });
  }

 private:
  static constexpr std::int64_t kMostRows = 64, kPanelsAtOnce = 4;

  // Blocks of rows alike in size; where they are few, parts of the columns too.
  void divide(std::int64_t depth) {
    const std::int64_t rows = rows_->rows(), tile = 16;
    blocks_ = (rows + kMostRows - 1) / kMostRows;
    block_ = ((rows + blocks_ - 1) / blocks_ + tile - 1) / tile * tile;
    blocks_ = (rows + block_ - 1) / block_;
    threaded_ = rows * depth * (outputs_ / groups_) * groups_ >= kThreadProducts;
    const std::int64_t strips = (packed_[0].panel_count() + kPanelsAtOnce - 1) / kPanelsAtOnce;
    constexpr std::int64_t kFewItems = 8;
    parts_ = std::clamp<std::int64_t>(kFewItems / (blocks_ * groups_), 1, strips);
  }

  void compute(const std::uint8_t* x, std::int64_t item, std::uint8_t* to) const {
    const std::int64_t part = item % parts_, group = item / parts_ % groups_;
    const std::int64_t first = item / parts_ / groups_ * block_;
    const std::int64_t rows = std::min(block_, rows_->rows() - first);
    const PackedCodes& packed = packed_[static_cast<std::size_t>(group)];
    const CodeRescale& rescale = rescales_[static_cast<std::size_t>(group)];
    std::int64_t stride = 0;
    const std::uint8_t* a = left(x, first, rows, group, packed, stride);
    const std::int64_t strips = (packed.panel_count() + kPanelsAtOnce - 1) / kPanelsAtOnce;
    const std::int64_t begin = part * strips / parts_, end = (part + 1) * strips / parts_;
    constexpr std::int64_t kWidth = kPanelsAtOnce * PackedCodes::kPanel;
    std::int32_t* sums = block_memory().sum_room(kMostRows * kWidth);
    std::uint8_t* results = to + first * outputs_ + group * packed.columns;
    for (std::int64_t strip = begin; strip < end; ++strip) {
      const std::int64_t panel = strip * kPanelsAtOnce, column = strip * kWidth;
      const std::int64_t panels = std::min(kPanelsAtOnce, packed.panel_count() - panel);
      multiply_codes(a, rows, stride, packed, panel, panels, sums, kWidth);
      rescale_codes(rescale, column, std::min(kWidth, packed.columns - column), sums, rows, kWidth,
                    results + column, outputs_);
    }
    if (table_) map_results(results, rows, begin * kWidth, std::min(end * kWidth, packed.columns));
  }

  // The block's rows: where they lie, or as copies.
  const std::uint8_t* left(const std::uint8_t* x, std::int64_t first, std::int64_t rows,
                           std::int64_t group, const PackedCodes& packed,
                           std::int64_t& stride) const {
    if (!is_signed_ && rows_->plain_stride() > 0) {
      stride = rows_->plain_stride();
      if ((first + rows - 1) * stride + packed.padded_depth() <= rows_->size())
        return x + first * stride;
    }
    stride = packed.padded_depth();
    std::uint8_t* a = block_memory().row_bytes(kMostRows * stride + kSlack);
    for (std::int64_t row = 0; row < rows; ++row)
      rows_->copy(x, first + row, group, a + row * stride);
    if (is_signed_) flip_code_signs(a, rows * stride);
    return a;
  }

  void map_results(std::uint8_t* results, std::int64_t rows, std::int64_t begin,
                   std::int64_t end) const {
    if (end - begin == outputs_) return map_codes(results, rows * outputs_, *table_, results);
    for (std::int64_t row = 0; row < rows; ++row)
      map_codes(results + row * outputs_ + begin, end - begin, *table_,
                results + row * outputs_ + begin);
  }

  ValueId x_ = kNone, result_ = kNone;
  bool is_signed_ = false, threaded_ = false;
  std::int64_t groups_ = 1, outputs_ = 1, block_ = 1, blocks_ = 1, parts_ = 1;
  std::vector<PackedCodes> packed_;  // by group
  std::vector<CodeRescale> rescales_;
  std::optional<std::array<std::uint8_t, 256>> table_;
  std::unique_ptr<RowSource> rows_;
};

std::vector<std::int8_t> taps_of(const Tensor& weights, std::int64_t channels) {
  std::vector<std::int8_t> room;
  const auto given = signed_bytes(weights, room);  // [channels][taps]
  const auto taps = static_cast<std::int64_t>(given.size()) / channels;
  std::vector<std::int8_t> result(given.size());
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t t = 0; t < taps; ++t)
      result[static_cast<std::size_t>(t * channels + c)] =
          given[static_cast<std::size_t>(c * taps + t)];
  return result;
}

// A convolution with one filter per channel.
class CodeDepthwiseStep final : public StepProgram {
 public:
  explicit CodeDepthwiseStep(const StepContext& context)
      : CodeDepthwiseStep(context, context.node(),
                          *code_tail(context.module, context.graph, context.step.nodes)) {}

  void run(const Places& places, Scratch&) const override {
    const std::uint8_t* x = reinterpret_cast<const std::uint8_t*>(places.read[x_]);
    std::uint8_t* to = reinterpret_cast<std::uint8_t*>(places.write[result_]);
    const std::int64_t pixels = images_ * windows_.pixels();
    const std::int64_t products = pixels * windows_.taps() * channels_;
    constexpr std::int64_t kGrain = 256;
    const bool threaded = products >= kThreadFilterProducts;
    parallel_for(0, pixels, threaded ? kGrain : pixels, [&](std::int64_t begin, std::int64_t end) {
      compute(x, begin, end, to);
      if (table_)
        map_codes(to + begin * channels_, (end - begin) * channels_, *table_,
                  to + begin * channels_);
    });
  }

 private:
  CodeDepthwiseStep(const StepContext& context, const NodeView& head, const CodeTail& tail)
      : x_(head.node.inputs[0]),
        result_(context.graph.nodes[context.step.nodes.back()].outputs[0]),
        images_(head.input(0).static_shape()[0]),
        channels_(head.input(0).static_shape().back()),
        windows_(head.input(0).static_shape(), window_of_filters(head)),
        repeats_(windows_.stride() == channels_ ? repeats_of(channels_) : 1),
        kernel_(kernel_of(head, channels_, tail, 1)),
        wide_kernel_(kernel_of(head, channels_, tail, repeats_)),
        table_(tail.table),
        pads_(static_cast<std::size_t>(channels_),
              static_cast<std::uint8_t>(head.integer("pad_value"))) {}

  static Window window_of_filters(const NodeView& node) {
    const Shape w = node.input(1).static_shape();
    return window_of(node, {w.begin() + 1, w.end() - 1});
  }
  // So many neighbouring pixels that lie side by side fill the registers.
  static std::int64_t repeats_of(std::int64_t channels) {
    return std::lcm(channels, DepthwiseCodes::block()) / channels;
  }
  static DepthwiseCodes kernel_of(const NodeView& head, std::int64_t own_channels, CodeTail tail,
                                  std::int64_t repeats) {
    const std::int64_t channels = own_channels * repeats;
    const auto own = taps_of(*head.constant(1), own_channels);
    std::vector<std::int8_t> weights;
    for (auto tap = own.begin(); tap != own.end(); tap += own_channels)
      for (std::int64_t i = 0; i < repeats; ++i)
        weights.insert(weights.end(), tap, tap + own_channels);
    const auto lines = tail.lines;
    for (std::int64_t i = 1; i < repeats && lines.size() > 1; ++i)
      tail.lines.insert(tail.lines.end(), lines.begin(), lines.end());
    std::vector<std::int32_t> sums(static_cast<std::size_t>(channels), 0);
    for (std::size_t i = 0; i < weights.size(); ++i) sums[i % sums.size()] += weights[i];
    const bool is_signed = is_signed_byte(head.input(0).format);
    return DepthwiseCodes(weights, channels, is_signed, lines_for(tail, channels, is_signed, sums),
                          tail.low, tail.high);
  }

  void compute(const std::uint8_t* x, std::int64_t begin, std::int64_t end,
               std::uint8_t* to) const {
    for (std::int64_t p = begin; p < end;) {
      const std::int64_t pixel = p % windows_.pixels();
      const std::uint8_t* image = x + p / windows_.pixels() * windows_.image_size();
      const std::uint8_t* from = image + windows_.origin(pixel);
      std::uint8_t* results = to + p * channels_;
      if (windows_.is_inside(pixel)) {
        const std::int64_t most = std::min(end - p, windows_.pixels() - pixel);
        const std::int64_t count = std::min(most, windows_.run_length(pixel));
        const std::int64_t wide = count / repeats_, done = wide * repeats_;
        const std::int64_t* offsets = windows_.offsets().data();
        wide_kernel_.run(from, offsets, windows_.stride() * repeats_, wide, results);
        kernel_.run(from + done * windows_.stride(), offsets, windows_.stride(), count - done,
                    results + done * channels_);
        p += count;
        continue;
      }
      std::array<std::int64_t, DepthwiseCodes::kMostTaps> offsets{};
      for (std::int64_t tap = 0; tap < windows_.taps(); ++tap) {
        const auto t = static_cast<std::size_t>(tap);
        offsets[t] = windows_.has_tap(pixel, tap) ? windows_.offsets()[t] : pads_.data() - from;
      }
      kernel_.run(from, offsets.data(), 0, 1, results);
      ++p;
    }
  }

  ValueId x_, result_;
  std::int64_t images_, channels_;
  CodeWindows windows_;
  std::int64_t repeats_;
  DepthwiseCodes kernel_, wide_kernel_;  // of one pixel, and of several
  std::optional<std::array<std::uint8_t, 256>> table_;
  std::vector<std::uint8_t> pads_;  // one pixel in the padding
};

}  // namespace

std::unique_ptr<StepProgram> make_code_product(const StepContext& context) {
  return std::make_unique<CodeProductStep>(context);
}
std::unique_ptr<StepProgram> make_code_depthwise(const StepContext& context) {
  return std::make_unique<CodeDepthwiseStep>(context);
}

}  // namespace tandem
