#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tandem/cli/options.h"
#include "tandem/data/dataset.h"
#include "tandem/data/training.h"
#include "tandem/verify/network.h"

namespace tandem {

// --data, --split, --limit, --seed, --preprocess.
struct DataFlags {
  std::string source, split = "test", preprocess;
  std::optional<std::int64_t> limit;
  std::int64_t seed = 1;

  void add_to(OptionTable& options, bool required);
  bool given() const { return !source.empty(); }
  DataOptions data_options() const;
  // What the samples were, for results: {"source", "split", "seed", "preprocessing"}.
  Json json(const NetworkSamples& samples) const;
};

// --input-coding: how a real input arrives as codes where no data set says it.
struct CodingFlags {
  std::vector<std::string> texts;  // "x=uint8,1/255" or "x=int8,0.5,-1"

  void add_to(OptionTable& options);
  InputCodings codings() const;
};

// --data, --preprocess, --calibration, --selection, --split, --limit, --seed.
void add_options(OptionTable& options, TrainingOptions& training);

// --stalls SEED: the simulated circuit's input and output stall at random.
struct StallFlag {
  std::optional<std::int64_t> seed;

  void add_to(OptionTable& options);
  // 0: no stalls. Throws Error where a seed is given and no execution is the circuit.
  std::uint64_t seed_for(const std::vector<std::string>& executions) const;
};

// "float" or, where computes_reals() says so, "cpu" over a network as read, or an execution of a
// lowered module (verify/execution.h).
// `stall_seed` matters to the circuit alone.
std::unique_ptr<Execution> make_any_execution(const std::string& name, const Module& module,
                                              const std::string& device,
                                              std::uint64_t stall_seed = 0);

// The device that an execution runs on: the one given, the default of the kind it needs, or "" for
// those that run on this machine. Throws Error where a device is given and none is used.
std::string device_of_execution(const std::string& name, const std::string& device);

// 0.9317 as "93.17 %".
std::string percent(double share);

}  // namespace tandem
