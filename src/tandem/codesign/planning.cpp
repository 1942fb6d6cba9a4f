#include "tandem/codesign/planning.h"

#include <algorithm>
#include <array>
#include <optional>

#include "tandem/base/error.h"
#include "tandem/cost/dataflow_cost.h"
#include "tandem/cost/dataflow_simulation.h"
#include "tandem/cost/mcu_cost.h"
#include "tandem/emit/c_target.h"
#include "tandem/emit/verilog.h"
#include "tandem/mapping/dataflow_buffers.h"
#include "tandem/mapping/dataflow_folding.h"
#include "tandem/mapping/mcu_planner.h"

namespace tandem {
namespace {

// Weights of so many bits lie in block RAM: less would waste most of one.
constexpr std::int64_t kBlockBits = 8192;

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
  return std::make_unique<CircuitTarget>();
}

DevicePlanner::DevicePlanner(const Device& device) : device_(device) { device_traits(device); }

std::vector<PlannedNetwork> DevicePlanner::plans(const Module& lowered) {
  return device_.kind() == "mcu" ? mcu_plans(lowered) : dataflow_plans(lowered);
}

std::vector<PlannedNetwork> DevicePlanner::mcu_plans(const Module& lowered) const {
  constexpr std::array<std::pair<McuObjective, const char*>, 3> kObjectives = {
      {{McuObjective::kLatency, "latency"},
       {McuObjective::kFlash, "flash"},
       {McuObjective::kSram, "sram"}}};
  std::vector<PlannedNetwork> plans;
  std::vector<std::string> seen;
  for (const auto& [objective, name] : kObjectives) {
    PlannedNetwork planned;
    planned.plan = plan_mcu(lowered, device_, {.objective = objective, .forms = {}});
    std::string text = print_plan(lowered, planned.plan);
    if (std::find(seen.begin(), seen.end(), text) != seen.end()) continue;
    seen.push_back(std::move(text));
    planned.estimate = estimate_mcu(lowered, planned.plan, device_);
    planned.choices["forms_for"] = name;
    plans.push_back(std::move(planned));
  }
  return plans;
}

namespace {

bool is_capacity(const std::string& key) {
  return key.starts_with("fifo_") || key.starts_with("store_") || key.starts_with("block_");
}

// Steps are told apart by their first node, ports by their number.
std::string step_key(const Module& module, const Step& step) {
  if (!step.nodes.empty()) return module.main().nodes[step.nodes.front()].name;
  const auto port = step.tile.find("port");
  return concat(step.form, port == step.tile.end() ? 0 : port->second);
}

using Capacities = std::map<std::string, std::map<std::string, std::int64_t>>;

Capacities capacities_of(const Module& module, const Plan& plan) {
  Capacities capacities;
  for (const Step& step : plan.steps)
    for (const auto& [key, value] : step.tile)
      if (is_capacity(key)) capacities[step_key(module, step)][key] = value;
  return capacities;
}

// Puts known capacities where the plan has such buffers; false where it has others too.
bool take_capacities(const Module& module, Plan& plan, const Capacities& capacities) {
  for (Step& step : plan.steps) {
    const auto known = capacities.find(step_key(module, step));
    for (auto& [key, value] : step.tile) {
      if (!is_capacity(key)) continue;
      if (known == capacities.end() || !known->second.contains(key)) return false;
      value = std::max(value, known->second.at(key));
    }
  }
  return true;
}

// Cycles per frame; nullopt where the pipeline locks up or does not settle.
std::optional<double> interval_of(const Module& module, const Plan& plan) {
  const SimulationResult result = simulate(build_pipeline(module, plan));
  if (!result.deadlock.empty() || !result.periodic) return std::nullopt;
  return result.interval;
}

}  // namespace

void DevicePlanner::set_buffers(const Module& lowered, Plan& plan, const std::string& key) {
  const auto known = sized_.find(key);
  if (known != sized_.end()) {
    Plan tried = plan;
    if (take_capacities(lowered, tried, known->second.capacities)) {
      const auto interval = interval_of(lowered, tried);
      if (interval && *interval <= known->second.interval) {
        plan = std::move(tried);
        return;
      }
    }
  }
  size_buffers(lowered, plan);
  if (known != sized_.end()) return;
  const auto interval = interval_of(lowered, plan);
  ensure(interval.has_value(), "a pipeline locks up with the buffers that it was given");
  sized_[key] = {capacities_of(lowered, plan), *interval};
}

std::vector<PlannedNetwork> DevicePlanner::dataflow_plans(const Module& lowered) {
  std::vector<PlannedNetwork> plans;
  for (const bool dsp : {false, true}) {
    const auto ladder = balanced_foldings(lowered, {.dsp = dsp, .block_bits = kBlockBits});
    for (std::size_t i = 0; i < ladder.size(); ++i) {
      PlannedNetwork planned;
      planned.plan = plan_dataflow(lowered, device_.name, ladder[i]);
      set_buffers(lowered, planned.plan, concat(i, dsp ? " dsp" : ""));
      planned.estimate = estimate_dataflow(lowered, planned.plan, device_);
      planned.choices["folding"] = concat(i);
      planned.choices["products"] = dsp ? "dsp" : "logic";
      plans.push_back(std::move(planned));
    }
  }
  return plans;
}

std::vector<PlannedNetwork> plan_candidates(const Module& lowered, const Device& device) {
  return DevicePlanner(device).plans(lowered);
}

}  // namespace tandem
