#include <algorithm>
#include <array>

#include "tandem/base/error.h"
#include "tandem/runtime/real_nodes.h"
#include "tandem/runtime/real_steps.h"
#include "tandem/runtime/walk.h"

namespace tandem {
namespace {

constexpr std::int64_t kBlock = 1024;  // elements that stay in the first-level cache

// The axes of a shape in the order of a layout, outermost first.
std::vector<std::size_t> axes_in(Layout layout, std::size_t rank) {
  std::vector<std::size_t> axes;
  for (std::size_t d = 0; d < rank; ++d)
    if (layout == Layout::kRowMajor || rank < 3 || d != 1) axes.push_back(d);
  if (axes.size() < rank) axes.push_back(1);
  return axes;
}

// Element-wise nodes one after the other, block by block.
class LanesStep final : public StepProgram {
 public:
  explicit LanesStep(const StepContext& context) {
    const Graph& graph = context.graph;
    result_ = graph.nodes[context.step.nodes.back()].outputs[0];
    const Shape shape = context.shape(result_);
    const Layout layout = context.layouts[result_];
    const auto axes = axes_in(layout, shape.size());
    std::vector<std::int64_t> extents;
    for (const std::size_t d : axes) extents.push_back(shape[d]);
    std::vector<std::vector<std::int64_t>> strides;
    const auto add_operand = [&](ValueId value) {
      const auto logical = context.strides(value, shape);
      std::vector<std::int64_t> ordered;
      for (const std::size_t d : axes) ordered.push_back(logical[d]);
      strides.push_back(ordered);
      values_.push_back(value);
      constants_.push_back(context.constant(value));
      return static_cast<int>(values_.size()) - 1;
    };
    ValueId lead = kNone;
    for (std::size_t i = 0; i < context.step.nodes.size(); ++i) {
      const NodeView node = context.node(i);
      const auto lanes = lane_call(node);
      ensure(lanes.has_value(), "a node that is none of the lanes was planned on them");
      Call call{lanes->call, {kLead, kAbsent}};
      for (std::size_t o = 0; o < lanes->operands.size(); ++o)
        call.operands[o] = lanes->operands[o] == lead ? kLead : add_operand(lanes->operands[o]);
      calls_.push_back(call);
      lead = node.node.outputs[0];
    }
    add_operand(result_);
    walk_ = std::make_unique<Walk>(extents, strides);
  }

  void run(const Places& places, Scratch&) const override {
    const std::size_t count = values_.size();
    std::array<const float*, kMostOperands> read{};
    ensure(count <= read.size(), "a step on lanes has too many operands");
    for (std::size_t o = 0; o + 1 < count; ++o) {
      read[o] = constants_[o] != nullptr ? constants_[o]
                                         : reinterpret_cast<const float*>(places.read[values_[o]]);
    }
    float* write = reinterpret_cast<float*>(places.write[result_]);
    walk_->visit_joined(kBlock, kPartElements,
                        [&](const std::int64_t* offsets, std::int64_t length, std::int64_t runs) {
                          const std::int64_t n = length * runs;
                          alignas(64) float left[kBlock], right[kBlock];
                          float* y = write + offsets[count - 1];
                          const auto load = [&](int operand, float* room) -> const float* {
                            if (operand == kLead) return y;
                            if (operand == kAbsent) return nullptr;
                            const auto o = static_cast<std::size_t>(operand);
                            const float* from = read[o] + offsets[o];
                            const std::int64_t step = walk_->run_step(o);
                            if (runs > 1 && walk_->repeats(o)) {
                              for (std::int64_t r = 0; r < runs; ++r)
                                std::copy_n(from, length, room + r * length);
                              return room;
                            }
                            if (step == 1) return from;
                            for (std::int64_t i = 0; i < n; ++i) room[i] = from[i * step];
                            return room;
                          };
                          for (const Call& call : calls_)
                            apply(call.call, load(call.operands[0], left),
                                  load(call.operands[1], right), y, n);
                        });
  }

  static constexpr std::size_t kMostOperands = 16;

 private:
  static constexpr int kLead = -1, kAbsent = -2;
  struct Call {
    RealCall call;
    std::array<int, 2> operands;
  };
  std::vector<Call> calls_;
  std::vector<ValueId> values_;          // operands, the result last
  std::vector<const float*> constants_;  // by operand; null where it is computed
  ValueId result_ = kNone;
  std::unique_ptr<Walk> walk_;
};

}  // namespace

std::vector<std::int64_t> StepContext::strides(ValueId value, const Shape& shape) const {
  const Shape own = this->shape(value);
  const auto dense = strides_of(own, layouts[value]);
  std::vector<std::int64_t> result(shape.size(), 0);
  const std::size_t lead = shape.size() - own.size();
  for (std::size_t d = 0; d < own.size(); ++d)
    if (own[d] != 1) result[lead + d] = dense[d];
  return result;
}

const float* StepContext::constant(ValueId value) const {
  const Tensor* tensor = constant_of(module, graph, value);
  return tensor == nullptr ? nullptr : tensor->data<float>().data();
}

std::unique_ptr<StepProgram> make_real_lanes(const StepContext& context) {
  return std::make_unique<LanesStep>(context);
}

}  // namespace tandem
