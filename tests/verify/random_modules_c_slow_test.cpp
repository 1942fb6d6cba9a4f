#include <gtest/gtest.h>

#include "tandem/ops/register.h"
#include "tandem/verify/c_execution.h"
#include "tests/verify/random_modules.h"

namespace tandem {
namespace {

TEST(RandomModulesInC, EqualTheReferenceInEveryBit) {
  register_operators();
  const RandomComparison comparison = compare_random_modules(
      0, 2000, 8, 250, [](std::span<const Module> modules, std::span<const Samples> inputs) {
        return run_c_batch(modules, inputs, {.flags = {"-O1"}});
      });
  std::printf("%lld modules, %lld values, median %zu nodes, %.1f %% of outputs vary, the rarest "
              "mode occurs %d times\n",
              static_cast<long long>(comparison.modules),
              static_cast<long long>(comparison.compared_values), comparison.median_nodes,
              100 * comparison.varying_outputs, comparison.rarest_mode);
  EXPECT_EQ(comparison.modules, 2000);
  EXPECT_GE(comparison.median_nodes, 5U);
  EXPECT_GE(comparison.varying_outputs, 0.7);
  EXPECT_GE(comparison.rarest_mode, 20);
}

}  // namespace
}  // namespace tandem
