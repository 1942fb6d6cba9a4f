#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tandem/codesign/limits.h"
#include "tandem/codesign/measurements.h"
#include "tandem/codesign/planning.h"
#include "tandem/codesign/search.h"
#include "tandem/compress/layer_table.h"
#include "tandem/data/dataset.h"
#include "tandem/device/device.h"
#include "tandem/plan/target.h"
#include "tandem/verify/equality.h"

namespace tandem {

// What is fitted to what.
struct FitRequest {
  std::string name;   // prefix of all files and symbols
  std::string model;  // the network's file, for the lock
  Module network;     // as read
  Device device;
  DataSet calibration, selection, held_out;
  Objective objective = Objective::kLatency;
  std::vector<Limit> limits;
  std::uint64_t seed = 1;
  McuRequest mcu = {};  // of plans for microcontrollers
  // Samples that the simulated machine (QEMU, Verilator) runs; the host runs all held-out ones.
  std::int64_t machine_samples = 100;
  // Options that the user gave, by name, for the lock.
  std::vector<std::pair<std::string, std::string>> data_options;
};

// One execution of the chosen network on held-out samples.
struct ExecutionResult {
  // "float" is the network as read, "recoded" the reals with their codes; "reference", "c", "qemu"
  // and "circuit" run the integers.
  std::string execution;
  std::int64_t samples = 0;
  double accuracy = 0;
  // Values of the outputs against the reference; of reals, their nearest codes.
  Equality equality;
  bool must_be_equal = true;
};

struct FitOutcome {
  SearchResult search;
  std::vector<Limit> limits;  // the request's and the device's own
  Module recoded;             // of reals, with its codes
  Module lowered;             // the authority
  PlannedNetwork planned;
  std::string target;  // "c", "circuit"
  std::vector<RecodedLayer> layers;
  std::vector<ExecutionResult> executions;

  bool equal() const;  // every execution that must be equal is
};

// Searches, then runs the chosen network in every execution that its device allows. What was
// measured goes to `measurements`, also when Interrupted is thrown.
FitOutcome fit(const FitRequest& request, Measurements& measurements);

// What identifies the request's network, data and device in stored measurements.
std::string fit_subject(const FitRequest& request);

// The files of a result: <name>.tandem, <name>.onnx, the project in "c" or "circuit",
// estimate.json, lock.json, verification.json. Where ONNX cannot express the network, or what is
// read back is not the same integers, `onnx_refusal` gets the reason, and there is no such file.
Artifacts fit_files(const FitRequest& request, const FitOutcome& outcome,
                    std::string* onnx_refusal);

}  // namespace tandem
