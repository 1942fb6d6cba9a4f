#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tandem/device/device.h"
#include "tandem/mapping/form_choice.h"
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
  // Patches in which the first layers are run (plan/patches.h); 1: none, unset: none but where
  // `sram_bytes` asks for them.
  std::optional<std::int64_t> patches = {};
  // The most SRAM that a plan should need. Where the best forms need more, of all stages of patches
  // (and none), with leaner forms where most is needed, the plan that fits with fewest cycles; or
  // else the one that needs least.
  std::optional<std::int64_t> sram_bytes = {};
};

// Plans "main" of one module (symbols bound) on a device of kind "mcu". Several plans take little
// more time than one.
class McuPlanner {
 public:
  // Both must outlive the planner. Throws Error listing every node that cannot be run.
  McuPlanner(const Module& module, const Device& device);

  // The plan with, for each group of nodes, the form that the cost model finds best. It may need
  // more than `sram_bytes` where nothing fits: see sram_bytes() in plan/plan.h.
  Plan plan(const McuPlanOptions& options = {});

 private:
  const Module& module_;
  const Device& device_;
  FormChoice choice_;
};

// McuPlanner::plan() for one plan.
Plan plan_mcu(const Module& module, const Device& device, const McuPlanOptions& options = {});

}  // namespace tandem
