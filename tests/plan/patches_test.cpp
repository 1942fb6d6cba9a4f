#include "tandem/plan/patches.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/plan/mcu_plan.h"

namespace tandem {
namespace {

Module parsed(const std::string& text) {
  register_operators();
  return parse_module("tandem-module 1\n" + text);
}

// Two 3x3 convolutions over eight rows of four positions, one channel to two to two.
constexpr const char* kTwoConvolutions = R"(constant @v : int4[2,3,3,1] = [
1,2,3,4,5,6,7,-8,1, 2,3,4,5,6,7,-8,1,2]
constant @w : int4[2,3,3,2] = [1,2,3,4,5,6,7,-8,1,2,3,4,5,6,7,-8,1,2,
3,4,5,6,7,-8,1,2,3,4,5,6,7,-8,1,2,3,4]
graph @main(%x : int8[1,8,4,1]) -> (%y) {
  %v = constant @v
  %w = constant @w
  %a : int16[1,8,4,2] = IntConv(%x, %v) {format = int16, pads = [1,1,1,1]} "first"
  %b : int8[1,8,4,2] = Clamp(%a) {format = int8, min = -100, max = 100}
  %c : int16[1,8,4,2] = IntConv(%b, %w) {format = int16, pads = [1,1,1,1]} "second"
  %d : int8[1,8,4,2] = Clamp(%c) {format = int8, min = -100, max = 100}
  %y : int14[1,1,1,2] = IntSum(%d) {format = int14, axes = [1,2]} "sum"
}
)";

ValueId value(const Graph& graph, const std::string& name) {
  for (ValueId v = 0; v < graph.values.size(); ++v)
    if (graph.values[v].name == name) return v;
  ADD_FAILURE() << "no value " << name;
  return kNone;
}

std::size_t buffer_of(const Plan& plan, const std::string& name) {
  for (std::size_t b = 0; b < plan.buffers.size(); ++b)
    if (plan.buffers[b].name == name) return b;
  throw InternalError("no buffer " + name);
}

Plan in_patches(const Module& module, const PatchStage& stage) {
  const McuGroups groups = group_nodes(module, module.main());
  std::vector<std::string> forms;
  for (const std::vector<NodeId>& nodes : groups.groups)
    forms.push_back(module.main().nodes[nodes.front()].op->name() == "IntConv" ? "patch_1"
                                                                               : "reduce");
  return assemble_mcu_plan(module, "board", "core", groups, forms, IoPlace::kArena, stage);
}

TEST(Patches, NeedTheRowsThatTheirWindowsMeet) {
  const Module module = parsed(kTwoConvolutions);
  const Graph& graph = module.main();
  const auto patches = patch_rows(module, graph, group_nodes(module, graph), {0, 1, 3});
  ASSERT_EQ(patches.size(), 3U);
  // Three rows, three rows, and the two that are left.
  EXPECT_EQ(patches[0].held.at(value(graph, "d")), (Rows{0, 3}));
  EXPECT_EQ(patches[0].held.at(value(graph, "b")), (Rows{0, 4}));
  EXPECT_EQ(patches[0].read.at(value(graph, "x")), (Rows{0, 5}));
  EXPECT_EQ(patches[1].held.at(value(graph, "d")), (Rows{3, 6}));
  EXPECT_EQ(patches[1].held.at(value(graph, "b")), (Rows{2, 7}));
  EXPECT_EQ(patches[1].read.at(value(graph, "x")), (Rows{1, 8}));
  EXPECT_EQ(patches[2].held.at(value(graph, "d")), (Rows{6, 8}));
  EXPECT_EQ(patches[2].held.at(value(graph, "b")), (Rows{5, 8}));
  EXPECT_EQ(patches[2].read.at(value(graph, "x")), (Rows{4, 8}));
}

TEST(Patches, ComputeWhatNoEarlierOneHasKept) {
  const Module module = parsed(kTwoConvolutions);
  const Graph& graph = module.main();
  const auto patches =
      patch_rows(module, graph, group_nodes(module, graph), {0, 1, 3, /*keeps_rows=*/true});
  ASSERT_EQ(patches.size(), 3U);
  const ValueId b = value(graph, "b"), x = value(graph, "x");
  EXPECT_EQ(patches[0].computed.at(b), (Rows{0, 4}));
  EXPECT_EQ(patches[0].kept(b).count(), 0);
  EXPECT_EQ(patches[0].read.at(x), (Rows{0, 5}));
  // Rows 2 and 3 are there; rows 4 to 6 take those of x from 3 on.
  EXPECT_EQ(patches[1].held.at(b), (Rows{2, 7}));
  EXPECT_EQ(patches[1].kept(b), (Rows{2, 4}));
  EXPECT_EQ(patches[1].computed.at(b), (Rows{4, 7}));
  EXPECT_EQ(patches[1].read.at(x), (Rows{3, 8}));
  EXPECT_EQ(patches[2].kept(b), (Rows{5, 7}));
  EXPECT_EQ(patches[2].computed.at(b), (Rows{7, 8}));
  EXPECT_EQ(patches[2].read.at(x), (Rows{6, 8}));
}

TEST(Patches, CopyTheRowsThatAreKept) {
  const Module module = parsed(kTwoConvolutions);
  const Plan plan = in_patches(module, {0, 1, 4, /*keeps_rows=*/true});
  EXPECT_EQ(patch_count(plan), 2);
  // Two patches of two convolutions, one copy behind the first reading, one before the second row
  // is computed, and the sum.
  ASSERT_EQ(plan.steps.size(), 7U);
  const Step &keep = plan.steps[2], &restore = plan.steps[3], &second = plan.steps[4];
  for (const Step* step : {&keep, &restore}) {
    EXPECT_EQ(step->kind, StepKind::kMove);
    EXPECT_EQ(rows_of(*step), (Rows{3, 5}));
  }
  // Rows 3 and 4 of the five of the first patch, to the beginning of the second one's; computed are
  // those behind them. Rows of b have eight bytes, of x four.
  EXPECT_EQ(start_of(keep, keep.reads[0]), 3 * 8);
  EXPECT_EQ(start_of(restore, restore.writes[0]), 0);
  EXPECT_EQ(restore.reads, keep.writes);
  EXPECT_EQ(rows_of(second), (Rows{5, 8}));
  EXPECT_EQ(start_of(second, restore.writes[0]), 2 * 8);
  EXPECT_EQ(start_of(second, buffer_of(plan, "x")), 4 * 4);
  EXPECT_EQ(plan.buffers[restore.writes[0]].bytes, 5 * 8);
  EXPECT_EQ(plan.buffers[keep.writes[0]].bytes, 2 * 8);
}

TEST(Patches, OnlyChainsThatNobodyElseReadsAreStages) {
  const Module module = parsed(kTwoConvolutions);
  const Graph& graph = module.main();
  const McuGroups groups = group_nodes(module, graph);
  EXPECT_TRUE(is_stage(module, graph, groups, 0, 1));
  EXPECT_TRUE(is_stage(module, graph, groups, 1, 1));
  EXPECT_FALSE(is_stage(module, graph, groups, 0, 2)) << "a sum over all rows";
  EXPECT_FALSE(is_stage(module, graph, groups, 0, 3)) << "there is no such group";
  std::string kept = kTwoConvolutions;
  kept.replace(kept.find("-> (%y)"), 7, "-> (%b, %y)");
  const Module with_output = parsed(kept);
  const McuGroups other = group_nodes(with_output, with_output.main());
  EXPECT_FALSE(is_stage(with_output, with_output.main(), other, 0, 1)) << "b is an output";
}

TEST(Patches, GroupsThatTouchStatesAreInNoStage) {
  const Module module = parsed(R"(constant @w : int4[1,3,3,1] = [1,2,3,4,5,6,7,-8,1]
constant @start : int8[1,4,2,1] = [0,0,0,0,0,0,0,0]
state @read : int8[1,4,2,1] = @start stream
state @written : int8[1,4,2,1] = @start stream
graph @main(%x : int8[1,4,2,1]) -> (%y) updates(@written = %b, @read = %x) {
  %w = constant @w
  %old = state @read
  %a : int16[1,4,2,1] = IntConv(%x, %w) {format = int16, pads = [1,1,1,1]}
  %b : int8[1,4,2,1] = Clamp(%a) {format = int8, min = -100, max = 100}
  %c : int16[1,4,2,1] = IntConv(%b, %w) {format = int16, pads = [1,1,1,1]}
  %d : int17[1,4,2,1] = IntAdd(%c, %old) {format = int17}
  %e : int8[1,4,2,1] = Clamp(%d) {format = int8, min = -100, max = 100}
  %y : int16[1,4,2,1] = IntConv(%e, %w) {format = int16, pads = [1,1,1,1]}
}
)");
  const Graph& graph = module.main();
  const McuGroups groups = group_nodes(module, graph);
  ASSERT_EQ(groups.groups.size(), 3U);
  EXPECT_FALSE(is_stage(module, graph, groups, 0, 0)) << "b updates a state";
  EXPECT_FALSE(is_stage(module, graph, groups, 1, 1)) << "d reads a state";
  EXPECT_FALSE(is_stage(module, graph, groups, 1, 2));
  EXPECT_TRUE(is_stage(module, graph, groups, 2, 2));
}

TEST(Patches, ABranchThatIsReadAtTwoRangesOfRowsIsNoStageByItself) {
  const Module module = parsed(R"(constant @w : int4[1,3,3,1] = [1,2,3,4,5,6,7,-8,1]
graph @main(%x : int8[1,8,4,1]) -> (%y) {
  %w = constant @w
  %c : int16[1,8,4,1] = IntConv(%x, %w) {format = int16, pads = [1,1,1,1]}
  %y : int17[1,8,4,1] = IntAdd(%c, %x) {format = int17}
}
)");
  const McuGroups groups = group_nodes(module, module.main());
  ASSERT_EQ(groups.groups.size(), 1U);
  EXPECT_FALSE(is_stage(module, module.main(), groups, 0, 0));
}

TEST(Patches, ShareConstantsAndPrograms) {
  const Module module = parsed(kTwoConvolutions);
  const Plan plan = in_patches(module, {0, 1, 2});
  ASSERT_EQ(plan.steps.size(), 9U);
  EXPECT_EQ(patch_count(plan), 4);
  EXPECT_EQ(rows_of(plan.steps[2]), (Rows{1, 5}));
  EXPECT_EQ(rows_of(plan.steps[3]), (Rows{2, 4}));
  EXPECT_FALSE(rows_of(plan.steps[8]));
  // The second and third patch are alike; the first and the last are padded.
  const SharedPrograms shared = step_functions(module, plan).shared;
  std::vector<std::size_t> first_users;
  for (const StepCall& call : shared.calls)
    first_users.push_back(shared.users[call.function].front());
  EXPECT_EQ(first_users, (std::vector<std::size_t>{0, 1, 2, 3, 2, 3, 6, 7, 8}));
  // Calls hand over the rows that are read and written, and scratch, but no weights.
  EXPECT_EQ(shared.passed[shared.calls[2].function].size(),
            step_programs(module, plan)[2].arrays.size() - 1);
  EXPECT_TRUE(shared.calls[2].arguments.empty());
  std::set<std::size_t> weights;
  for (const Step& step : plan.steps)
    for (const std::size_t read : step.reads)
      if (plan.buffers[read].role == BufferRole::kWeights) weights.insert(read);
  EXPECT_EQ(weights.size(), 2U);
  EXPECT_EQ(plan.peak_bytes.at("flash"), in_patches(module, {}).peak_bytes.at("flash"));
  // Row 2 of x has eight bytes before it, row 4 of d 32.
  EXPECT_EQ(start_of(plan.steps[4], buffer_of(plan, "x")), 8);
  EXPECT_EQ(start_of(plan.steps[5], buffer_of(plan, "d")), 32);
}

TEST(Patches, WriteOverTheInputThatIsRead) {
  const Module module = parsed(kTwoConvolutions);
  const Plan plan = in_patches(module, {0, 1, 2});
  const std::size_t x = buffer_of(plan, "x"), d = buffer_of(plan, "d");
  // When six rows of d (eight bytes each) are written, the last patch reads x from row 4 on (four
  // bytes each): x lies 48 - 16 bytes behind, and both take the 64 bytes of d.
  EXPECT_EQ(plan.buffers[x].offset - plan.buffers[d].offset, 32);
  // Beside them four rows of b, and the scratch arrays of a window: nine bytes, and eighteen less
  // what they share with b.
  const std::int64_t rows = 4 * 8;
  EXPECT_GE(plan.peak_bytes.at("sram"), 64 + rows);
  EXPECT_LE(plan.peak_bytes.at("sram"), 64 + rows + 18);
}

}  // namespace
}  // namespace tandem
