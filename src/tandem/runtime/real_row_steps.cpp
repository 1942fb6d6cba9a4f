#include "tandem/base/error.h"
#include "tandem/ops/pool.h"
#include "tandem/runtime/real_nodes.h"
#include "tandem/runtime/real_steps.h"
#include "tandem/runtime/walk.h"

namespace tandem {
namespace {

const float* floats(const Places& places, ValueId value) {
  return reinterpret_cast<const float*>(places.read[value]);
}
float* floats_to(const Places& places, ValueId value) {
  return reinterpret_cast<float*>(places.write[value]);
}

// Rows along the last axes, each computed alone.
class RowsStep final : public StepProgram {
 public:
  explicit RowsStep(const StepContext& context) {
    const NodeView node = context.node();
    x_ = node.node.inputs[0];
    y_ = node.node.outputs[0];
    const Shape shape = context.shape(x_);
    const std::string_view op = node.node.op->name();
    std::size_t first = shape.size() - 1;  // of the axes of a row
    if (op == "LayerNormalization") {
      const auto axis = node.integer("axis");
      first = static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(shape.size())
                                                : axis);
      kind_ = Kind::kNormalize;
      epsilon_ = static_cast<float>(node.real("epsilon"));
      scale_ = context.constant(node.node.inputs[1]);
      if (node.has_input(2)) bias_ = context.constant(node.node.inputs[2]);
    } else if (op != "Softmax") {
      const auto& axes = node.integers("axes");
      first = axes.empty() ? 0 : shape.size() - axes.size();
      kind_ = op == "ReduceMax" ? Kind::kMax : op == "ReduceSum" ? Kind::kSum : Kind::kMean;
    }
    for (std::size_t d = first; d < shape.size(); ++d) length_ *= shape[d];
    rows_ = element_count(shape) / length_;
  }

  void run(const Places& places, Scratch&) const override {
    const float* x = floats(places, x_);
    float* y = floats_to(places, y_);
    const std::int64_t grain = std::max<std::int64_t>(kPartElements / 4 / length_, 1);
    parallel_for(0, rows_, grain, [this, x, y](std::int64_t from, std::int64_t to) {
      for (std::int64_t row = from; row < to; ++row) compute(x + row * length_, y, row);
    });
  }

 private:
  enum class Kind { kSoftmax, kNormalize, kSum, kMean, kMax };

  void compute(const float* x, float* y, std::int64_t row) const {
    switch (kind_) {
      case Kind::kSoftmax: return softmax_row(x, y + row * length_, length_);
      case Kind::kNormalize:
        return normalize_row(x, scale_, bias_, epsilon_, false, y + row * length_, length_);
      case Kind::kSum: y[row] = sum_row(x, length_); return;
      case Kind::kMean: y[row] = sum_row(x, length_) / static_cast<float>(length_); return;
      case Kind::kMax: y[row] = max_row(x, length_); return;
    }
  }

  ValueId x_ = kNone, y_ = kNone;
  std::int64_t rows_ = 0, length_ = 1;
  Kind kind_ = Kind::kSoftmax;
  float epsilon_ = 0;
  const float *scale_ = nullptr, *bias_ = nullptr;
};

// A pooling over one or two spatial axes of images that lie channels last: each window is a sum or
// maximum of rows of channels.
class PoolStep final : public StepProgram {
 public:
  explicit PoolStep(const StepContext& context) {
    const NodeView node = context.node();
    x_ = node.node.inputs[0];
    y_ = node.node.outputs[0];
    const Shape x = context.shape(x_);
    images_ = x[0];
    channels_ = x[1];
    const std::string_view op = node.node.op->name();
    const bool is_global = is_global_average(node) || op == "GlobalMaxPool";
    is_average_ = op == "AveragePool" || is_global_average(node);
    const std::vector<std::int64_t> extents(x.begin() + 2, x.end());
    in_positions_ = 1;
    for (const std::int64_t extent : extents) in_positions_ *= extent;
    if (is_global) {
      windows_.resize(1);
      for (std::int64_t i = 0; i < in_positions_; ++i) windows_[0].push_back(i);
      factors_ = {1 / static_cast<float>(in_positions_)};
      return;
    }
    const Window window = pool_window(node, extents);
    std::int64_t outputs = 1;
    for (const std::int64_t extent : window.output_extents(extents)) outputs *= extent;
    windows_.resize(static_cast<std::size_t>(outputs));
    for_each_window_element(window, extents,
                            [&](std::int64_t output, std::int64_t, std::int64_t position) {
                              if (position >= 0)
                                windows_[static_cast<std::size_t>(output)].push_back(position);
                            });
    if (is_average_)
      for (const std::int64_t divisor : average_divisors(node, extents))
        factors_.push_back(1 / static_cast<float>(divisor));
  }

  void run(const Places& places, Scratch& scratch) const override {
    const float* x = floats(places, x_);
    float* y = floats_to(places, y_);
    const auto outputs = static_cast<std::int64_t>(windows_.size());
    if (outputs == 1) return run_global(x, y, scratch);
    const std::int64_t grain = std::max<std::int64_t>(kPartElements / 4 / channels_, 1);
    parallel_for(0, images_ * outputs, grain, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t i = from; i < to; ++i)
        pool(x + i / outputs * in_positions_ * channels_, static_cast<std::size_t>(i % outputs),
             y + i * channels_);
    });
  }

 private:
  // One window. Its positions are cut by the shape alone, as what computed them was, so that each
  // thread reads what lies in its cache; then what each part came to is joined.
  void run_global(const float* x, float* y, Scratch& scratch) const {
    constexpr std::int64_t kMostParts = 8;
    const std::int64_t count = in_positions_, size = count * channels_;
    const std::int64_t parts =
        std::max<std::int64_t>(std::min({size / (kPartElements / 2), kMostParts, count}), 1);
    float* joined = scratch.take<float>(kSumsSlot, parts * channels_);
    for (std::int64_t image = 0; image < images_; ++image) {
      const float* from = x + image * size;
      float* to = y + image * channels_;
      if (parts == 1) {
        pool(from, 0, to);
        continue;
      }
      parallel_for(0, parts, 1, [&](std::int64_t part, std::int64_t) {
        const std::int64_t begin = count * part / parts, end = count * (part + 1) / parts;
        join(from, windows_[0].data() + begin, end - begin, 1, joined + part * channels_);
      });
      join(joined, windows_[0].data(), parts, is_average_ ? factors_[0] : 1, to);
    }
  }

  // The sum, times a factor, or the maximum of some rows.
  void join(const float* rows, const std::int64_t* which, std::int64_t count, float factor,
            float* to) const {
    if (is_average_)
      sum_of_rows(rows, which, count, factor, channels_, channels_, to);
    else
      max_of_rows(rows, which, count, channels_, channels_, to);
  }

  void pool(const float* image, std::size_t output, float* to) const {
    const std::vector<std::int64_t>& window = windows_[output];
    join(image, window.data(), static_cast<std::int64_t>(window.size()),
         is_average_ ? factors_[output] : 1, to);
  }

  ValueId x_ = kNone, y_ = kNone;
  std::int64_t images_ = 1, channels_ = 1, in_positions_ = 1;
  bool is_average_ = false;
  std::vector<std::vector<std::int64_t>> windows_;  // input positions by output position
  std::vector<float> factors_;
};

}  // namespace

std::unique_ptr<StepProgram> make_real_rows(const StepContext& context) {
  return std::make_unique<RowsStep>(context);
}

std::unique_ptr<StepProgram> make_real_pool(const StepContext& context) {
  return std::make_unique<PoolStep>(context);
}

}  // namespace tandem
