#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tandem/cost/mcu_cost.h"
#include "tandem/plan/mcu_plan.h"

namespace tandem {

// What stages of patches are compared for.
struct PatchRequest {
  const Module& module;
  const Device& device;
  const McuGroups& groups;
  // By group; and where it reads what its stage reads, over which nothing can be written.
  const std::vector<std::string>&forms, &reading_forms;
  IoPlace io = IoPlace::kArena;
};

// The forms of a plan with such a stage.
std::vector<std::string> forms_with(const PatchRequest& request, const PatchStage& stage);

// The stage (plan/patches.h) whose plan needs no more than `sram_bytes` with the fewest cycles; the
// one that needs least where none does, or no stage where patches save nothing. With `patches`,
// only stages of so many patches; Error where there is none. Candidates are ranked by a bound of
// their bytes and by the rows that they compute twice; the plans of the first ones decide.
PatchStage best_stage(const PatchRequest& request, std::int64_t sram_bytes,
                      std::optional<std::int64_t> patches = {});

}  // namespace tandem
