#pragma once

#include <map>
#include <string>

#include "tandem/codesign/fit.h"
#include "tandem/codesign/plan_model.h"
#include "tandem/data/training.h"

namespace tandem {

// The main job, as it is asked for: what `tandem fit` takes, and tandem.fit in Python.
struct FitJob {
  Module network;     // as read
  std::string model;  // its file
  TrainingOptions data;
  std::string device;  // by name, or the path of its file
  std::string objective = "latency";
  // Bounds by option, "--max-flash": "24KiB" (limit_options()). A search without a bound on the
  // accuracy drop would take the fewest bits there are, so that one is 1 % unless given.
  std::map<std::string, std::string> limits = {};
  McuOptions mcu = {};
  std::int64_t machine_samples = 100;  // held-out samples that QEMU or Verilator runs
  std::string name = {};               // of files and symbols; empty: from the model's file
  std::string output = {};             // the folder of results
};

struct FittedFolder {
  FitRequest request;
  FitOutcome outcome;
  std::string model, output;
  std::string onnx_refusal;  // why there is no ONNX file; empty where there is one

  bool succeeded() const { return outcome.search.feasible && outcome.equal(); }
};

// Searches, proves (fit()), and writes the folder of results with its report; it appears as a
// whole. Interrupted, it keeps what was measured in `output`.partial.json, from which the same job
// goes on.
FittedFolder fit_into_folder(const FitJob& job);

// As JSON text (schema "tandem-fit/1").
std::string to_json(const FittedFolder& fitted);

}  // namespace tandem
