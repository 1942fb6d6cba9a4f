#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tandem/codesign/search.h"
#include "tandem/device/device.h"
#include "tandem/mapping/dataflow_mapper.h"
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
// Throws Error where networks cannot be fitted to this kind of device.
DeviceTraits device_traits(const Device& device);

// What turns plans for the device into sources.
std::unique_ptr<Target> make_target(const Device& device);

// What plans for a mcu are asked for.
struct McuRequest {
  IoPlace io = IoPlace::kArena;
  std::optional<std::int64_t> patches = {};     // McuPlanOptions
  std::optional<std::int64_t> sram_bytes = {};  // the most they should need; the device's if unset
};

// Plans lowered networks for one device.
class DevicePlanner {
 public:
  // The device must outlive the planner.
  explicit DevicePlanner(const Device& device, McuRequest request = {});

  // The plans that are worth comparing, the plainest first, with their estimates:
  //   mcu             for each of latency, flash and SRAM the forms that are best for it
  //                   (plans that are equal are listed once); where the fastest needs more SRAM
  //                   than it should, the plan that McuPlanOptions::sram_bytes gives
  //   dataflow_fpga   the foldings of least cost for falling intervals (mapping/dataflow_mapper.h),
  //                   first without, then with DSP blocks where they pay. The intervals are those
  //                   of the first network, so that its recoded variants have plans alike; some may
  //                   exceed the device
  // Throws Error listing every node that the device cannot run.
  std::vector<PlannedNetwork> plans(const Module& lowered);

 private:
  std::vector<PlannedNetwork> mcu_plans(const Module& lowered) const;
  std::vector<PlannedNetwork> dataflow_plans(const Module& lowered);

  const Device& device_;
  McuRequest request_;
  std::unique_ptr<DataflowMapper> mapper_;  // of a dataflow_fpga
  std::vector<std::int64_t> intervals_;
};

// DevicePlanner::plans() for one network.
std::vector<PlannedNetwork> plan_candidates(const Module& lowered, const Device& device,
                                            McuRequest request = {});

}  // namespace tandem
