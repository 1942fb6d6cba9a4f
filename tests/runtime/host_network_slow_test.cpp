#include <cstdlib>
#include <map>

#include <gtest/gtest.h>

#include "tandem/base/random.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"

#include "tests/runtime/host_runs.h"
#include "tests/support/random_module.h"
#include "tests/support/random_real.h"

namespace tandem {
namespace {

std::uint64_t wanted_networks() {
  const char* wanted = std::getenv("TANDEM_RANDOM_NETWORKS");
  return wanted != nullptr ? std::stoull(wanted) : 10'000;
}

// Any number within its bounds for each symbol.
Module bound_at_random(const Module& module, std::uint64_t seed) {
  RandomSequence random(seed, "symbols");
  std::map<std::string, std::int64_t> symbols;
  for (const Symbol& symbol : module.symbols)
    symbols[symbol.name] = random.integer(symbol.min, symbol.max);
  return specialize(module, symbols);
}

// Of every four networks two are static ones of reals, one has symbolic dimensions, bound twice,
// and one is of integers, whose results are exact.
TEST(RandomNetworksOnHost, ComputeWhatTheirDefinitionsSay) {
  const std::uint64_t networks = wanted_networks();
  for (std::uint64_t seed = 0; seed < networks; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Module module = seed % 4 == 3   ? random_lowered_module(seed)
                    : seed % 4 == 2 ? random_dynamic_network(seed)
                                    : random_real_network(seed);
    const double tolerance = seed % 4 == 3 ? 0 : 1e-4;
    for (std::uint64_t binding = 0; binding < (seed % 4 == 2 ? 2 : 1); ++binding) {
      const Module bound = bound_at_random(module, 2 * seed + binding);
      const auto inputs =
          seed % 4 == 3 ? random_inputs(bound, seed, 3).back() : random_inputs_of(bound, seed);
      expect_close(run_on_host(bound, inputs), evaluate(bound, bound.main(), inputs), tolerance);
      if (testing::Test::HasFailure()) {
        ADD_FAILURE() << print_module(bound);
        return;
      }
    }
  }
}

}  // namespace
}  // namespace tandem
