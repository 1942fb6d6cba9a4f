#include "tandem/cli/plan_options.h"

namespace tandem {

void add_options(OptionTable& options, McuOptions& mcu) {
  options.text("--io", "PLACE", mcu.io,
               "Where inputs and outputs of C lie: in the arena, where a run overwrites its inputs "
               "(the default), or with the caller, who hands over pointers");
  options.integer("--patches", mcu.patches,
                  "Run the first layers of C in so many patches (1: in none); unset, patches are "
                  "taken only where SRAM is short, as they cost instructions");
}

void PlanFlags::add_to(OptionTable& options, bool device_required) {
  model.add_to(options);
  const std::string help = "A device by name (tandem list devices) or the path of its file";
  if (device_required) {
    options.required_text("--device", "DEVICE", device, help);
  } else {
    options.text("--device", "DEVICE", device, help);
  }
  options.text("--minimise", "WHAT", objective,
               "What the plan is chosen for: latency, energy, sram, flash or area");
  add_options(options, mcu);
  codings.add_to(options);
  options.text("--data", "SET", data, "A data set that says how the input arrives as codes");
  options.text("--preprocess", "TEXT", preprocess, "How the set's codes become reals");
}

PlanRequest PlanFlags::request() const {
  PlanRequest request;
  request.device = device;
  request.objective = objective;
  request.mcu = mcu;
  request.codings = codings.codings();
  request.data.source = data;
  request.data.preprocess = preprocess;
  request.network = model.load();
  return request;
}

}  // namespace tandem
