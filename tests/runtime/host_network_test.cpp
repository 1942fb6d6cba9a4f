#include "tandem/runtime/host_network.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tandem/base/threads.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/register.h"

#include "tests/runtime/host_runs.h"
#include "tests/support/least_sizes.h"
#include "tests/support/random_real.h"

namespace tandem {
namespace {

class HostNetworkTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

TEST_F(HostNetworkTest, RunsTheSamplesOfEveryOperatorOnReals) {
  int cases = 0;
  for (const Operator* op : operators().all()) {
    if (op->traits().domain == Domain::kInteger) continue;
    for (const SampleCase& sample : op->samples()) {
      if (!sample.error.empty()) continue;
      const Module module = with_least_sizes(parse_module(sample.text));
      SCOPED_TRACE(sample.text);
      const auto inputs = random_inputs_of(module, 5);
      std::vector<Tensor> expected;
      try {
        expected = evaluate(module, module.main(), inputs);
      } catch (const Error&) {
        continue;  // zeros are no valid indices or shapes of it
      }
      expect_close(run_on_host(module, inputs), expected, 2e-5);
      if (HasFatalFailure()) return;
      ++cases;
    }
  }
  EXPECT_GT(cases, 150);
}

TEST_F(HostNetworkTest, EqualsTheReferenceOnRandomNetworks) {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const Module module = random_real_network(seed);
    const auto inputs = random_inputs_of(module, seed);
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    expect_close(run_on_host(module, inputs), evaluate(module, module.main(), inputs), 1e-4);
    if (HasFatalFailure()) {
      ADD_FAILURE() << print_module(module);
      return;
    }
  }
}

// x is read by the convolution that begins the branch, h by the sum alone.
TEST_F(HostNetworkTest, WritesAResidualSumWhereItsLastReaderFindsIt) {
  const Module module = parse_module(
      "tandem-module 1\nconstant @w : f32[2,2,1,1] = [1,2,3,4]\n"
      "graph @main(%x : f32[1,2,8,8]) -> (%y) {\n  %w = constant @w\n"
      "  %h : f32[1,2,8,8] = Conv(%x, %w)\n  %a : f32[1,2,8,8] = Conv(%h, %w)\n"
      "  %b : f32[1,2,8,8] = Conv(%a, %w)\n  %s : f32[1,2,8,8] = Add(%b, %h)\n"
      "  %y : f32[1,2,8,8] = Conv(%s, %w)\n}\n");
  const HostNetwork network = prepare_for_host(module);
  const Plan plan = plan_host(network.module, {.layouts = network.layouts});
  const auto adds =
      std::ranges::find_if(plan.steps, [&](const Step& step) { return step.nodes.size() == 2; });
  ASSERT_NE(adds, plan.steps.end());
  EXPECT_NE(std::ranges::find(adds->reads, adds->writes[0]), adds->reads.end());
  const auto inputs = random_inputs_of(module, 3);
  expect_close(run_on_host(module, inputs), evaluate(module, module.main(), inputs), 1e-5);
}

TEST_F(HostNetworkTest, GivesTheSameBitsOnAnyNumberOfThreads) {
  const int before = thread_count();
  for (std::uint64_t seed = 1000; seed < 1040; ++seed) {
    const Module module = random_real_network(seed);
    const auto inputs = random_inputs_of(module, seed);
    std::vector<Tensor> first;
    for (const int threads : {1, 2, 3, 4}) {
      set_thread_count(threads);
      const auto outputs = run_on_host(module, inputs);
      if (threads == 1) first = outputs;
      for (std::size_t i = 0; i < outputs.size(); ++i)
        EXPECT_TRUE(outputs[i] == first[i]) << threads << " threads, seed " << seed;
    }
  }
  set_thread_count(before);
}

}  // namespace
}  // namespace tandem
