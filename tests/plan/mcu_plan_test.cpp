#include "tandem/plan/mcu_plan.h"

#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

// The plan of a module's "main" in the plainest forms, or in `form` for convolutions.
Plan planned(const std::string& text, const std::string& form = "", IoPlace io = IoPlace::kCaller) {
  register_operators();
  const Module module = parse_module("tandem-module 1\n" + text);
  const Graph& graph = module.main();
  const McuGroups groups = group_nodes(module, graph);
  std::vector<std::string> forms;
  for (const std::vector<NodeId>& nodes : groups.groups) {
    const bool given = !form.empty() && graph.nodes[nodes.front()].op->name() == "IntConv";
    forms.push_back(given ? form : kernel_forms(module, graph, groups.base_of, nodes).front());
  }
  return assemble_mcu_plan(module, "board", "core", groups, forms, io);
}

const Buffer& buffer(const Plan& plan, const std::string& name) {
  for (const Buffer& buffer : plan.buffers)
    if (buffer.name == name) return buffer;
  throw InternalError("no buffer " + name);
}

TEST(McuPlan, AResidualBlockWritesItsSumOverTheValueItSkips) {
  const Plan plan = planned(R"(constant @w : int4[2,1,1,2] = [1,2,3,-4]
graph @main(%x : int8[1,10,10,2]) -> (%y) {
  %w = constant @w
  %i : int10[1,10,10,2] = IntAdd(%x, %x) {format = int10}
  %skip : int8[1,10,10,2] = Clamp(%i) {format = int8, min = -100, max = 100}
  %c : int13[1,10,10,2] = IntConv(%skip, %w) {format = int13}
  %inner : int8[1,10,10,2] = Clamp(%c) {format = int8, min = -100, max = 100}
  %d : int13[1,10,10,2] = IntConv(%inner, %w) {format = int13}
  %s : int14[1,10,10,2] = IntAdd(%d, %skip) {format = int14}
  %t : int8[1,10,10,2] = Clamp(%s) {format = int8, min = -100, max = 100}
  %y : int13[1,10,10,2] = IntConv(%t, %w) {format = int13}
}
)");
  EXPECT_EQ(plan.steps.size(), 4U);
  EXPECT_EQ(buffer(plan, "t").offset, buffer(plan, "skip").offset);
  EXPECT_EQ(plan.peak_bytes.at("sram"), 2 * 200);
  EXPECT_EQ(plan.bound_bytes.at("sram"), 2 * 200);
}

TEST(McuPlan, ADepthwiseConvolutionSlidesOverItsInput) {
  const std::string text = R"(constant @w : int4[4,3,3,1] = [
1,2,3,4,5,6,7,-8,1,2,3,4,5,6,7,-8,1,2,3,4,5,6,7,-8,1,2,3,4,5,6,7,-8,1,2,3,4]
graph @main(%x : int8[1,10,10,4]) -> (%y) {
  %w = constant @w
  %i : int10[1,10,10,4] = IntAdd(%x, %x) {format = int10}
  %from : int8[1,10,10,4] = Clamp(%i) {format = int8, min = -100, max = 100}
  %d : int16[1,10,10,4] = IntConv(%from, %w) {format = int16, group = 4, pads = [1,1,1,1]}
  %to : int8[1,10,10,4] = Clamp(%d) {format = int8, min = -100, max = 100}
  %y : int15[1,1,1,4] = IntSum(%to) {axes = [1,2], format = int15}
}
)";
  const Plan plan = planned(text, "patch_1");
  // When the window of row r, column c is gathered, (10 r + c) positions are written and the window
  // starts at row r - 1, column c - 1; the patch holds nine positions.
  EXPECT_EQ(buffer(plan, "from").offset - buffer(plan, "to").offset, 11 * 4);
  EXPECT_EQ(plan.peak_bytes.at("sram"), 11 * 4 + 400 + 9 * 4);
  // The padded copy takes the place of the input, whose last row is read when ten rows and eleven
  // positions are written; the result lies over both.
  const std::int64_t behind = (10 * 12 + 11) * 4 - 9 * 10 * 4;
  EXPECT_EQ(planned(text, "padded_1").peak_bytes.at("sram"),
            std::max<std::int64_t>(12 * 12 * 4, behind + 400));
}

TEST(McuPlan, InputsAndOutputsInTheArenaLiveOnlyAsLongAsTheyAreNeeded) {
  const std::string text = R"(constant @w : int4[8,4] = [
1,2,3,4,5,6,7,-8,1,2,3,4,5,6,7,-8,1,2,3,4,5,6,7,-8,1,2,3,4,5,6,7,-8]
graph @main(%x : int8[1,8], %late : int8[1,4]) -> (%h, %y) {
  %w = constant @w
  %m : int14[1,4] = IntMatMul(%x, %w) {format = int14} "fc"
  %h : int8[1,4] = Clamp(%m) {format = int8, min = -100, max = 100} "narrow"
  %y : int9[1,4] = IntAdd(%h, %late) {format = int9} "sum"
}
)";
  const Plan arena = planned(text, "", IoPlace::kArena);
  EXPECT_EQ(buffer(arena, "x").first_step, 0U);
  EXPECT_EQ(buffer(arena, "x").last_step, 0U);
  EXPECT_EQ(buffer(arena, "late").last_step, 1U);
  EXPECT_EQ(buffer(arena, "h").last_step, 1U);
  // An output that the last step reads is not overwritten by it, an input is: y's two bytes per
  // element need four bytes more than "late" has, at most.
  const Buffer &h = buffer(arena, "h"), &y = buffer(arena, "y");
  EXPECT_TRUE(h.offset + h.bytes <= y.offset || y.offset + y.bytes <= h.offset);
  // late, x behind the three results that are written before the last column reads it, and a byte
  // that aligns the arena.
  EXPECT_EQ(arena.peak_bytes.at("sram"), 8 + 4 + 3 + 1);
  EXPECT_EQ(planned(text).peak_bytes.at("sram"), 0);
}

TEST(McuPlan, RunsOneBranchToItsEndBeforeItStartsAnother) {
  // Each branch widens ten values to forty before it sums them up; as listed, both wide values
  // would be there at once.
  const Plan plan = planned(R"(constant @w : int4[1,4] = [1,2,3,4]
graph @main(%x : int8[1,10,1]) -> (%y) {
  %w = constant @w
  %r : int8[1,10,1] = Clamp(%x) {format = int8, min = -100, max = 100} "in"
  %m : int12[1,10,4] = IntMatMul(%r, %w) {format = int12} "wide_a"
  %a : int8[1,10,4] = Clamp(%m) {format = int8, min = -100, max = 100} "narrow_a"
  %n : int12[1,10,4] = IntMatMul(%r, %w) {format = int12} "wide_b"
  %b : int8[1,10,4] = Clamp(%n) {format = int8, min = -100, max = 100} "narrow_b"
  %p : int16[1,1,1] = IntSum(%a) {axes = [1,2], format = int16} "sum_a"
  %q : int16[1,1,1] = IntSum(%b) {axes = [1,2], format = int16} "sum_b"
  %y : int17[1,1,1] = IntAdd(%p, %q) {format = int17} "join"
}
)");
  EXPECT_EQ(plan.order.find("for the least peak"), 0U) << plan.order;
  EXPECT_EQ(plan.peak_bytes.at("sram"), 10 + 40);
}

}  // namespace
}  // namespace tandem
