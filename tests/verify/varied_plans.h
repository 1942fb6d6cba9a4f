#pragma once

#include <span>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/plan/plan.h"

namespace tandem {

// Plans for the default microcontroller in which module i takes the i-th form of every group (in
// turn), so that tests meet all kernel forms whatever the cost model prefers.
std::vector<Plan> varied_plans(std::span<const Module> modules);

}  // namespace tandem
