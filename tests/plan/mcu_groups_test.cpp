#include "tandem/plan/mcu_groups.h"

#include <gtest/gtest.h>

#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/plan/mcu_plan.h"

namespace tandem {
namespace {

// The groups by the names of their nodes: "conv up; skip | pool".
std::string groups_text(const std::string& body) {
  register_operators();
  const Module module = parse_module(R"(tandem-module 1
constant @w : int4[2,1,1,2] = [1,2,3,-4]
constant @m : int32[1] = [77]
constant @b : int8[1] = [5]
constant @s : uint6[1] = [5]
graph @main(%x : int8[1,2,3,2], %u : int8[1,2,3,2]) )" +
                                     body + "\n}\n");
  const Graph& graph = module.main();
  std::string text;
  for (const std::vector<NodeId>& group : group_nodes(module, graph).groups) {
    if (!text.empty()) text += " | ";
    for (std::size_t i = 0; i < group.size(); ++i)
      text += (i == 0 ? "" : " ") + graph.nodes[group[i]].name;
  }
  return text;
}

constexpr const char* kConstants = R"(
  %w = constant @w
  %m = constant @m
  %b = constant @b
  %s = constant @s
)";

TEST(McuGroups, ComputeTheOtherOperandFromTheValueThatIsStored) {
  // A residual block as TensorFlow Lite adds: both operands are rescaled to wide codes first.
  const std::string text = groups_text(std::string("-> (%y) {") + kConstants + R"(
  %c : int13[1,2,3,2] = IntConv(%x, %w) {format = int13} "conv"
  %n : int8[1,2,3,2] = Rescale(%c, %m, %b, %s) {format = int8} "narrow"
  %p : int20[1,2,3,2] = Rescale(%n, %m, %b, %s) {format = int20} "left"
  %q : int20[1,2,3,2] = Rescale(%u, %m, %b, %s) {format = int20} "right"
  %t : int21[1,2,3,2] = IntAdd(%p, %q) {format = int21} "add"
  %y : int8[1,2,3,2] = Rescale(%t, %m, %b, %s) {format = int8} "last")");
  EXPECT_EQ(text, "conv narrow left right add last");
}

TEST(McuGroups, StoreTheNarrowestValueOfAnotherLayersChain) {
  // Both operands come from convolutions: the second one stores 8 bits, not 20.
  const std::string text = groups_text(std::string("-> (%y) {") + kConstants + R"(
  %c : int13[1,2,3,2] = IntConv(%x, %w) {format = int13} "conv"
  %p : int20[1,2,3,2] = Rescale(%c, %m, %b, %s) {format = int20} "left"
  %d : int13[1,2,3,2] = IntConv(%u, %w) {format = int13} "other"
  %n : int8[1,2,3,2] = Rescale(%d, %m, %b, %s) {format = int8} "narrow"
  %q : int20[1,2,3,2] = Rescale(%n, %m, %b, %s) {format = int20} "right"
  %y : int21[1,2,3,2] = IntAdd(%p, %q) {format = int21} "add")");
  EXPECT_EQ(text, "other narrow | conv left right add");
}

TEST(McuGroups, KeepAnOperandThatOthersRead) {
  const std::string text = groups_text(std::string("-> (%y, %q) {") + kConstants + R"(
  %c : int13[1,2,3,2] = IntConv(%x, %w) {format = int13} "conv"
  %q : int20[1,2,3,2] = Rescale(%u, %m, %b, %s) {format = int20} "right"
  %y : int21[1,2,3,2] = IntAdd(%c, %q) {format = int21} "add")");
  EXPECT_EQ(text, "right | conv add");
}

TEST(McuGroups, KeepAChainThatStoresFewerBytesThanItReads) {
  const std::string text = groups_text(std::string("-> (%y, %v) {") + kConstants + R"(
  %v : int20[1,2,3,2] = IntConv(%u, %w) {format = int20} "wide"
  %c : int13[1,2,3,2] = IntConv(%x, %w) {format = int13} "conv"
  %q : int8[1,2,3,2] = Rescale(%v, %m, %b, %s) {format = int8} "right"
  %y : int21[1,2,3,2] = IntAdd(%c, %q) {format = int21} "add")");
  EXPECT_EQ(text, "wide | right | conv add");
}

TEST(McuGroups, KeepAnOperandThatIsBroadcast) {
  const std::string text = groups_text(std::string("-> (%y) {") + kConstants + R"(
  %c : int13[1,2,3,2] = IntConv(%x, %w) {format = int13} "conv"
  %r : int11[1,1,1,2] = IntSum(%u) {axes = [1,2], format = int11} "sum"
  %q : int20[1,1,1,2] = Rescale(%r, %m, %b, %s) {format = int20} "right"
  %y : int21[1,2,3,2] = IntAdd(%c, %q) {format = int21} "add")");
  EXPECT_EQ(text, "sum right | conv add");
}

}  // namespace
}  // namespace tandem
