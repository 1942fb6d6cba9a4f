#pragma once

#include <map>
#include <string>
#include <string_view>

#include "tandem/device/device.h"
#include "tandem/plan/plan.h"

namespace tandem {

// What a plan is chosen for.
enum class McuObjective { kLatency, kFlash, kSram };

struct McuPlanOptions {
  McuObjective objective = McuObjective::kLatency;
  // Forms (see plan/kernel.h) that the user insists on, by the name of the group's first node.
  // Error when a name matches no group or a form does not apply.
  std::map<std::string, std::string> forms = {};
  IoPlace io = IoPlace::kArena;
};

// The plan of "main" (symbols bound) on a device of kind "mcu": for each group of nodes the form
// that the cost model finds best. Throws Error listing every node that cannot be run.
Plan plan_mcu(const Module& module, const Device& device, const McuPlanOptions& options = {});

}  // namespace tandem
