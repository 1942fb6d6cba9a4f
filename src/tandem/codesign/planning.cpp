#include "tandem/codesign/planning.h"

#include <algorithm>
#include <array>

#include "tandem/base/error.h"
#include "tandem/cost/mcu_cost.h"
#include "tandem/emit/c_target.h"
#include "tandem/emit/verilog.h"
#include "tandem/mapping/mcu_planner.h"
#include "tandem/mapping/patch_search.h"
#include "tandem/plan/patches.h"
#include "tandem/runtime/cpu_target.h"

namespace tandem {
namespace {

Limit own_limit(const Device& device, const std::string& what, const std::string& measure,
                double bound) {
  return {concat(what, " of ", device.name), measure, false, bound};
}

DeviceTraits mcu_traits(const Device& device) {
  DeviceTraits traits;
  // Codes of other widths take as many bytes and instructions.
  traits.widths = {4, 2};
  traits.cost_measures = {"flash_bytes", "latency_seconds"};
  for (const std::string what : {"flash", "sram"}) {
    traits.limits.push_back(
        own_limit(device, what, what + "_bytes", static_cast<double>(device.memory(what).bytes)));
  }
  traits.host_execution = "c";
  traits.machine_execution = "qemu";
  traits.target = "c";
  return traits;
}

DeviceTraits dataflow_traits(const Device& device) {
  DeviceTraits traits;
  traits.widths = {6, 5, 4, 3, 2};
  traits.cost_measures = {"luts"};
  constexpr std::array<std::array<const char*, 2>, 4> kResources = {
      {{"luts", "luts"}, {"flip_flops", "flip_flops"}, {"block_rams", "brams"}, {"dsps", "dsps"}}};
  const double share = device.unit().number("usable_share");
  for (const auto& [number, measure] : kResources) {
    traits.limits.push_back(own_limit(device, concat("usable ", number), measure,
                                      share * device.unit().number(number)));
  }
  traits.machine_execution = "circuit";
  traits.target = "circuit";
  return traits;
}

}  // namespace

DeviceTraits device_traits(const Device& device) {
  if (device.kind() == "mcu") return mcu_traits(device);
  if (device.kind() == "dataflow_fpga") return dataflow_traits(device);
  throw Error("networks are not fitted to devices of kind ", device.kind(),
              "; use one of kind mcu or dataflow_fpga");
}

std::unique_ptr<Target> make_target(const Device& device) {
  if (device.kind() == "mcu") return std::make_unique<CTarget>();
  if (device.kind() == "host_cpu") return std::make_unique<CpuTarget>();
  return std::make_unique<CircuitTarget>();
}

DevicePlanner::DevicePlanner(const Device& device, McuRequest request)
    : device_(device), request_(request) {
  device_traits(device);
  // A search plans many variants of a network: fewer intervals, which lie further apart.
  constexpr DataflowMapOptions kSearched{.step = 3, .most = 8};
  if (device.kind() == "dataflow_fpga")
    mapper_ = std::make_unique<DataflowMapper>(device, kSearched);
}

std::vector<PlannedNetwork> DevicePlanner::plans(const Module& lowered) {
  return device_.kind() == "mcu" ? mcu_plans(lowered) : dataflow_plans(lowered);
}

std::vector<PlannedNetwork> DevicePlanner::mcu_plans(const Module& lowered) const {
  constexpr std::array<std::pair<McuObjective, const char*>, 3> kMcuObjectives = {
      {{McuObjective::kLatency, "latency"},
       {McuObjective::kFlash, "flash"},
       {McuObjective::kSram, "sram"}}};
  McuPlanner planner(lowered, device_);
  std::vector<PlannedNetwork> plans;
  std::vector<std::string> seen;
  const auto add = [&](const McuPlanOptions& options, const char* name) {
    PlannedNetwork planned;
    planned.plan = planner.plan(options);
    std::string text = print_plan(lowered, planned.plan);
    if (std::find(seen.begin(), seen.end(), text) != seen.end()) return;
    seen.push_back(std::move(text));
    planned.estimate = estimate_mcu(lowered, planned.plan, device_);
    planned.choices["forms_for"] = name;
    planned.choices["io"] = std::string(tandem::name(request_.io));
    if (const std::int64_t patches = patch_count(planned.plan); patches > 1)
      planned.choices["patches"] = concat(patches);
    plans.push_back(std::move(planned));
  };
  for (const auto& [objective, name] : kMcuObjectives)
    add({.objective = objective, .io = request_.io, .patches = request_.patches}, name);
  const std::int64_t most = request_.sram_bytes.value_or(device_.memory("sram").bytes);
  if (sram_bytes(plans.front().plan) > most)
    add({.io = request_.io, .patches = request_.patches, .sram_bytes = most},
        "latency within SRAM");
  return plans;
}

std::vector<PlannedNetwork> DevicePlanner::dataflow_plans(const Module& lowered) {
  if (intervals_.empty()) intervals_ = mapper_->intervals(lowered);
  std::vector<PlannedNetwork> plans;
  for (const bool dsp : {false, true}) {
    for (const std::int64_t interval : intervals_) {
      MappedDataflow mapped = mapper_->map(lowered, interval, dsp);
      PlannedNetwork planned;
      planned.plan = std::move(mapped.plan);
      planned.estimate = std::move(mapped.estimate);
      planned.choices["interval_cycles"] = concat(interval);
      planned.choices["products"] = dsp ? "dsp" : "logic";
      plans.push_back(std::move(planned));
    }
  }
  return plans;
}

std::vector<PlannedNetwork> plan_candidates(const Module& lowered, const Device& device,
                                            McuRequest request) {
  return DevicePlanner(device, request).plans(lowered);
}

}  // namespace tandem
