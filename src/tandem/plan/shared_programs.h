#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tandem/plan/loop_program.h"

namespace tandem {

// A step as the call of a function that does what its program does.
struct StepCall {
  std::size_t function = 0;
  std::vector<std::int64_t> arguments;  // of the function's parameters
};

struct SharedPrograms {
  std::vector<std::vector<std::size_t>> users;  // by function: its steps, in order
  // By function: the arrays that are handed over. The others are constants that are the same in all
  // its steps.
  std::vector<std::vector<std::size_t>> passed;
  std::vector<StepCall> calls;  // by step
};

// Finds programs that differ in nothing but numbers outside of their innermost loops, such as
// numbers of rows and columns, and in the content of their arrays. In each of them such numbers
// become parameters (LoopProgram::parameters), so that they are the same function. Where programs
// of few statements or many parameters differ, their calls would take what the function saves: of
// those only the ones with the same numbers and constants are one function, such as patches of one
// layer. `buffers`: by program and array, where it lies; constants at one place are the same.
SharedPrograms share_programs(std::vector<LoopProgram>& programs,
                              const std::vector<std::vector<std::size_t>>& buffers);

}  // namespace tandem
