#pragma once

#include <string>

#include "tandem/plan/plan.h"
#include "tandem/plan/target.h"

namespace tandem {

// What a user needs to build the emitted network alone: its self-test (c_selftest.h), main.c, which
// runs that and then the network once, a Makefile and a CMakeLists.txt.
Artifacts c_project(const Module& module, IoPlace io, const std::string& name, bool has_constants);

}  // namespace tandem
