#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tandem/codesign/plan_model.h"
#include "tandem/verify/equality.h"

namespace tandem {

// What is written for which device, and how far it is proved.
struct CompileRequest {
  PlanRequest plan;
  std::string model;   // the network's file, for results
  std::string name;    // prefix of files and symbols; empty: from the model's file
  std::string output;  // the folder of results
  // Random inputs (all minimum and all maximum among them) that the sources run on this host, and
  // on the simulated machine.
  std::int64_t samples = 100, machine_samples = 10;
  std::int64_t seed = 1;  // of the random inputs
};

// One execution of the emitted sources against the reference.
struct ProvedExecution {
  std::string execution;
  std::int64_t samples = 0;
  Equality equality;
  std::map<std::string, double> measured;
};

struct CompileResult {
  std::string model, device, device_title, target, name, output;
  bool fits = true;
  std::string misfit;              // as in PlannedModel
  std::vector<std::string> files;  // relative to the folder
  std::int64_t seed = 1;
  std::vector<ProvedExecution> executions;

  bool equal() const;  // every execution computed the reference's bits
};

// Writes the C or SystemVerilog project of a network into the folder `output`, which appears as a
// whole, and runs it: the network as integers (NAME.tandem), the sources in a folder named after
// the target, estimate.json, verification.json. Throws Error as plan_model() and Target::emit() do,
// and on a name that is none of a symbol.
CompileResult compile_network(const CompileRequest& request);

// As JSON text (schema "tandem-compile/1").
std::string to_json(const CompileResult& result);

// The name of files and symbols: the one given (Error where it is none of a symbol), else the stem
// of the model's file.
std::string symbol_name(const std::string& given, const std::string& model);

}  // namespace tandem
