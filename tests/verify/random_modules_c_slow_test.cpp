#include <cstdlib>

#include <gtest/gtest.h>

#include "tandem/base/text.h"
#include "tandem/ops/register.h"
#include "tandem/verify/c_execution.h"

#include "tests/verify/random_modules.h"
#include "tests/verify/varied_plans.h"

namespace tandem {
namespace {

TEST(RandomModulesInC, EqualTheReferenceInEveryBit) {
  register_operators();
  // tools/mutate_emitters.py needs fewer for each of its mutations.
  const char* wanted = std::getenv("TANDEM_RANDOM_MODULES");
  const std::int64_t modules = wanted == nullptr ? 2000 : parse_integer(wanted, "count");
  const RandomComparison comparison = compare_random_modules(
      0, modules, 8, 250, [](std::span<const Module> batch, std::span<const Samples> inputs) {
        return run_c_batch(batch, varied_plans(batch), inputs, {.flags = {"-O1"}});
      });
  std::printf(
      "%lld modules, %lld values, median %zu nodes, %.1f %% of outputs vary, the rarest "
      "mode occurs %d times\n",
      static_cast<long long>(comparison.modules),
      static_cast<long long>(comparison.compared_values), comparison.median_nodes,
      100 * comparison.varying_outputs, comparison.rarest_mode);
  EXPECT_EQ(comparison.modules, modules);
  EXPECT_GE(comparison.median_nodes, 5U);
  EXPECT_GE(comparison.varying_outputs, 0.7);
  EXPECT_GE(100 * comparison.rarest_mode, modules);  // 20 in 2,000
}

TEST(RandomModulesInC, KeepStatesAsTheReferenceDoes) {
  register_operators();
  const char* wanted = std::getenv("TANDEM_RANDOM_MODULES");
  const std::int64_t modules = wanted == nullptr ? 1000 : parse_integer(wanted, "count");
  std::size_t in_place = 0, copied = 0;
  const RandomComparison comparison =
      compare_random_modules(5000, modules, 8, 250,
                             [&](std::span<const Module> batch, std::span<const Samples> inputs) {
                               const std::vector<Plan> plans = varied_plans(batch);
                               for (const Plan& plan : plans) {
                                 for (const Step& step : plan.steps) {
                                   for (const std::size_t write : step.writes) {
                                     if (plan.buffers[write].role != BufferRole::kState) continue;
                                     ++(step.kind == StepKind::kMove ? copied : in_place);
                                   }
                                 }
                               }
                               return run_c_batch(batch, plans, inputs, {.flags = {"-O1"}});
                             },
                             {.max_states = 4});
  std::printf("%lld modules, %lld values, %zu states written in place, %zu copied\n",
              static_cast<long long>(comparison.modules),
              static_cast<long long>(comparison.compared_values), in_place, copied);
  EXPECT_EQ(comparison.modules, modules);
  // Fewer than without states: one that stays as it is may be an output.
  EXPECT_GE(comparison.varying_outputs, 0.6);
  EXPECT_GE(4 * in_place, static_cast<std::size_t>(modules));
  EXPECT_GE(4 * copied, static_cast<std::size_t>(modules));
}

}  // namespace
}  // namespace tandem
