#include "tandem/codesign/plan_model.h"

#include <nlohmann/json.hpp>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/codesign/trial.h"
#include "tandem/cost/host_cost.h"
#include "tandem/runtime/host_network.h"
#include "tandem/runtime/host_plan.h"
#include "tandem/transform/data_sizes.h"
#include "tandem/verify/float_execution.h"

namespace tandem {
namespace {

// One sample of the network as it is.
PlannedModel plan_on_host(const PlanRequest& request, Device device) {
  if (parse_objective(request.objective) != Objective::kLatency)
    throw Error("--minimise ", request.objective, ": plans for ", device.name,
                " are made for latency alone");
  if (!request.codings.empty() || !request.data.source.empty())
    throw Error("a network runs on ", device.name,
                " as it is; leave out --data and --input-coding");
  request.mcu.request(device);  // refuses what it has
  const std::string batch = batch_symbol(request.network);
  HostNetwork network = prepare_for_host(with_greatest_sizes(
      batch.empty() ? request.network : specialize(request.network, {{batch, 1}})));
  PlannedModel result;
  result.planned.plan = plan_host(network.module, {.layouts = network.layouts});
  result.planned.estimate = estimate_host(network.module, result.planned.plan, device);
  result.device = std::move(device);
  result.lowered = std::move(network.module);
  return result;
}

}  // namespace

McuRequest McuOptions::request(const Device& device) const {
  if (!text().empty() && device.kind() != "mcu")
    throw Error(text().substr(1), ": ", device.name,
                " runs no C; leave it out or take a device of kind mcu");
  if (patches && *patches < 1) throw Error("--patches ", *patches, ": there is at least one patch");
  return {.io = io.empty() ? IoPlace::kArena : parse_io_place(io), .patches = patches};
}

std::string McuOptions::text() const {
  return concat(io.empty() ? "" : concat(" --io ", io),
                patches ? concat(" --patches ", *patches) : "");
}

PlannedModel plan_model(const PlanRequest& request, OnTrial trial) {
  const Objective objective = parse_objective(request.objective);
  PlannedModel result;
  result.device = find_device(request.device);
  if (result.device.kind() == "host_cpu") return plan_on_host(request, std::move(result.device));
  DataOptions data = request.data;
  check_data_options(data);
  const bool has_data = !data.source.empty();
  if (has_data) data.limit = 1;
  if (trial == OnTrial::kAssume && !has_data) {
    TrialLowering lowering = lower_on_trial(request.network, request.codings);
    result.lowered = std::move(lowering.lowered);
    result.notes = std::move(lowering.notes);
  } else {
    result.lowered = *prepare_network(request.network, data, request.codings, true).lowered;
  }
  const std::vector<Limit> limits = device_traits(result.device).limits;
  const std::string measure(measure_of(objective));
  const McuRequest mcu = request.mcu.request(result.device);
  bool first = true;
  double best_excess = 0, best = 0;
  for (PlannedNetwork& candidate : plan_candidates(result.lowered, result.device, mcu)) {
    const Measures measures = measures_of(candidate.estimate);
    check_measures(objective, limits, measures, result.device.name);
    const double excess = worst_excess(limits, measures), value = measures.at(measure);
    if (!first && (excess > best_excess || (excess == best_excess && value >= best))) continue;
    first = false;
    best_excess = excess;
    best = value;
    result.planned = std::move(candidate);
  }
  ensure(!first, "a network without a plan");
  result.fits = best_excess == 0;
  const Measures measures = measures_of(result.planned.estimate);
  std::vector<std::string> missing;
  for (const Limit& limit : limits)
    if (const std::string text = limit.missing(measures.at(limit.measure)); !text.empty())
      missing.push_back(concat(limit.option, ": ", text));
  if (!result.fits)
    result.misfit = concat("It does not fit into the device", missing.empty() ? "" : ": ",
                           join(missing, "; "), ".\n");
  return result;
}

std::string to_json(const PlannedModel& planned, const std::string& model) {
  auto json = nlohmann::ordered_json::parse(to_json(planned.planned.estimate));
  json["model"] = model;
  json["plan"] = planned.planned.choices;
  json["fits"] = planned.fits;
  json["notes"] = planned.notes;
  return json.dump();
}

}  // namespace tandem
