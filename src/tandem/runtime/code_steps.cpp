#include "tandem/runtime/code_steps.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/threads.h"
#include "tandem/runtime/code_groups.h"
#include "tandem/runtime/code_windows.h"

namespace tandem {
namespace {

constexpr std::int64_t kPart = 65536;  // codes that one thread takes at a time
constexpr std::int64_t kBlock = 1024;  // sums that stay in the first-level cache
static_assert(kPart % kBlock == 0 && kBlock % CodeRescale::kLanes == 0);

const std::uint8_t* bytes_of(const Places& places, ValueId value) {
  return reinterpret_cast<const std::uint8_t*>(places.read[value]);
}
std::uint8_t* result_bytes(const Places& places, ValueId value) {
  return reinterpret_cast<std::uint8_t*>(places.write[value]);
}
ValueId result_of(const StepContext& context) {
  return context.graph.nodes[context.step.nodes.back()].outputs[0];
}

class CodeTableStep final : public StepProgram {
 public:
  explicit CodeTableStep(const StepContext& context)
      : x_(context.node().node.inputs[0]),
        result_(result_of(context)),
        count_(element_count(context.shape(result_))),
        tables_(*byte_tables(context.node())) {}
  void run(const Places& places, Scratch&) const override {
    const std::uint8_t* x = bytes_of(places, x_);
    std::uint8_t* to = result_bytes(places, result_);
    const auto extent = static_cast<std::int64_t>(tables_.tables.size());
    const std::int64_t row = extent * tables_.inner;  // that all tables map once
    if (extent == 1) {
      parallel_for(0, count_, kPart, [&](std::int64_t begin, std::int64_t end) {
        map_codes(x + begin, end - begin, tables_.tables[0], to + begin);
      });
      return;
    }
    const std::int64_t rows = std::max<std::int64_t>(kPart / row, 1);
    parallel_for(0, count_ / row, rows, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) map_row(x + r * row, to + r * row);
    });
  }

 private:
  void map_row(const std::uint8_t* x, std::uint8_t* to) const {
    const std::int64_t inner = tables_.inner;
    if (inner > 1) {
      for (const auto& table : tables_.tables) {
        map_codes(x, inner, table, to);
        x += inner;
        to += inner;
      }
      return;
    }
    for (std::size_t c = 0; c < tables_.tables.size(); ++c) to[c] = tables_.tables[c][x[c]];
  }

  ValueId x_, result_;
  std::int64_t count_;
  CodeTables tables_;
};

// A tail that is the same for all channels, as a kernel for sums in a row.
class UniformTail {
 public:
  explicit UniformTail(const CodeTail& tail)
      : rescale_(std::vector<RescaleLine>(CodeRescale::kLanes, tail.lines[0]), tail.low, tail.high),
        table_(tail.table) {}
  void apply(const std::int32_t* sums, std::int64_t count, std::uint8_t* to) const {
    constexpr std::int64_t kLanes = CodeRescale::kLanes;
    const std::int64_t whole = count / kLanes, rest = count % kLanes;
    rescale_codes(rescale_, 0, kLanes, sums, whole, kLanes, to, kLanes);
    if (rest > 0)
      rescale_codes(rescale_, 0, rest, sums + whole * kLanes, 1, kLanes, to + whole * kLanes, rest);
    if (table_) map_codes(to, count, *table_, to);
  }

 private:
  CodeRescale rescale_;
  std::optional<std::array<std::uint8_t, 256>> table_;
};

// A function of two values of codes, then its codes.
class CodePairStep final : public StepProgram {
 public:
  CodePairStep(const StepContext& context, const CodePair& pair, const CodeTail& tail)
      : pair_(pair),
        result_(result_of(context)),
        count_(element_count(context.shape(pair.x))),
        period_(element_count(context.shape(pair.y))),
        x_signed_(is_signed_byte(context.graph.values[pair.x].type.format)),
        y_signed_(is_signed_byte(context.graph.values[pair.y].type.format)),
        tail_(tail),
        table_(tail.table) {
    if (pair.wide) wide_ = wide_terms(*pair.wide, tail);
  }

  void run(const Places& places, Scratch& scratch) const override {
    const std::uint8_t *x = bytes_of(places, pair_.x), *y = bytes_of(places, pair_.y);
    std::uint8_t* to = result_bytes(places, result_);
    if (wide_) return add_wide(x, y, to);
    if (period_ == count_) {
      parallel_for(0, count_, kPart, [&](std::int64_t begin, std::int64_t end) {
        alignas(64) std::int32_t sums[kBlock];
        for (std::int64_t i = begin; i < end; i += kBlock) {
          const std::int64_t now = std::min(kBlock, end - i);
          pair_codes(pair_.terms, x + i, x_signed_, y + i, y_signed_, now, sums);
          tail_.apply(sums, now, to + i);
        }
      });
      return;
    }
    scale(x, y, scratch, to);
  }

 private:
  void add_wide(const std::uint8_t* x, const std::uint8_t* y, std::uint8_t* to) const {
    parallel_for(0, count_, kPart, [&](std::int64_t begin, std::int64_t end) {
      wide_pair_codes(*wide_, x + begin, x_signed_, y + begin, y_signed_, end - begin, to + begin);
      if (table_) map_codes(to + begin, end - begin, *table_, to + begin);
    });
  }

  // One y for each channel: a factor and an addend for x.
  void scale(const std::uint8_t* x, const std::uint8_t* y, Scratch& scratch,
             std::uint8_t* to) const {
    // Repeated, so that several pixels go through the kernels at once.
    const std::int64_t width = std::max<std::int64_t>(kBlock / period_, 1) * period_;
    std::int32_t* factors = scratch.take<std::int32_t>(kOperandSlot, width);
    std::int32_t* addends = scratch.take<std::int32_t>(kSumsSlot, width);
    for (std::int64_t c = 0; c < width; ++c) {
      const std::uint8_t byte = y[c % period_];
      const std::int32_t code = y_signed_ ? static_cast<std::int8_t>(byte) : byte;
      factors[c] = pair_.terms.product * code + pair_.terms.x_factor;
      addends[c] = pair_.terms.y_factor * code + pair_.terms.constant;
    }
    const std::int64_t rows = std::max<std::int64_t>(kPart / period_, 1);
    parallel_for(0, count_ / period_, rows, [&](std::int64_t begin, std::int64_t end) {
      alignas(64) std::int32_t sums[kBlock];
      for (std::int64_t first = begin * period_; first < end * period_; first += width) {
        const std::int64_t all = std::min(width, end * period_ - first);
        for (std::int64_t c = 0; c < all; c += kBlock) {
          const std::int64_t now = std::min(kBlock, all - c), at = first + c;
          scale_codes(x + at, x_signed_, factors + c, addends + c, now, sums);
          tail_.apply(sums, now, to + at);
        }
      }
    });
  }

  CodePair pair_;
  ValueId result_;
  std::int64_t count_, period_;
  bool x_signed_, y_signed_;
  UniformTail tail_;
  std::optional<WidePairTerms> wide_;
  std::optional<std::array<std::uint8_t, 256>> table_;
};

// Codes as other codes, by constants for each channel.
class CodeRescaleStep final : public StepProgram {
 public:
  explicit CodeRescaleStep(const StepContext& context)
      : x_(context.node().node.inputs[0]), result_(result_of(context)) {
    const Shape shape = context.shape(x_);
    channels_ = shape.empty() ? 1 : shape.back();
    rows_ = element_count(shape) / channels_;
    is_signed_ = is_signed_byte(context.graph.values[x_].type.format);
    const CodeTail tail = *code_tail(context.module, context.graph, context.step.nodes, true);
    rescale_ = CodeRescale(tail.lines_of(channels_), tail.low, tail.high);
    left_ = tail.left;
    table_ = tail.table;
  }
  void run(const Places& places, Scratch&) const override {
    const std::uint8_t* x = bytes_of(places, x_);
    std::uint8_t* to = result_bytes(places, result_);
    const std::int64_t grain = std::max<std::int64_t>(kPart / channels_, 1);
    parallel_for(0, rows_, grain, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t at = begin * channels_;
      rescale_bytes(rescale_, channels_, x + at, is_signed_, left_, end - begin, to + at);
      if (table_) map_codes(to + at, (end - begin) * channels_, *table_, to + at);
    });
  }

 private:
  ValueId x_, result_;
  std::int64_t rows_ = 1, channels_ = 1;
  bool is_signed_ = false;
  int left_ = 0;
  CodeRescale rescale_;
  std::optional<std::array<std::uint8_t, 256>> table_;
};

// The sum of the pixels of each channel, then its codes.
class CodeMeanStep final : public StepProgram {
 public:
  explicit CodeMeanStep(const StepContext& context)
      : x_(context.node().node.inputs[0]), result_(result_of(context)) {
    const Shape shape = context.shape(x_);
    images_ = shape[0];
    channels_ = shape.back();
    pixels_ = element_count(shape) / (images_ * channels_);
    is_signed_ = is_signed_byte(context.graph.values[x_].type.format);
    const CodeTail tail = *code_tail(context.module, context.graph, context.step.nodes);
    rescale_ = CodeRescale(tail.lines_of(channels_), tail.low, tail.high);
    table_ = tail.table;
  }
  void run(const Places& places, Scratch& scratch) const override {
    const std::int64_t width = (channels_ + 15) / 16 * 16;
    std::int32_t* sums = scratch.take<std::int32_t>(kSumsSlot, width);
    const std::uint8_t* x = bytes_of(places, x_);
    std::uint8_t* to = result_bytes(places, result_);
    for (std::int64_t image = 0; image < images_; ++image, to += channels_) {
      std::fill_n(sums, width, 0);
      for (std::int64_t p = 0; p < pixels_; ++p, x += channels_)
        add_codes(x, is_signed_, channels_, sums);
      rescale_codes(rescale_, 0, channels_, sums, 1, width, to, channels_);
      if (table_) map_codes(to, channels_, *table_, to);
    }
  }

 private:
  ValueId x_, result_;
  std::int64_t images_ = 1, channels_ = 1, pixels_ = 1;
  bool is_signed_ = false;
  CodeRescale rescale_;
  std::optional<std::array<std::uint8_t, 256>> table_;
};

// The greatest code of each window.
class CodePoolStep final : public StepProgram {
 public:
  explicit CodePoolStep(const StepContext& context)
      : x_(context.node().node.inputs[0]),
        result_(result_of(context)),
        images_(context.shape(x_)[0]),
        channels_(context.shape(x_).back()),
        is_signed_(is_signed_byte(context.graph.values[x_].type.format)),
        windows_(context.shape(x_), window_of(context.node(), context.node().integers("kernel"))) {}
  void run(const Places& places, Scratch&) const override {
    const std::uint8_t* x = bytes_of(places, x_);
    std::uint8_t* to = result_bytes(places, result_);
    const std::int64_t grain = std::max<std::int64_t>(kPart / channels_, 1);
    parallel_for(0, images_ * windows_.pixels(), grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t p = begin; p < end; ++p) pool(x, p, to + p * channels_);
    });
  }

 private:
  void pool(const std::uint8_t* x, std::int64_t p, std::uint8_t* to) const {
    const std::int64_t pixel = p % windows_.pixels();
    const std::uint8_t* from =
        x + p / windows_.pixels() * windows_.image_size() + windows_.origin(pixel);
    if (windows_.is_inside(pixel))
      return greatest_codes(from, is_signed_, windows_.offsets().data(), windows_.taps(), channels_,
                            to);
    std::vector<std::int64_t>& offsets = border_offsets();
    offsets.clear();
    for (std::int64_t tap = 0; tap < windows_.taps(); ++tap)
      if (windows_.has_tap(pixel, tap))
        offsets.push_back(windows_.offsets()[static_cast<std::size_t>(tap)]);
    greatest_codes(from, is_signed_, offsets.data(), static_cast<std::int64_t>(offsets.size()),
                   channels_, to);
  }
  // Of the running thread, kept between runs.
  static std::vector<std::int64_t>& border_offsets() {
    thread_local std::vector<std::int64_t> offsets;
    return offsets;
  }

  ValueId x_, result_;
  std::int64_t images_, channels_;
  bool is_signed_;
  CodeWindows windows_;
};

}  // namespace

std::unique_ptr<StepProgram> make_code_pair(const StepContext& context) {
  const std::size_t rescale = rescale_of(context.graph, context.step.nodes);
  const ValueId sum = context.node(rescale).node.inputs[0];
  const auto pair = code_pair(context.module, context.graph, sum, {}, consumers(context.graph));
  return std::make_unique<CodePairStep>(
      context, *pair, *code_tail(context.module, context.graph, context.step.nodes));
}
std::unique_ptr<StepProgram> make_code_mean(const StepContext& context) {
  return std::make_unique<CodeMeanStep>(context);
}
std::unique_ptr<StepProgram> make_code_pool(const StepContext& context) {
  return std::make_unique<CodePoolStep>(context);
}
std::unique_ptr<StepProgram> make_code_rescale(const StepContext& context) {
  return std::make_unique<CodeRescaleStep>(context);
}
std::unique_ptr<StepProgram> make_code_table(const StepContext& context) {
  return std::make_unique<CodeTableStep>(context);
}

}  // namespace tandem
