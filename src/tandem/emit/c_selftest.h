#pragma once

#include <string>

#include "tandem/plan/plan.h"
#include "tandem/plan/target.h"

namespace tandem {

// <name>_selftest.h and .c: int <name>_selftest(void), which runs the network on made-up inputs (of
// one with states a stream, from a reset to a reset) and returns 0, or which run, from 1 on,
// differs from the reference, which runs them here. Flash stays small: inputs come from a
// generator, and of the outputs of each run a sum of 32 bits is stored, which no single wrong value
// leaves as it is.
Artifacts c_selftest(const Module& module, IoPlace io, const std::string& name);

}  // namespace tandem
