#pragma once

#include "tandem/cost/estimate.h"
#include "tandem/cost/loop_features.h"
#include "tandem/device/device.h"
#include "tandem/graph/module.h"
#include "tandem/plan/loop_program.h"
#include "tandem/plan/mcu_plan.h"
#include "tandem/plan/plan.h"

namespace tandem {

// What a loop program takes on a core: the features of its code (loop_features.h) times what each
// costs there, as fitted for the core (devices/costs/).
struct LoopCost {
  double instructions = 0;  // executed in one run
  double cycles = 0;        // of the core, with its wait for flash
  double code_bytes = 0;
};

// The features of one step of a plan: those of its program; of code that another step shares only
// what its call takes.
LoopFeatures step_features(const StepFunctions& functions, std::size_t step);

// The costs of one unit of kind "mcu". Throws Error when the device's costs lack a feature.
class McuCosts {
 public:
  explicit McuCosts(const Device& device);
  LoopCost of(const LoopProgram& program) const;
  LoopCost of(const LoopFeatures& features) const;

  // Expected relative error of executed instructions, cycles and code bytes.
  const LoopCost& relative_error() const { return error_; }

 private:
  std::array<LoopCost, kLoopFeatures> per_feature_{};
  LoopCost error_;
  double wait_cycles_ = 0;  // for each instruction
};

// The estimate of a plan of assemble_mcu_plan(). The bytes of weights, tables, arena and I/O are
// those of the code that is emitted; instructions, cycles, seconds and code bytes are modelled.
// "flash_bytes" is constants and code, "sram_bytes" the arena and "io_bytes", inputs and outputs
// that lie outside of it (the stack is the firmware's). No layout of the arena for these steps is
// below "arena_bound_bytes".
Estimate estimate_mcu(const Module& module, const Plan& plan, const Device& device);

}  // namespace tandem
