#include "tandem/mapping/dataflow_folding.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/cost/dataflow_simulation.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/mapping/dataflow_buffers.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

// Two convolutions of very different work, joined by a rescale: 6 x 6 x 8 x 9 and 6 x 6 x 2 x 8.
Module two_convolutions() {
  register_operators();
  const auto list = [&](int first, int count) {
    std::string text;
    for (int i = 0; i < count; ++i)
      text += (i == 0 ? "" : ",") + std::to_string((first + i) % 7 - 3);
    return "[" + text + "]";
  };
  return parse_module(
      "tandem-module 1\n"
      "constant @w1 : int3[8,3,3,1] = " +
      list(0, 72) +
      "\n"
      "constant @w2 : int3[2,1,1,8] = " +
      list(5, 16) +
      "\n"
      "constant @m : uint4[1,1,1,1] = [9]\n"
      "constant @a : uint4[1,1,1,1] = [0]\n"
      "constant @s : uint4[1,1,1,1] = [5]\n"
      "graph @main(%x : uint4[1,8,8,1]) -> (%y) {\n"
      "  %w1 = constant @w1\n  %w2 = constant @w2\n  %m = constant @m\n"
      "  %a = constant @a\n  %s = constant @s\n"
      "  %c : int10[1,6,6,8] = IntConv(%x, %w1) {format = int10} \"wide\"\n"
      "  %r : int6[1,6,6,8] = Rescale(%c, %m, %a, %s) {format = int6}\n"
      "  %y : int12[1,6,6,2] = IntConv(%r, %w2) {format = int12} \"narrow\"\n"
      "}\n");
}

std::int64_t interval_of(const Module& module, const DataflowChoices& choices) {
  return least_interval(build_pipeline(module, plan_dataflow(module, "", choices)));
}

std::int64_t width(const DataflowChoices& choices, NodeId node) {
  const Folding& folding = choices.foldings.at(node);
  return folding.pe * folding.simd;
}

TEST(DataflowFolding, BeginsWithOneOperationAtATime) {
  const Module module = two_convolutions();
  const auto ladder = balanced_foldings(module);
  for (const auto& [node, folding] : ladder.front().foldings)
    EXPECT_EQ(folding.pe * folding.simd, 1) << module.main().nodes[node].name;
  EXPECT_EQ(interval_of(module, ladder.front()), 6 * 6 * 8 * 9);
}

TEST(DataflowFolding, EveryStepIsFasterAndBalanced) {
  const Module module = two_convolutions();
  const auto ladder = balanced_foldings(module);
  ASSERT_GE(ladder.size(), 4U);
  for (std::size_t i = 1; i < ladder.size(); ++i)
    EXPECT_LT(interval_of(module, ladder[i]), interval_of(module, ladder[i - 1]));
  // By hand: 2592 cycles halve to 1296 with two operations side by side in the first convolution,
  // while the second needs 576 of its 1296 cycles with one.
  EXPECT_EQ(interval_of(module, ladder[1]), 1296);
  const auto& nodes = module.main().nodes;
  const auto node = [&](const std::string& name) {
    const auto found =
        std::find_if(nodes.begin(), nodes.end(), [&](const Node& n) { return n.name == name; });
    return static_cast<NodeId>(found - nodes.begin());
  };
  EXPECT_EQ(width(ladder[1], node("wide")), 2);
  EXPECT_EQ(width(ladder[1], node("narrow")), 1);
}

TEST(DataflowFolding, PipelinesReachTheirInterval) {
  const Module module = two_convolutions();
  for (const DataflowChoices& choices : balanced_foldings(module, {.most = 3})) {
    Plan plan = plan_dataflow(module, "", choices);
    size_buffers(module, plan);
    const Pipeline pipeline = build_pipeline(module, plan);
    const SimulationResult result = simulate(pipeline);
    EXPECT_EQ(result.deadlock, "");
    EXPECT_EQ(result.interval, static_cast<double>(least_interval(pipeline)));
  }
}

TEST(DataflowFolding, KeepsToItsLanes) {
  const Module module = two_convolutions();
  for (const DataflowChoices& choices : balanced_foldings(module, {.most = 20, .lanes = 4}))
    for (const auto& [node, folding] : choices.foldings) EXPECT_LE(folding.pe * folding.simd, 4);
}

TEST(DataflowFolding, PutsLargeWeightsIntoBlockRam) {
  const Module module = two_convolutions();
  const auto ladder = balanced_foldings(module, {.most = 1, .block_bits = 100});
  int blocks = 0;
  for (const auto& [node, folding] : ladder.front().foldings) blocks += folding.block_weights;
  EXPECT_EQ(blocks, 1) << "72 weights of 3 bits, but not 16";
}

}  // namespace
}  // namespace tandem
