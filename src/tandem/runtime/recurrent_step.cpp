#include <array>

#include "tandem/kernels/recurrent.h"
#include "tandem/runtime/real_nodes.h"
#include "tandem/runtime/real_steps.h"

namespace tandem {
namespace {

RecurrentShape shape_of(const NodeView& node) {
  const Shape x = node.input(0).static_shape(), r = node.input(2).static_shape();
  const bool is_lstm = node.node.op->name() == "LSTM";
  RecurrentShape shape;
  shape.cell = is_lstm ? RecurrentShape::Cell::kLstm : RecurrentShape::Cell::kGru;
  shape.steps = x[0];
  shape.batch = x[1];
  shape.inputs = x[2];
  shape.units = r[2];
  shape.directions = r[0];
  shape.runs_backward = node.string("direction") == "reverse";
  shape.resets_after = !is_lstm && node.integer("linear_before_reset") != 0;
  return shape;
}

class RecurrentStep final : public StepProgram {
 public:
  explicit RecurrentStep(const StepContext& context)
      : node_(context.node().node),
        layer_(shape_of(context.node()), context.constant(node_.inputs[1]),
               context.constant(node_.inputs[2]), optional_constant(context, 3), context.packed) {
    for (std::size_t i = 0; i < first_.size(); ++i) first_[i] = optional_constant(context, 5 + i);
  }

  void run(const Places& places, Scratch& scratch) const override {
    const auto read = [&](ValueId value) {
      return reinterpret_cast<const float*>(places.read[value]);
    };
    const auto write = [&](std::size_t output) {
      return output < node_.outputs.size()
                 ? reinterpret_cast<float*>(places.write[node_.outputs[output]])
                 : nullptr;
    };
    const auto first = [&](std::size_t state) {
      const std::size_t input = 5 + state;
      const bool given = input < node_.inputs.size() && node_.inputs[input] != kNone;
      return first_[state] != nullptr || !given ? first_[state] : read(node_.inputs[input]);
    };
    auto& arguments = scratch.object<std::shared_ptr<DenseArguments>>(this);
    if (!arguments) arguments = std::make_shared<DenseArguments>();
    layer_.run({read(node_.inputs[0]), first(0), first(1), write(0), write(1), write(2)},
               scratch.take<float>(kSumsSlot, layer_.memory_floats()), *arguments);
  }

 private:
  const float* optional_constant(const StepContext& context, std::size_t input) const {
    const bool given = input < node_.inputs.size() && node_.inputs[input] != kNone;
    return given ? context.constant(node_.inputs[input]) : nullptr;
  }

  const Node& node_;
  RecurrentLayer layer_;
  std::array<const float*, 2> first_{};  // constant first states
};

}  // namespace

std::unique_ptr<StepProgram> make_recurrent(const StepContext& context) {
  return std::make_unique<RecurrentStep>(context);
}

}  // namespace tandem
