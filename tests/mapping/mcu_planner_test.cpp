#include "tandem/mapping/mcu_planner.h"

#include <limits>
#include <map>
#include <optional>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/cost/mcu_cost.h"
#include "tandem/mapping/patch_search.h"
#include "tandem/plan/kernel.h"
#include "tandem/plan/mcu_plan.h"

#include "tests/support/random_chain.h"

namespace tandem {
namespace {

std::int64_t least_sram(const Module& module, const Device& device) {
  return sram_bytes(plan_mcu(module, device, {.sram_bytes = 0}));
}

// Where the network has layers that can be run in so many.
std::optional<Plan> in_patches(const Module& module, const Device& device, std::int64_t patches) {
  try {
    return plan_mcu(module, device, {.patches = patches});
  } catch (const Error&) {
    return std::nullopt;
  }
}

TEST(McuPlanner, TakesPatchesOnlyWhereSramIsShortOrTheyAreAskedFor) {
  const Device device = find_device("stm32f746");
  int patched = 0, relaxed = 0;
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    const Module module = random_chain(seed);
    const Plan fast = plan_mcu(module, device);
    EXPECT_EQ(patch_count(fast), 1);
    EXPECT_EQ(patch_count(plan_mcu(module, device, {.objective = McuObjective::kSram})), 1);
    const std::int64_t least = least_sram(module, device);
    EXPECT_LE(least, sram_bytes(fast));
    // Whatever lies between is met, and what fits already stays as it is.
    for (const std::int64_t most : {least, (least + sram_bytes(fast)) / 2}) {
      const Plan plan = plan_mcu(module, device, {.sram_bytes = most});
      EXPECT_LE(sram_bytes(plan), most) << seed;
      patched += patch_count(plan) > 1;
      relaxed += patch_count(plan) == 1 && sram_bytes(plan) < sram_bytes(fast);
    }
    const Plan same = plan_mcu(module, device, {.sram_bytes = sram_bytes(fast)});
    EXPECT_EQ(print_plan(module, same), print_plan(module, fast));
    const Plan never = plan_mcu(module, device, {.patches = 1, .sram_bytes = 0});
    EXPECT_EQ(patch_count(never), 1);
  }
  EXPECT_GT(patched, 2);
  EXPECT_GT(relaxed, 5);
}

TEST(McuPlanner, ALooserLimitIsNeverSlower) {
  const Device device = find_device("stm32f746");
  int faster = 0;
  for (std::uint64_t seed = 0; seed < 16; ++seed) {
    const Module module = random_chain(seed);
    McuPlanner planner(module, device);
    // The fastest plan without patches is taken as soon as it fits, whatever patches would save.
    const std::int64_t least = least_sram(module, device),
                       most = std::max(least, sram_bytes(planner.plan()) - 1);
    double cycles = std::numeric_limits<double>::infinity();
    for (std::int64_t i = 0; i <= 4; ++i) {
      const std::int64_t limit = least + (most - least) * i / 4;
      const Plan plan = planner.plan({.sram_bytes = limit});
      EXPECT_LE(sram_bytes(plan), limit) << seed;
      const double now = estimate_mcu(module, plan, device).total.at("latency_cycles").value;
      EXPECT_LE(now, cycles) << seed << ", " << limit << " bytes";
      faster += now < cycles;
      cycles = now;
    }
    // Below the least nothing fits, and the least is found again.
    EXPECT_EQ(sram_bytes(planner.plan({.sram_bytes = least - 1})), least) << seed;
  }
  EXPECT_GT(faster, 20);
}

TEST(McuPlanner, TakesNoFormWhoseInstructionsTheCoreLacks) {
  std::map<FormNeeds, int> on_m0, on_m4, on_m55, on_rv32;
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    const Module module = random_chain(seed);
    for (const auto& [device, seen] : {std::pair{"rp2040", &on_m0},
                                       {"stm32l4r5", &on_m4},
                                       {"stm32n657", &on_m55},
                                       {"esp32c3", &on_rv32}})
      for (const McuObjective objective : {McuObjective::kLatency, McuObjective::kSram})
        for (const Step& step :
             plan_mcu(module, find_device(device), {.objective = objective}).steps)
          ++(*seen)[needs_of(step.form)];
  }
  EXPECT_EQ(on_m0.size(), 1U);
  EXPECT_GT(on_m4[FormNeeds::kPackedProducts], 0);
  EXPECT_EQ(on_m4[FormNeeds::kVectors], 0);
  EXPECT_EQ(on_m4[FormNeeds::kRegisters], 0);
  EXPECT_GT(on_m55[FormNeeds::kVectors], 0);
  EXPECT_GT(on_rv32[FormNeeds::kRegisters], 0);
  EXPECT_EQ(on_rv32[FormNeeds::kPackedProducts] + on_rv32[FormNeeds::kVectors], 0);
}

TEST(McuPlanner, CountsSharedFunctionsOnceAndEveryCall) {
  const Device device = find_device("stm32f746");
  int compared = 0, shared = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const Module module = random_chain(seed);
    const std::optional<Plan> patched = in_patches(module, device, 5);
    if (!patched) continue;
    const Plan& plan = *patched;
    const Estimate estimate = estimate_mcu(module, plan, device);
    // Functions once; calls by the arrays and numbers that they hand over.
    const StepFunctions functions = step_functions(module, plan);
    const std::vector<LoopProgram> programs = step_programs(module, plan);
    const McuCosts costs(device);
    const auto per_call = [&](LoopFeature feature, std::size_t count) {
      LoopFeatures features;
      features.executed[static_cast<std::size_t>(feature)] = static_cast<double>(count);
      features.written = features.executed;
      return costs.of(features);
    };
    double code = 0, instructions = 0;
    for (std::size_t i = 0; i < programs.size(); ++i) {
      const LoopCost cost = costs.of(functions.programs[i]);
      const StepCall& call = functions.shared.calls[i];
      const LoopCost arguments = per_call(LoopFeature::kArguments, call.arguments.size());
      instructions += cost.instructions + arguments.instructions;
      code += arguments.code_bytes;
      if (functions.shared.users[call.function].front() == i)
        code += cost.code_bytes;
      else
        code += per_call(LoopFeature::kArrays, functions.shared.passed[call.function].size())
                    .code_bytes;
      // Functions in place of copies change code, and hardly more.
      EXPECT_NEAR(cost.instructions / costs.of(programs[i]).instructions, 1, 0.1);
      shared += functions.shared.users[call.function].front() != i;
    }
    EXPECT_NEAR(estimate.total.at("code_bytes").value, code, 1e-6 * code);
    EXPECT_NEAR(estimate.total.at("instructions").value, instructions, 1e-6 * instructions);
    EXPECT_EQ(estimate.total.at("arena_bytes").value,
              static_cast<double>(plan.peak_bytes.at("sram")));
    ++compared;
  }
  EXPECT_GT(compared, 5);
  EXPECT_GT(shared, 40);
}

TEST(McuPlanner, NamesWhatPatchesNeed) {
  const Device device = find_device("stm32f746");
  const Module module = random_chain(1);
  try {
    plan_mcu(module, device, {.patches = 1000});
    FAIL() << "a thousand patches of a few rows";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("no layers can be run in 1000 patches"));
  }
}

}  // namespace
}  // namespace tandem
