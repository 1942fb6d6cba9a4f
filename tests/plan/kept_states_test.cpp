#include "tandem/plan/kept_states.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/plan/mcu_plan.h"

namespace tandem {
namespace {

// What the plan of "main" does with its states, step by step: "step 2 writes ring", "step 5 copies
// x to ring".
struct Planned {
  Module module;
  Plan plan;
  std::vector<std::string> writes;
};

Planned plan_of(const std::string& text) {
  register_operators();
  Planned result{parse_module("tandem-module 1\n" + text), {}, {}};
  const Graph& graph = result.module.main();
  const McuGroups groups = group_nodes(result.module, graph);
  std::vector<std::string> forms;
  for (const std::vector<NodeId>& nodes : groups.groups)
    forms.push_back(kernel_forms(result.module, graph, groups.base_of, nodes).front());
  result.plan = assemble_mcu_plan(result.module, "board", "core", groups, forms);
  for (const Step& step : result.plan.steps) {
    for (const std::size_t write : step.writes) {
      const Buffer& buffer = result.plan.buffers[write];
      if (buffer.role != BufferRole::kState) continue;
      const auto old = std::ranges::find_if(result.plan.buffers, [&](const Buffer& other) {
        return other.role == BufferRole::kState && other.offset == buffer.offset;
      });
      const bool copies = step.kind == StepKind::kMove;
      result.writes.push_back(
          concat(copies ? concat("copies ", result.plan.buffers[step.reads[0]].name, " to ")
                        : std::string("writes "),
                 old->name));
    }
  }
  return result;
}

using testing::ElementsAre;

constexpr const char* kRing = R"(constant @start : int8[1,4,2] = [1,2,3,4,5,6,7,8]
state @ring : int8[1,4,2] = @start stream
)";

TEST(KeptStates, ARingOfFramesIsWrittenInPlace) {
  const Planned p = plan_of(std::string(kRing) + R"(
graph @main(%x : int8[1,1,2]) -> (%y) updates(@ring = %next) {
  %ring = state @ring
  %window : int8[1,5,2] = Concat(%ring, %x) {axis = 1}
  %next : int8[1,4,2] = Slice(%window) {starts = [1], ends = [5], axes = [1], steps = [1]}
  %y : int11[1,1,2] = IntSum(%window) {format = int11, axes = [1]}
}
)");
  EXPECT_THAT(p.writes, ElementsAre("writes ring"));
  // The window and the sum at most; the state lies apart, with the byte that says that it is set.
  EXPECT_LE(p.plan.peak_bytes.at("sram"), 10 + 4);
  EXPECT_EQ(state_bytes(p.plan), 8 + 1);
  EXPECT_EQ(p.plan.peak_bytes.at("flash"), 8);  // the initial value
}

TEST(KeptStates, EqualInitialElementsTakeNoFlash) {
  const Planned p = plan_of(R"(constant @start : int16[1,3] = [-7,-7,-7]
state @sum : int16[1,3] = @start stream
graph @main(%x : int8[1,3]) -> (%y) updates(@sum = %next) {
  %sum = state @sum
  %s : int17[1,3] = IntAdd(%sum, %x) {format = int17}
  %next : int16[1,3] = Clamp(%s) {format = int16, min = -32768, max = 32767}
  %y : int8[1,3] = Clamp(%next) {format = int8, min = -128, max = 127}
}
)");
  EXPECT_THAT(p.writes, ElementsAre("writes sum"));  // element by element over itself
  EXPECT_EQ(p.plan.peak_bytes.at("flash"), 0);
  EXPECT_EQ(state_bytes(p.plan), 8);  // 6, the flag, and the alignment
}

// The old value is read once more behind the step that computes the new one.
TEST(KeptStates, AStateThatIsReadLaterIsCopiedAtTheEnd) {
  const Planned p = plan_of(std::string(kRing) + R"(
graph @main(%x : int8[1,4,2]) -> (%y) updates(@ring = %next) {
  %ring = state @ring
  %s : int9[1,4,2] = IntAdd(%ring, %x) {format = int9}
  %next : int8[1,4,2] = Clamp(%s) {format = int8, min = -128, max = 127}
  %m : int11[1,1,2] = IntSum(%next) {format = int11, axes = [1]}
  %y : int12[1,4,2] = IntAdd(%ring, %m) {format = int12}
}
)");
  EXPECT_THAT(p.writes, ElementsAre("copies next to ring"));
  EXPECT_EQ(p.plan.steps.back().kind, StepKind::kMove);
}

// Reversed in place, the second half would be read after it was overwritten.
TEST(KeptStates, AStepThatReadsWhatItHasOverwrittenDoesNotWriteInPlace) {
  const Planned p = plan_of(std::string(kRing) + R"(
graph @main(%x : int8[1,1,2]) -> (%y) updates(@ring = %next) {
  %ring = state @ring
  %next : int8[1,4,2] = Slice(%ring) {starts = [-1], ends = [-9], axes = [1], steps = [-1]}
  %y : int9[1,1,2] = IntAdd(%x, %x) {format = int9}
}
)");
  EXPECT_THAT(p.writes, ElementsAre("copies next to ring"));
}

TEST(KeptStates, AnOutputThatUpdatesAStateIsCopied) {
  const Planned p = plan_of(std::string(kRing) + R"(
graph @main(%x : int8[1,4,2]) -> (%next) updates(@ring = %next) {
  %ring = state @ring
  %next : int8[1,4,2] = IntMax(%ring, %x) {format = int8}
}
)");
  EXPECT_THAT(p.writes, ElementsAre("copies next to ring"));
}

constexpr const char* kThree = R"(constant @start : int8[1,2] = [1,2]
state @a : int8[1,2] = @start stream
state @b : int8[1,2] = @start stream
state @c : int8[1,2] = @start stream
)";

TEST(KeptStates, AChainOfStatesIsCopiedFromItsEnd) {
  const Planned p = plan_of(std::string(kThree) + R"(
graph @main(%x : int8[1,2]) -> (%y) updates(@a = %x, @b = %a, @c = %b) {
  %a = state @a
  %b = state @b
  %c = state @c
  %y : int9[1,2] = IntAdd(%c, %x) {format = int9}
}
)");
  EXPECT_THAT(p.writes, ElementsAre("copies b to c", "copies a to b", "copies x to a"));
  EXPECT_EQ(p.plan.peak_bytes.at("sram"), 2 + 4);  // nothing is set aside
}

TEST(KeptStates, StatesThatExchangeTheirValuesSetOneAside) {
  const Planned p = plan_of(std::string(kThree) + R"(
graph @main(%x : int8[1,2]) -> (%y) updates(@a = %b, @b = %c, @c = %a) {
  %a = state @a
  %b = state @b
  %c = state @c
  %s : int9[1,2] = IntAdd(%c, %x) {format = int9}
  %t : int10[1,2] = IntAdd(%s, %b) {format = int10}
  %y : int11[1,2] = IntAdd(%t, %a) {format = int11}
}
)");
  EXPECT_EQ(p.writes.size(), 3U);
  EXPECT_EQ(p.plan.steps.size(), 1U + 4U);
}

TEST(KeptStates, TheSmallestOrderKeepsReadersBeforeTheWriter) {
  // The writer could run first by its operands; it must not before the other reader has.
  const Planned p = plan_of(std::string(kRing) + R"(
graph @main(%x : int8[1,4,2]) -> (%y, %z) updates(@ring = %next) {
  %ring = state @ring
  %wide : int20[1,4,2] = IntMul(%ring, %ring) {format = int20}
  %y : int22[1,1,2] = IntSum(%wide) {format = int22, axes = [1]}
  %next : int8[1,4,2] = IntMax(%ring, %x) {format = int8}
  %z : int11[1,1,2] = IntSum(%next) {format = int11, axes = [1]}
}
)");
  EXPECT_THAT(p.writes, ElementsAre("writes ring"));
  bool written = false;
  for (const Step& step : p.plan.steps) {
    const auto is_old = [&](std::size_t read) { return p.plan.buffers[read].name == "ring"; };
    const bool writes = std::ranges::any_of(step.writes, [&](std::size_t write) {
      return p.plan.buffers[write].role == BufferRole::kState;
    });
    if (!writes) {
      EXPECT_FALSE(written && std::ranges::any_of(step.reads, is_old));
    }
    written = written || writes;
  }
}

TEST(KeptStates, StatesOfOtherLifetimesAreNamed) {
  register_operators();
  const Module module = parse_module(R"(tandem-module 1
constant @start : int8[1,2] = [1,2]
state @learned : int8[1,2] = @start model
graph @main(%x : int8[1,2]) -> (%y) updates(@learned = %x) {
  %learned = state @learned
  %y : int9[1,2] = IntAdd(%learned, %x) {format = int9}
}
)");
  const std::vector<Issue> issues = sequential_issues(module, module.main());
  ASSERT_EQ(issues.size(), 1U);
  EXPECT_EQ(issues[0].node, "learned");
  EXPECT_THAT(issues[0].reason, testing::HasSubstr("it lives as long as a model"));
}

}  // namespace
}  // namespace tandem
