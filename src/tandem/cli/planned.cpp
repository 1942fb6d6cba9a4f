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
  add_io_option(options, io);
  codings.add_to(options);
  options.text("--data", "SET", data, "A data set that says how the input arrives as codes");
  options.text("--preprocess", "TEXT", preprocess, "How the set's codes become reals");
}

void add_io_option(OptionTable& options, std::string& io) {
  options.text("--io", "PLACE", io,
               "Where inputs and outputs of C lie: in the arena, where a run overwrites its inputs "
               "(the default), or with the caller, who hands over pointers");
}

IoPlace io_place(const std::string& io, const Device& device) {
  if (io.empty()) return IoPlace::kArena;
  if (device.kind() != "mcu")
    throw Error("--io ", io, ": ", device.name,
                " runs no C; leave it out or take a device of kind ", "mcu");
  return parse_io_place(io);
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
  const IoPlace io = io_place(flags.io, result.device);
  bool first = true;
  double best_excess = 0, best = 0;
  for (PlannedNetwork& candidate : plan_candidates(result.lowered, result.device, io)) {
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
  return result;
}

}  // namespace tandem
