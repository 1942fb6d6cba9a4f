#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tandem/codesign/planning.h"
#include "tandem/data/dataset.h"
#include "tandem/verify/network.h"

namespace tandem {

// How plans for microcontrollers are asked for, where they are.
struct McuOptions {
  std::string io;  // "arena" (where a run overwrites its inputs) or "caller"; empty: "arena"
  // Run the first layers in so many patches (1: in none); unset: only where SRAM is short.
  std::optional<std::int64_t> patches;

  // Throws Error where one is given for a device that runs no C, or makes no sense.
  McuRequest request(const Device& device) const;
  std::string text() const;  // as they were given: " --io caller --patches 4"
};

// A network, a device, and what says how the input arrives.
struct PlanRequest {
  Module network;      // as read
  std::string device;  // by name, or the path of its file
  std::string objective = "latency";
  McuOptions mcu = {};
  InputCodings codings = {};
  DataOptions data = {};  // without a source: none
};

// A network with the plan that is taken for it.
struct PlannedModel {
  Device device;
  Module lowered;  // on a host_cpu: the network as it runs there, of reals or integers
  PlannedNetwork planned;
  bool fits = true;                // within the device's own memories
  std::string misfit;              // a line that names what is missing, where it does not
  std::vector<std::string> notes;  // what was assumed
};

// What happens to a network that is real, or that nobody said the coding of an input for.
enum class OnTrial { kRefuse, kAssume };

// Lowers the network for one sample (by lower_on_trial() where `trial` allows it) and takes, among
// the candidates that fit the device, the one of least objective; where none fits, the one nearest
// to it. On a device of kind "host_cpu" a network runs as it is, in the one plan there is. Throws
// Error with every node that cannot be lowered or that the device cannot run.
PlannedModel plan_model(const PlanRequest& request, OnTrial trial);

// The estimate of the plan, with how it was made, as JSON text (schema "tandem-estimate/1").
// `model` is the network's file.
std::string to_json(const PlannedModel& planned, const std::string& model);

}  // namespace tandem
