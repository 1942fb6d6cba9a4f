#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tandem/plan/loop_program.h"

namespace tandem::test {

// Runs a program on arrays that lie in one memory: array i starts at byte `offsets[i]` (constants
// have their own; their offsets are ignored). Copies and single accesses happen in the order of the
// program. Throws InternalError on an access outside an array.
void interpret(const LoopProgram& program, const std::vector<std::size_t>& offsets,
               std::vector<std::uint8_t>& memory, const std::vector<std::int64_t>& arguments = {});

}  // namespace tandem::test
