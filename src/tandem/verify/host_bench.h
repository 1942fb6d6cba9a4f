#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tandem/verify/cpu_execution.h"

namespace tandem {

// How long one run of a network takes on this processor's kernels.
struct HostBench {
  std::vector<double> seconds;  // of each run after the warm-up, ascending
  double operations = 0;  // of f32 in one run: two for each multiplication that is added to a sum
  double peak = 0;        // operations per second that the threads reach at most, as measured

  double least() const { return seconds.front(); }
  double median() const { return seconds[seconds.size() / 2]; }
  double rate() const { return operations / median(); }  // operations per second
};
// Runs the first sample again and again: `runs` times, or where that is 0 for about two seconds and
// at least ten times, after a warm-up of a tenth of it.
HostBench bench(CpuExecution& execution, std::span<const Tensor> inputs, std::int64_t runs = 0);

// One step of the plan: nodes that run as one.
struct StepTime {
  std::string name, op;                // of its first node
  std::string form;                    // its kernel, as plan_host() names it
  std::vector<std::string> followers;  // operators that run behind the first
  double seconds = 0;                  // of one run, on average
  double begin = 0, end = 0;           // in the last run, seconds from its start
  double operations = 0;               // as in HostBench
};
// The steps that take time, in the order in which they run, over `runs` runs (0: as bench()) of the
// first sample.
std::vector<StepTime> profile(CpuExecution& execution, std::span<const Tensor> inputs,
                              std::int64_t runs = 0);

// A profile's last run in the Trace Event Format that Chrome and Perfetto show.
std::string chrome_trace(const std::vector<StepTime>& steps);

// One sample for each input of a network whose symbols are bound: reals drawn evenly from [-1, 1],
// integers 0.
Samples plain_inputs(const Module& module, std::uint64_t seed = 1);

}  // namespace tandem
