#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tandem/codesign/search.h"
#include "tandem/device/device.h"
#include "tandem/plan/target.h"

namespace tandem {

// What a search needs to know about a kind of device.
struct DeviceTraits {
  // Widths below 8 bits that change what a network costs.
  std::vector<int> widths;
  // Measures that narrower codes improve.
  std::vector<std::string> cost_measures;
  // What a network must fit into: the device's own limits.
  std::vector<Limit> limits;
  // Executions that prove what is emitted (verify/execution.h): on this host, which is fast, and on
  // a simulated machine, which is slow. Either may be empty.
  std::string host_execution, machine_execution;
  std::string target;  // "c", "circuit"
};
// Throws Error where networks cannot be fitted to this kind of device yet.
DeviceTraits device_traits(const Device& device);

// What turns plans for the device into sources.
std::unique_ptr<Target> make_target(const Device& device);

// The plans that are worth comparing for a lowered network, the plainest first. Throws Error
// listing every node that the device cannot run.
std::vector<PlannedNetwork> plan_candidates(const Module& lowered, const Device& device);

}  // namespace tandem
