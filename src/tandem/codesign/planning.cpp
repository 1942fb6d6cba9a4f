#include "tandem/codesign/planning.h"

#include "tandem/base/error.h"
#include "tandem/emit/c_target.h"
#include "tandem/graph/operator.h"
#include "tandem/mapping/mcu_planner.h"

namespace tandem {
DeviceTraits device_traits(const Device& device) {
  DeviceTraits t;
  t.widths = {4, 2};
  t.cost_measures = {"flash_bytes", "latency_seconds"};
  t.limits = {{"flash of " + device.name, "flash_bytes", false,
               static_cast<double>(device.memory("flash").bytes)}};
  t.host_execution = "c";
  t.machine_execution = "qemu";
  t.target = "c";
  return t;
}
std::unique_ptr<Target> make_target(const Device&) { return std::make_unique<CTarget>(); }
std::vector<PlannedNetwork> plan_candidates(const Module& lowered, const Device& device) {
  std::vector<PlannedNetwork> r;
  for (auto o : {McuObjective::kLatency, McuObjective::kFlash, McuObjective::kSram}) {
    PlannedNetwork p;
    p.plan = plan_mcu(lowered, device, {o, {}});
    double macs = 0;
    for (const Node& n : lowered.main().nodes)
      macs += static_cast<double>(
          n.op->work({lowered, lowered.main(), n}).total(OperationKind::kMultiplyAccumulate));
    p.estimate.device = device.name;
    p.estimate.total["flash_bytes"].value = static_cast<double>(p.plan.peak_bytes.at("flash"));
    p.estimate.total["sram_bytes"].value = static_cast<double>(p.plan.peak_bytes.at("sram"));
    p.estimate.total["latency_seconds"].value = macs / device.clock.hertz;
    p.choices["objective"] = std::to_string(static_cast<int>(o));
    r.push_back(p);
  }
  return r;
}
}  // namespace tandem
