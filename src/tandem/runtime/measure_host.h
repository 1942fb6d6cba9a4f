#pragma once

#include <cstdint>
#include <string>

#include "tandem/device/device.h"

namespace tandem {

struct MeasureOptions {
  std::string name = "host";
  double seconds_per_network = 0.02;  // of the sweep, for each number of threads, warm and cold
  std::uint64_t seed = 1;             // of the sweep
  int rounds = 12;                    // of the sweep
};

// This processor as a device of kind "host_cpu": its clock, its highest rates of products per
// format, bandwidths of its caches and memory, and what steps of host plans cost, fitted to the
// run times of host_sweep() on one thread and on all (thread_count()). The clearer the processor is
// of other work, the better. Throws Interrupted when the user interrupts.
Device measure_host(const MeasureOptions& options = {});

}  // namespace tandem
