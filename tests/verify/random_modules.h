#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tandem/verify/samples.h"

#include "tests/support/random_module.h"

namespace tandem {

// Runs many modules, each on its own samples, and returns the outputs of each.
using RunBatch = std::function<std::vector<Samples>(std::span<const Module> modules,
                                                    std::span<const Samples> inputs)>;

struct RandomComparison {
  std::int64_t modules = 0, compared_values = 0;
  std::size_t median_nodes = 0;
  double varying_outputs = 0;  // share
  int rarest_mode = 0;         // occurrences of the rarest primitive in its rarest mode
};

// Compares `run` with the reference on random lowered modules of the seeds [first, first + count),
// `samples` inputs each (calls of one stream, where they have states), in batches of `batch`
// modules. Where one differs it is shrunk, and the test fails with its text.
RandomComparison compare_random_modules(std::uint64_t first, std::int64_t count,
                                        std::int64_t samples, std::int64_t batch,
                                        const RunBatch& run,
                                        const RandomModuleOptions& options = {});

}  // namespace tandem
