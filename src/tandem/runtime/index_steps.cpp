#include <cmath>
#include <cstring>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/positions.h"
#include "tandem/runtime/real_nodes.h"
#include "tandem/runtime/real_steps.h"
#include "tandem/runtime/walk.h"

namespace tandem {
namespace {

AxisSplit axis_of(const StepContext& context) {
  const Shape shape = context.shape(context.node().node.inputs[0]);
  return split_at(shape, normalized_axis(context.node().integer("axis"), shape.size()));
}

// The position of the greatest (least) element along an axis, of f32.
class ArgExtremeStep final : public StepProgram {
 public:
  explicit ArgExtremeStep(const StepContext& context)
      : x_(context.node().node.inputs[0]),
        y_(context.node().node.outputs[0]),
        axis_(axis_of(context)),
        sign_(context.node().node.op->name() == "ArgMax" ? 1.0F : -1.0F),
        last_(context.node().integer("select_last_index") != 0) {}

  void run(const Places& places, Scratch&) const override {
    const auto* x = reinterpret_cast<const float*>(places.read[x_]);
    auto* y = reinterpret_cast<std::int64_t*>(places.write[y_]);
    const std::int64_t grain = std::max<std::int64_t>(kPartElements / 4 / axis_.extent, 1);
    parallel_for(0, axis_.outer * axis_.inner, grain, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t i = from; i < to; ++i)
        y[i] = find(x + i / axis_.inner * axis_.extent * axis_.inner + i % axis_.inner);
    });
  }

 private:
  // The least is the greatest of what has the other sign; NaN is beyond every number either way.
  std::int64_t find(const float* x) const {
    std::int64_t best = 0;
    float known = sign_ * x[0];
    for (std::int64_t i = 1; i < axis_.extent; ++i) {
      const float value = sign_ * x[i * axis_.inner];
      const bool is_better = value > known || (std::isnan(value) && !std::isnan(known));
      const bool is_equal = value == known || (std::isnan(value) && std::isnan(known));
      if (!is_better && !(last_ && is_equal)) continue;
      known = value;
      best = i;
    }
    return best;
  }

  ValueId x_, y_;
  AxisSplit axis_;
  float sign_;
  bool last_;
};

// Elements at computed positions along an axis.
template <typename Position>
class GatherStep final : public StepProgram {
 public:
  explicit GatherStep(const StepContext& context)
      : node_(context.node().node),
        axis_(axis_of(context)),
        count_(element_count(context.shape(node_.inputs[1]))) {
    const Format& format = context.node().input(0).format;
    run_bytes_ = static_cast<std::size_t>(axis_.inner * storage_bytes(format.storage()));
  }

  void run(const Places& places, Scratch&) const override {
    const std::byte* from = places.read[node_.inputs[0]];
    const auto* positions = reinterpret_cast<const Position*>(places.read[node_.inputs[1]]);
    std::byte* to = places.write[node_.outputs[0]];
    const std::size_t part = static_cast<std::size_t>(axis_.extent) * run_bytes_;
    for (std::int64_t i = 0; i < axis_.outer; ++i, from += part)
      for (std::int64_t p = 0; p < count_; ++p, to += run_bytes_)
        std::memcpy(to, from + static_cast<std::size_t>(resolved(positions[p])) * run_bytes_,
                    run_bytes_);
  }

 private:
  std::int64_t resolved(std::int64_t position) const {
    if (position >= 0 && position < axis_.extent) return position;
    try {
      return resolved_position(position, axis_.extent);
    } catch (const Error& error) {
      throw error.at(concat("Gather '", node_.name, "'"));
    }
  }

  const Node& node_;
  AxisSplit axis_;
  std::int64_t count_;
  std::size_t run_bytes_ = 0;
};

}  // namespace

bool is_arg_extreme(const NodeView& node) {
  const std::string_view op = node.node.op->name();
  return (op == "ArgMax" || op == "ArgMin") && node.input(0).format.storage() == Storage::kF32 &&
         node.constant(0) == nullptr;
}

std::unique_ptr<StepProgram> make_arg_extreme(const StepContext& context) {
  return std::make_unique<ArgExtremeStep>(context);
}

std::unique_ptr<StepProgram> make_gather(const StepContext& context) {
  const NodeView node = context.node();
  if (node.node.op->name() != "Gather") return nullptr;
  const auto is_row_major = [&](ValueId value) {
    return context.layouts[value] == Layout::kRowMajor;
  };
  if (!is_row_major(node.node.inputs[0]) || !is_row_major(node.node.inputs[1]) ||
      !is_row_major(node.node.outputs[0]))
    return nullptr;
  switch (node.input(1).format.storage()) {
    case Storage::kI64: return std::make_unique<GatherStep<std::int64_t>>(context);
    case Storage::kI32: return std::make_unique<GatherStep<std::int32_t>>(context);
    default: return nullptr;
  }
}

}  // namespace tandem
