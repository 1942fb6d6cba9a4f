#pragma once

#include <string>

#include "tandem/cli/network_options.h"
#include "tandem/codesign/plan_model.h"

namespace tandem {

// --io and --patches of plans for microcontrollers.
void add_options(OptionTable& options, McuOptions& mcu);

// MODEL, --device and what says how the input arrives: what show --plan, estimate and compile
// share.
struct PlanFlags {
  ModelOptions model;
  CodingFlags codings;
  McuOptions mcu;
  std::string device, objective = "latency", data, preprocess;

  void add_to(OptionTable& options, bool device_required);
  // Reads the model.
  PlanRequest request() const;
};

}  // namespace tandem
