// The generator of random lowered modules that the executions are compared on: what it promises
// about its modules, and that the reference runs them.
#include "tests/support/random_module.h"

#include <algorithm>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/transform/lower.h"

namespace tandem {
namespace {

constexpr std::uint64_t kModules = 400;

class RandomModules : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    register_operators();
    for (std::uint64_t seed = 0; seed < kModules; ++seed)
      modules.push_back(random_lowered_module(seed));
  }
  static std::vector<Module> modules;
};

std::vector<Module> RandomModules::modules;

TEST_F(RandomModules, AreLoweredAndReadBack) {
  for (const Module& module : modules) {
    EXPECT_TRUE(is_lowered(module));
    const std::string text = print_module(module);
    EXPECT_EQ(print_module(parse_module(text)), text);
  }
}

TEST_F(RandomModules, AreTheSameForTheSameSeed) {
  for (std::uint64_t seed = 0; seed < 5; ++seed)
    EXPECT_EQ(print_module(random_lowered_module(seed)), print_module(modules[seed]));
}

TEST_F(RandomModules, HaveAtLeastFiveNodesInTheMedian) {
  std::vector<std::size_t> nodes;
  for (const Module& module : modules) nodes.push_back(module.main().nodes.size());
  std::nth_element(nodes.begin(), nodes.begin() + nodes.size() / 2, nodes.end());
  EXPECT_GE(nodes[nodes.size() / 2], 5U);
}

// Formats in which rules have exceptions: one signed bit holds -1 and 0 (kept_range()), bipolar no
// 0.
TEST_F(RandomModules, HoldFormatsOfOneBit) {
  std::map<std::string, int> inputs, rescaled;
  for (const Module& module : modules) {
    const Graph& graph = module.main();
    for (const ValueId input : graph.inputs) ++inputs[graph.values[input].type.format.name()];
    for (const Node& node : graph.nodes) {
      if (node.op->name() == "Rescale")
        ++rescaled[graph.values[node.outputs[0]].type.format.name()];
    }
  }
  for (const char* format : {"int1", "uint1", "bipolar"}) EXPECT_GE(inputs[format], 8) << format;
  for (const char* format : {"int1", "uint1"}) EXPECT_GE(rescaled[format], 8) << format;
}

// 2,000 modules have every primitive, rounding and overflow mode at least 20 times, so a fifth of
// them has each at least 4 times.
TEST_F(RandomModules, HoldEveryPrimitiveInEveryMode) {
  auto census = primitive_census(modules);
  for (const char* op :
       {"IntAdd",     "IntSub",     "IntMul",    "IntMax",  "IntMin",  "Clamp",
        "Table",      "Threshold",  "IntMatMul", "IntConv", "IntSum",  "IntReduceMax",
        "IntSumPool", "IntMaxPool", "IntArgMax", "IntSqrt", "Reshape", "Transpose",
        "Concat",     "Slice",      "Pad",       "Gather"}) {
    EXPECT_GE(census[op], 4) << op;
  }
  for (const Rounding rounding : kAllRoundings) {
    EXPECT_GE(census["IntDiv " + std::string(name(rounding))], 4) << name(rounding);
    for (const Overflow overflow : kAllOverflows) {
      const std::string key =
          "Rescale " + std::string(name(rounding)) + " " + std::string(name(overflow));
      EXPECT_GE(census[key], 4) << key;
    }
  }
}

TEST_F(RandomModules, HaveOutputsThatVary) {
  std::size_t outputs = 0, varying = 0;
  for (std::uint64_t seed = 0; seed < kModules; ++seed) {
    const Module& module = modules[seed];
    std::vector<std::vector<Tensor>> results;
    for (const auto& inputs : random_inputs(module, seed, 6))
      results.push_back(evaluate(module, module.main(), inputs));
    for (std::size_t i = 0; i < results[0].size(); ++i) {
      ++outputs;
      varying += std::any_of(results.begin(), results.end(),
                             [&](const auto& result) { return !(result[i] == results[0][i]); });
    }
  }
  EXPECT_GE(static_cast<double>(varying), 0.7 * static_cast<double>(outputs));
}

}  // namespace
}  // namespace tandem
