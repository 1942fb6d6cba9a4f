#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/kernels/dense.h"
#include "tandem/plan/plan.h"
#include "tandem/runtime/step_program.h"

namespace tandem {

// When a step ran, in seconds from the start of the run; both 0 for one that has nothing to do.
struct StepSpan {
  double begin = 0, end = 0;
};

// A host plan made ready to run: weights packed, constants laid out along the lanes. It computes
// exactly what evaluate() computes. Immutable, so threads may share it.
class Program {
 public:
  // `plan` comes from plan_host() for this module; the module must outlive the program.
  Program(const Module& module, Plan plan);

  // The memory of one thread, or of one stream: a new one holds the initial states.
  struct Workspace {
    std::vector<std::byte> arena;
    std::vector<std::vector<std::byte>> states, next_states;  // by state
    Places buffers, values;                                   // by buffer of the plan, by ValueId
    Scratch scratch;
  };
  Workspace workspace() const;

  // Runs one sample: the stored elements of each input and output of "main", row-major. The states
  // go on from the workspace's last run. `spans` receives when each step of the plan ran.
  void run(std::span<const std::byte* const> inputs, std::span<std::byte* const> outputs,
           Workspace& workspace, std::vector<StepSpan>* spans = nullptr) const;
  // Lets the next run start at the initial states.
  void restart(Workspace& workspace) const;

  // After a run with a plan that keeps all values: the tensor of a value that a step wrote, in
  // row-major order however it lies.
  Tensor read(ValueId value, const Workspace& workspace) const;

  const Plan& plan() const { return plan_; }

 private:
  struct BufferPlace {
    BufferRole role;
    std::int64_t position;  // which input, output or state, or the offset in the arena
  };
  struct Copy {
    std::size_t from, to, bytes;
    const Tensor* constant;  // instead of `from`
  };
  std::int64_t position_of(const Buffer& buffer) const;
  std::vector<StepSpan> run_timed(Workspace& workspace) const;

  const Module& module_;
  Plan plan_;
  std::vector<Layout> layouts_;  // by value
  std::vector<BufferPlace> places_;
  std::vector<std::pair<ValueId, std::size_t>> values_;  // and the buffers in which they lie
  PackedConstants packed_;                               // what the steps read
  // The steps that compute, and which of the plan they are.
  std::vector<std::pair<std::unique_ptr<StepProgram>, std::size_t>> steps_;
  std::vector<Copy> copies_;          // at the end of a run
  std::vector<std::size_t> updated_;  // states that it changes
};

}  // namespace tandem
