#pragma once

#include <string>

#include "tandem/plan/plan.h"
#include "tandem/plan/target.h"

namespace tandem {

// What a user needs to build the emitted network alone: main.c, which runs one input (of a network
// with states a short stream, and it again after a reset) and compares the result with what the
// reference computed for it, a Makefile and a CMakeLists.txt.
Artifacts c_project(const Module& module, IoPlace io, const std::string& name, bool has_constants);

}  // namespace tandem
