#pragma once

#include <string>

#include "tandem/cli/network_options.h"
#include "tandem/codesign/planning.h"

namespace tandem {

// MODEL, --device and what says how the input arrives: what show --plan, estimate and compile
// share.
struct PlannedFlags {
  ModelOptions model;
  CodingFlags codings;
  std::string device, objective = "latency", data, preprocess, io;

  void add_to(OptionTable& options, bool device_required);
};

// --io of plans for microcontrollers; empty when it is not given.
void add_io_option(OptionTable& options, std::string& io);
// Throws Error where the device runs no C.
IoPlace io_place(const std::string& io, const Device& device);

// A lowered network with the plan that is taken for it.
struct PlannedModel {
  Device device;
  Module lowered;
  PlannedNetwork planned;
  bool fits = true;                // within the device's own memories
  std::vector<std::string> notes;  // what was assumed
};

// What happens to a network that is real, or that nobody said the coding of an input for.
enum class OnTrial { kRefuse, kAssume };

// Lowers the network for one sample (by lower_on_trial() where `trial` allows it) and takes, among
// the candidates that fit the device, the one of least objective; where none fits, the one nearest
// to it. Throws Error with every node that cannot be lowered or that the device cannot run.
PlannedModel plan_model(const PlannedFlags& flags, OnTrial trial);

}  // namespace tandem
