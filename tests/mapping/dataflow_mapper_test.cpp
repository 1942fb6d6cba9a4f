#include "tandem/mapping/dataflow_mapper.h"

#include <algorithm>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/cost/dataflow_simulation.h"
#include "tandem/device/device.h"
#include "tandem/graph/printer.h"
#include "tandem/mapping/dataflow_buffers.h"
#include "tandem/ops/register.h"
#include "tandem/plan/dataflow.h"

namespace tandem {
namespace {

std::string list(int first, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += (i == 0 ? "" : ",") + std::to_string((first + i) % 7 - 3);
  return "[" + text + "]";
}

// Two convolutions of very different work, joined by a rescale: 6 x 6 x 8 x 9 = 2592 and
// 6 x 6 x 2 x 8 = 576 products. The multiplier of the rescale is one of the things that recoded
// variants differ in.
Module two_convolutions(int multiplier = 9) {
  register_operators();
  return parse_module(
      "tandem-module 1\n"
      "constant @w1 : int3[8,3,3,1] = " +
      list(0, 72) +
      "\n"
      "constant @w2 : int3[2,1,1,8] = " +
      list(5, 16) +
      "\n"
      "constant @m : uint4[1,1,1,1] = [" +
      std::to_string(multiplier) +
      "]\n"
      "constant @a : uint4[1,1,1,1] = [0]\n"
      "constant @s : uint4[1,1,1,1] = [5]\n"
      "graph @main(%x : uint4[1,8,8,1]) -> (%y) {\n"
      "  %w1 = constant @w1\n  %w2 = constant @w2\n  %m = constant @m\n"
      "  %a = constant @a\n  %s = constant @s\n"
      "  %c : int10[1,6,6,8] = IntConv(%x, %w1) {format = int10} \"wide\"\n"
      "  %r : int6[1,6,6,8] = Rescale(%c, %m, %a, %s) {format = int6} \"rescale\"\n"
      "  %y : int12[1,6,6,2] = IntConv(%r, %w2) {format = int12} \"narrow\"\n"
      "}\n");
}

Device device() { return find_device("artix7-35t"); }

NodeId node_of(const Module& module, const std::string& name) {
  const auto& nodes = module.main().nodes;
  const auto found =
      std::find_if(nodes.begin(), nodes.end(), [&](const Node& n) { return n.name == name; });
  return static_cast<NodeId>(found - nodes.begin());
}

double figure(const MappedDataflow& mapped, const char* name) {
  return mapped.estimate.total.at(name).value;
}

TEST(DataflowMapper, BeginsWithOneOperationAtATime) {
  const Module module = two_convolutions();
  const Device fpga = device();
  DataflowMapper mapper(fpga);
  const auto intervals = mapper.intervals(module);
  EXPECT_EQ(intervals.front(), 6 * 6 * 8 * 9);
  const auto choices = mapper.foldings(module, intervals.front());
  for (const char* name : {"wide", "narrow"}) {
    const Folding& folding = choices.foldings.at(node_of(module, name));
    EXPECT_EQ(folding.pe * folding.simd, 1) << name;
  }
}

TEST(DataflowMapper, WidensOnlyTheNodeThatLimits) {
  const Module module = two_convolutions();
  const Device fpga = device();
  DataflowMapper mapper(fpga);
  // By hand: of 2592 cycles at most 1296 are left with two operations side by side (or, where
  // three operands of the window cost less, three), while the second convolution needs 576.
  const auto choices = mapper.foldings(module, 1296);
  const Folding& wide = choices.foldings.at(node_of(module, "wide"));
  const Folding& narrow = choices.foldings.at(node_of(module, "narrow"));
  EXPECT_GE(wide.pe * wide.simd, 2);
  EXPECT_LE(wide.pe * wide.simd, 3);
  EXPECT_EQ(narrow.pe * narrow.simd, 1);
}

TEST(DataflowMapper, IntervalsFallAndAreReached) {
  const Module module = two_convolutions();
  const Device fpga = device();
  DataflowMapper mapper(fpga);
  const auto intervals = mapper.intervals(module);
  ASSERT_GE(intervals.size(), 4U);
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    if (i > 0) {
      EXPECT_LT(intervals[i], intervals[i - 1]);
    }
    const MappedDataflow mapped = mapper.map(module, intervals[i]);
    EXPECT_LE(figure(mapped, "interval_cycles"), static_cast<double>(intervals[i]));
    const SimulationResult run = simulate(build_pipeline(module, mapped.plan));
    EXPECT_EQ(run.deadlock, "");
    EXPECT_EQ(run.interval, figure(mapped, "interval_cycles"));
  }
}

TEST(DataflowMapper, ChoosesTheCheapestFoldingThatKeepsUp) {
  const Module module = two_convolutions();
  const Device fpga = device();
  DataflowMapper mapper(fpga);
  const ResourcePrices prices(fpga.unit());
  FoldingCosts costs(fpga);
  const IsolatedNode node = costs.isolate(module, node_of(module, "wide"));
  for (const std::int64_t interval : {2592, 1300, 700, 324}) {
    const Folding chosen = mapper.foldings(module, interval).foldings.at(node.id);
    const FoldingCost& cost = costs.of(node, chosen, {1});
    EXPECT_LE(cost.cycles, interval);
    for (const std::int64_t pe : node.space.pe) {
      for (const std::int64_t simd : node.space.simd) {
        const FoldingCost& other = costs.of(node, {pe, simd, false, false}, {1});
        if (other.cycles > interval) continue;
        EXPECT_LE(prices.of(cost.area), prices.of(other.area))
            << "interval " << interval << ": " << pe << " x " << simd;
      }
    }
  }
}

TEST(DataflowMapper, KeepsDeepMemoriesOutOfLogic) {
  register_operators();
  std::string weights;
  for (int i = 0; i < 128 * 64; ++i) weights += i % 3 == 0 ? ",1" : i % 7 == 0 ? ",-1" : ",0";
  const Module module =
      parse_module("tandem-module 1\nconstant @w : int2[128,64] = [" + weights.substr(1) +
                   "]\n"
                   "graph @main(%x : uint2[1,128]) -> (%y) {\n"
                   "  %w = constant @w\n"
                   "  %y : int11[1,64] = IntMatMul(%x, %w) {format = int11} \"dense\"\n"
                   "}\n");
  const Device fpga = device();
  DataflowMapper mapper(fpga);
  // 8192 words of 2 bits at one product per cycle; 64 wide words where 128 are computed at once.
  const NodeId dense = node_of(module, "dense");
  EXPECT_TRUE(mapper.foldings(module, 128 * 64).foldings.at(dense).block_weights);
  EXPECT_FALSE(mapper.foldings(module, 64).foldings.at(dense).block_weights);
}

TEST(DataflowMapper, UsesDspBlocksOnlyWhereAllowed) {
  const Module module = two_convolutions();
  const Device fpga = device();
  DataflowMapper mapper(fpga);
  for (const std::int64_t interval : mapper.intervals(module)) {
    for (const auto& [node, folding] : mapper.foldings(module, interval, false).foldings)
      EXPECT_FALSE(folding.dsp);
    EXPECT_EQ(figure(mapper.map(module, interval, false), "dsps"), 0);
  }
}

TEST(DataflowMapper, CandidatesAreFasterAndFasterWhileTheyFit) {
  const Module module = two_convolutions();
  const Device fpga = device();
  DataflowMapper mapper(fpga);
  const auto candidates = mapper.candidates(module);
  ASSERT_GE(candidates.size(), 4U);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    EXPECT_TRUE(candidates[i].fits);
    if (i == 0) continue;
    EXPECT_LT(figure(candidates[i], "interval_cycles"),
              figure(candidates[i - 1], "interval_cycles"));
  }
  // A device that is full with a little: the smallest plan is left, and said not to fit.
  Device tiny = fpga;
  tiny.units[0].numbers["luts"] = 40;
  DataflowMapper crowded(tiny, {.most_devices = 1000});
  const auto left = crowded.candidates(module);
  ASSERT_FALSE(left.empty());
  EXPECT_FALSE(left.front().fits);
}

TEST(DataflowMapper, RemembersPlansAndCosts) {
  const Device fpga = device();
  DataflowMapper mapper(fpga);
  const Module first = two_convolutions(9), second = two_convolutions(11);
  const auto intervals = mapper.intervals(first);
  std::vector<std::string> before;
  for (const std::int64_t interval : intervals)
    before.push_back(print_plan(first, mapper.map(first, interval).plan));
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    // Another variant keeps its interval with the buffers that are known...
    const MappedDataflow other = mapper.map(second, intervals[i]);
    EXPECT_LE(figure(other, "interval_cycles"), static_cast<double>(intervals[i]));
    // ... and has the foldings that a new mapper finds.
    DataflowMapper fresh(fpga);
    EXPECT_TRUE(mapper.foldings(second, intervals[i]).foldings ==
                fresh.foldings(second, intervals[i]).foldings);
    EXPECT_EQ(print_plan(first, mapper.map(first, intervals[i]).plan), before[i]);
  }
}

TEST(DataflowMapper, NamesEveryNodeThatCannotRun) {
  register_operators();
  const Module module = parse_module(
      "tandem-module 1\n"
      "graph @main(%x : f32[1,4]) -> (%z) {\n"
      "  %y : f32[1,4] = Relu(%x) \"first\"\n"
      "  %z : f32[1,4] = Tanh(%y) \"second\"\n"
      "}\n");
  const Device fpga = device();
  DataflowMapper mapper(fpga);
  try {
    mapper.intervals(module);
    FAIL() << "a network of reals was mapped";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("first"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("second"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("tandem compress"));
  }
}

// The buffers that the mapper keeps are known by the timing of a pipeline alone.
TEST(TimingOf, TellsTimingsApart) {
  const Module module = two_convolutions();
  const auto pipeline = [&](const Module& network, std::int64_t pe) {
    DataflowChoices choices;
    choices.foldings[node_of(network, "wide")].pe = pe;
    return build_pipeline(network, plan_dataflow(network, "", choices));
  };
  Pipeline one = pipeline(module, 1), two = pipeline(module, 2);
  EXPECT_NE(timing_of(one), timing_of(two));
  const Pipeline other = pipeline(two_convolutions(11), 1);
  EXPECT_EQ(timing_of(one), timing_of(other));
  EXPECT_EQ(simulate(one).frame_ends, simulate(other).frame_ends);
  // Capacities are left out.
  const std::string before = timing_of(one);
  size_buffers(one);
  EXPECT_EQ(timing_of(one), before);
}

}  // namespace
}  // namespace tandem
