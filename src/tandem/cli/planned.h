#pragma once

#include <string>

#include "tandem/cli/network_options.h"
#include "tandem/codesign/planning.h"

namespace tandem {

// --io and --patches of plans for microcontrollers.
struct McuFlags {
  std::string io;
  std::optional<std::int64_t> patches;

  void add_to(OptionTable& options);
  // Throws Error where one is given for a device that runs no C, or makes no sense.
  McuRequest request(const Device& device) const;
  std::string text() const;  // as they were given: " --io caller --patches 4"
};

// MODEL, --device and what says how the input arrives: what show --plan, estimate and compile
// share.
struct PlannedFlags {
  ModelOptions model;
  CodingFlags codings;
  McuFlags mcu;
  std::string device, objective = "latency", data, preprocess;

  void add_to(OptionTable& options, bool device_required);
};

// A lowered network with the plan that is taken for it.
struct PlannedModel {
  Device device;
  Module lowered;
  PlannedNetwork planned;
  bool fits = true;                // within the device's own memories
  std::string misfit;              // a line that names what is missing, where it does not
  std::vector<std::string> notes;  // what was assumed
};

// What happens to a network that is real, or that nobody said the coding of an input for.
enum class OnTrial { kRefuse, kAssume };

// Lowers the network for one sample (by lower_on_trial() where `trial` allows it) and takes, among
// the candidates that fit the device, the one of least objective; where none fits, the one nearest
// to it. Throws Error with every node that cannot be lowered or that the device cannot run.
PlannedModel plan_model(const PlannedFlags& flags, OnTrial trial);

}  // namespace tandem
