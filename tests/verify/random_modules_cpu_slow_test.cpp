#include <gtest/gtest.h>

#include "tandem/ops/register.h"
#include "tandem/verify/execution.h"

#include "tests/verify/random_modules.h"

namespace tandem {
namespace {

std::vector<Samples> run_on_cpu(std::span<const Module> batch, std::span<const Samples> inputs) {
  std::vector<Samples> outputs;
  for (std::size_t i = 0; i < batch.size(); ++i)
    outputs.push_back(make_execution("cpu", batch[i])->run(inputs[i]));
  return outputs;
}

TEST(RandomModulesOnThisCpu, EqualTheReferenceInEveryBit) {
  register_operators();
  constexpr std::int64_t kModules = 2000;
  const RandomComparison comparison = compare_random_modules(0, kModules, 8, 250, run_on_cpu);
  std::printf("%lld modules, %lld values\n", static_cast<long long>(comparison.modules),
              static_cast<long long>(comparison.compared_values));
  EXPECT_EQ(comparison.modules, kModules);
}

TEST(RandomModulesOnThisCpu, KeepStatesAsTheReferenceDoes) {
  register_operators();
  constexpr std::int64_t kModules = 1000;
  const RandomComparison comparison =
      compare_random_modules(5000, kModules, 8, 250, run_on_cpu, {.max_states = 4});
  EXPECT_EQ(comparison.modules, kModules);
}

}  // namespace
}  // namespace tandem
