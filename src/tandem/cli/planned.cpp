#include "tandem/cli/planned.h"

#include "tandem/base/error.h"
#include "tandem/cli/trial.h"

namespace tandem {

void PlannedFlags::add_to(OptionTable& options, bool device_required) {
  model.add_to(options);
  const std::string help = "A device by name (tandem list devices) or the path of its file";
  if (device_required) {
    options.required_text("--device", "DEVICE", device, help);
  } else {
    options.text("--device", "DEVICE", device, help);
  }
  options.text("--minimise", "WHAT", objective,
               "What the plan is chosen for: latency, energy, sram, flash or area");
  mcu.add_to(options);
  codings.add_to(options);
  options.text("--data", "SET", data, "A data set that says how the input arrives as codes");
  options.text("--preprocess", "TEXT", preprocess, "How the set's codes become reals");
}

void McuFlags::add_to(OptionTable& options) {
  options.text("--io", "PLACE", io,
               "Where inputs and outputs of C lie: in the arena, where a run overwrites its inputs "
               "(the default), or with the caller, who hands over pointers");
  options.integer("--patches", patches,
                  "Run the first layers of C in so many patches (1: in none); unset, patches are "
                  "taken only where SRAM is short, as they cost instructions");
}

McuRequest McuFlags::request(const Device& device) const {
  if (!text().empty() && device.kind() != "mcu")
    throw Error(text().substr(1), ": ", device.name,
                " runs no C; leave it out or take a device of kind mcu");
  if (patches && *patches < 1) throw Error("--patches ", *patches, ": there is at least one patch");
  return {.io = io.empty() ? IoPlace::kArena : parse_io_place(io), .patches = patches};
}

std::string McuFlags::text() const {
  return concat(io.empty() ? "" : concat(" --io ", io),
                patches ? concat(" --patches ", *patches) : "");
}

PlannedModel plan_model(const PlannedFlags& flags, OnTrial trial) {
  const Objective objective = parse_objective(flags.objective);
  PlannedModel result;
  result.device = find_device(flags.device);
  DataFlags data;
  data.source = flags.data;
  data.preprocess = flags.preprocess;
  if (data.given()) data.limit = 1;
  data.data_options();
  if (trial == OnTrial::kAssume && !data.given()) {
    TrialLowering lowering = lower_on_trial(flags.model.load(), flags.codings.codings());
    result.lowered = std::move(lowering.lowered);
    result.notes = std::move(lowering.notes);
  } else {
    result.lowered = *prepare_network(flags.model.load(), data, flags.codings, true).lowered;
  }
  const std::vector<Limit> limits = device_traits(result.device).limits;
  const std::string measure(measure_of(objective));
  const McuRequest request = flags.mcu.request(result.device);
  bool first = true;
  double best_excess = 0, best = 0;
  for (PlannedNetwork& candidate : plan_candidates(result.lowered, result.device, request)) {
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

}  // namespace tandem
