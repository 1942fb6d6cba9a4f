#pragma once

#include <memory>
#include <vector>

#include "tandem/kernels/dense.h"
#include "tandem/plan/plan.h"
#include "tandem/runtime/step_program.h"

namespace tandem {

// Internal to the room: steps on reals, and on everything that only its definition knows.

struct StepContext {
  const Module& module;
  const Graph& graph;
  const Step& step;
  const std::vector<Layout>& layouts;  // by value
  PackedConstants& packed;

  NodeView node(std::size_t position = 0) const {
    return {module, graph, graph.nodes[step.nodes[position]]};
  }
  Shape shape(ValueId value) const { return graph.values[value].type.static_shape(); }
  // Elements from one position of each axis of `shape` to the next in a value that broadcasts to
  // it.
  std::vector<std::int64_t> strides(ValueId value, const Shape& shape) const;
  // Where a value lies: a constant's own elements, or what the run says.
  const float* constant(ValueId value) const;
};

// What a step of a plan runs, one after the other, by its form.
using StepPrograms = std::vector<std::unique_ptr<StepProgram>>;
StepPrograms make_step_programs(const StepContext& context);

std::unique_ptr<StepProgram> make_dense_convolution(const StepContext& context);
std::unique_ptr<StepProgram> make_dense_product(const StepContext& context);
std::unique_ptr<StepProgram> make_decode_product(const StepContext& context);
std::unique_ptr<StepProgram> make_real_lanes(const StepContext& context);
std::unique_ptr<StepProgram> make_real_pool(const StepContext& context);
std::unique_ptr<StepProgram> make_real_rows(const StepContext& context);  // Softmax, normalization
std::unique_ptr<StepProgram> make_recurrent(const StepContext& context);
std::unique_ptr<StepProgram> make_trees(const StepContext& context);
std::unique_ptr<StepProgram> make_arg_extreme(const StepContext& context);
// Null where the elements that move depend on data.
std::unique_ptr<StepProgram> make_boxes(const StepContext& context, std::size_t output);
// Null for all but a Gather whose positions are int32 or int64.
std::unique_ptr<StepProgram> make_gather(const StepContext& context);
std::unique_ptr<StepProgram> make_definition(const StepContext& context);

}  // namespace tandem
