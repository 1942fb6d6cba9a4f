#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tandem/cost/mcu_cost.h"
#include "tandem/plan/mcu_plan.h"

namespace tandem {

// A stage of patches, before its plan is made.
struct PatchCandidate {
  PatchStage stage;
  std::int64_t bytes = 0;   // of SRAM, at least, in any step
  std::int64_t inner = 0;   // in the steps of the stage
  double extra_cycles = 0;  // of rows that are computed twice, or copied to be kept; about
};

// The stages (plan/patches.h) of a network that no other one betters in both bytes and cycles, by
// rising cycles and falling bytes; without scratch arrays, which come on top. `forms` of the groups
// say what their rows cost. With `patches`, only stages of so many patches.
std::vector<PatchCandidate> patch_candidates(const Module& module, const Device& device,
                                             const McuGroups& groups,
                                             const std::vector<std::string>& forms, IoPlace io,
                                             std::optional<std::int64_t> patches = {});

}  // namespace tandem
