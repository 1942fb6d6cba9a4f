#pragma once

#include <string>
#include <vector>

#include "tandem/emit/c_target.h"
#include "tandem/graph/module.h"
#include "tandem/plan/plan.h"

namespace tandem {

// One network in a program under test.
struct CNetwork {
  const Module* module = nullptr;
  const Plan* plan = nullptr;
  std::string name;  // of its symbols
};

// Sources of a program that runs networks on samples from a file: the emitted C of each network,
// and a harness that calls harness_read() and harness_write() (which stdio or semihosting
// implement). The input has for each network the number of samples (64 bits) and then sample after
// sample; for a network with states the number of streams, and this for each: <name>_reset() is
// called between them. The output is sample after sample. Little endian.
struct CProgram {
  std::vector<Artifact> files;         // headers and sources that are included
  std::vector<std::string> code;       // files to compile with optimisation
  std::vector<std::string> constants;  // files to compile without
};

struct CProgramOptions {
  bool trace = false;  // write what each step wrote, step by step, before the outputs
  // Call harness_start() before and harness_stop() after so many runs of each sample; 0: neither.
  // More than one needs plans with IoPlace::kCaller, and networks without states.
  int counted_runs = 0;
  std::size_t networks_per_file = 32;  // compiled together
};
CProgram c_program(const std::vector<CNetwork>& networks, const CProgramOptions& options = {});

// Writes files into a folder that exists. Throws Error when one cannot be written.
void write_files(const Artifacts& files, const std::string& folder);

}  // namespace tandem
