#include "tandem/runtime/host_network.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "tandem/base/threads.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/register.h"
#include "tandem/runtime/host_plan.h"
#include "tandem/runtime/program.h"

#include "tests/support/random_real.h"

namespace tandem {
namespace {

std::vector<Tensor> run_on_host(const Module& module, const std::vector<Tensor>& inputs) {
  const HostNetwork network = prepare_for_host(module);
  const Program program(network.module, plan_host(network.module, {.layouts = network.layouts}));
  Program::Workspace workspace = program.workspace();
  std::vector<const std::byte*> from;
  for (const Tensor& input : inputs) from.push_back(input.bytes().data());
  std::vector<Tensor> outputs;
  const Graph& graph = network.module.main();
  for (const ValueId output : graph.outputs)
    outputs.emplace_back(graph.values[output].type.format,
                         graph.values[output].type.static_shape());
  std::vector<std::byte*> to;
  for (Tensor& output : outputs) to.push_back(output.mutable_bytes().data());
  for (int run = 0; run < 2; ++run)
    program.run(from, to, workspace);  // twice: memory is used again
  return outputs;
}

std::vector<Tensor> random_inputs_of(const Module& module, std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal;
  std::vector<Tensor> inputs;
  for (const ValueId id : module.main().inputs) {
    const TensorType& type = module.main().values[id].type;
    const Shape shape = type.static_shape();
    std::vector<double> values(static_cast<std::size_t>(element_count(shape)));
    for (double& value : values) value = normal(engine);
    inputs.push_back(type.format.is_integer() ? Tensor(type.format, shape)
                                              : Tensor::from_reals(type.format, shape, values));
  }
  return inputs;
}

// Reals within `tolerance` of the greatest magnitude (at least 1), all others equal.
void expect_close(const std::vector<Tensor>& computed, const std::vector<Tensor>& expected,
                  double tolerance) {
  ASSERT_EQ(computed.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(computed[i].shape(), expected[i].shape());
    double greatest = 1;
    for (const double value : expected[i].to_reals())
      if (std::isfinite(value)) greatest = std::max(greatest, std::abs(value));
    for (std::int64_t at = 0; at < expected[i].size(); ++at) {
      const double a = computed[i].real(at), b = expected[i].real(at);
      if (std::isnan(b) || std::isinf(b)) {
        ASSERT_EQ(std::isnan(a), std::isnan(b)) << "output " << i << "[" << at << "]";
      } else {
        ASSERT_NEAR(a, b, tolerance * greatest) << "output " << i << "[" << at << "]";
      }
    }
  }
}

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
      Module module = parse_module(sample.text);
      std::map<std::string, std::int64_t> symbols;
      for (const Symbol& symbol : module.symbols) symbols[symbol.name] = symbol.min;
      module = specialize(module, symbols);
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
