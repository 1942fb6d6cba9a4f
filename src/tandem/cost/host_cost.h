#pragma once

#include <array>
#include <string>
#include <string_view>

#include "tandem/cost/estimate.h"
#include "tandem/device/device.h"
#include "tandem/graph/module.h"
#include "tandem/plan/plan.h"

namespace tandem {

// What the time of a step of a host plan is made of.
enum class HostFeature {
  kCalls,
  kMultiplyAccumulates,
  kTranscendentals,
  kOperations,
  kBytes,     // of the values and constants that the step reads and writes
  kColdBytes  // those of them that come from behind the caches of one core
};
inline constexpr std::size_t kHostFeatures = 6;
std::string_view name(HostFeature feature);  // "calls", "multiply_accumulates", ...

// A step as far as its time goes: which costs are its own, and how much of each feature it has.
// The operations of a movement are its pieces: elements that follow each other in memory before and
// after. Which bytes are cold is not a matter of the step alone: there are none.
struct HostStep {
  std::string form;  // of the step; convolutions and products by their kind; empty: takes no time
  std::array<double, kHostFeatures> amounts{};
  double outer_bytes = 0;  // among its bytes: of constants, inputs and outputs

  double& operator[](HostFeature feature) { return amounts[static_cast<std::size_t>(feature)]; }
  double operator[](HostFeature feature) const {
    return amounts[static_cast<std::size_t>(feature)];
  }
};
HostStep host_step(const Module& module, const Plan& plan, const Step& step);

// The estimate of a plan of plan_host() on a device of kind "host_cpu": the features of every step
// times what each costs there, as `tandem measure` fitted them. Where the constants do not
// all fit into the caches that each core has to itself, they, the inputs and outputs are cold in
// every run.
//   core_seconds      one run on one core
//   latency_seconds   one run on all cores
//   multiply_accumulates, weights_bytes, arena_bytes, arena_bound_bytes, io_bytes
//   bound_seconds     the least that all cores need for the products at their highest rate of the
//                     operands' format
// Throws Error when the device's costs lack a form.
Estimate estimate_host(const Module& module, const Plan& plan, const Device& device);

}  // namespace tandem
