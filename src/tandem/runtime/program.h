#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/plan/plan.h"
#include "tandem/runtime/step_program.h"

namespace tandem {

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
  // go on from the workspace's last run.
  void run(std::span<const std::byte* const> inputs, std::span<std::byte* const> outputs,
           Workspace& workspace) const;

  // After a run with a plan that keeps all values: the tensor of a value that a step wrote.
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
  void add_step(const Step& step);
  void add_movement(const struct StepContext& context);

  const Module& module_;
  Plan plan_;
  std::vector<Layout> layouts_;  // by value
  std::vector<BufferPlace> places_;
  std::vector<std::pair<ValueId, std::size_t>> values_;  // and the buffers in which they lie
  std::vector<std::unique_ptr<StepProgram>> steps_;
  std::vector<Copy> copies_;          // at the end of a run
  std::vector<std::size_t> updated_;  // states that it changes
};

}  // namespace tandem
