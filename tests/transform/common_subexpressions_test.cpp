#include "tandem/transform/common_subexpressions.h"

#include <gtest/gtest.h>

#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"
#include "tandem/transform/lower.h"

#include "tests/support/networks.h"
#include "tests/support/random_module.h"

namespace tandem {
namespace {

using test::NetworkMaker;
using test::relative_difference;

class CommonSubexpressions : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

std::string merged(const std::string& text) {
  Module module = parse_module(text);
  merge_common_subexpressions(module);
  verify(module);
  return print_module(module);
}

// With the names that the parser gives to nodes.
std::string complete(const std::string& text) { return print_module(parse_module(text)); }

TEST_F(CommonSubexpressions, ChainsOfEqualNodesBecomeOne) {
  EXPECT_EQ(merged(R"(tandem-module 1
constant @k : f32[2] = [1,-2]
constant @l : f32[2] = [1,-2]
graph @main(%x : f32[2]) -> (%y) {
  %k = constant @k
  %l = constant @l
  %a : f32[2] = Relu(%x)
  %b : f32[2] = Mul(%a, %k)
  %c : f32[2] = Relu(%x)
  %d : f32[2] = Mul(%c, %l)
  %y : f32[2] = Sub(%b, %d)
}
)"),
            complete(R"(tandem-module 1
constant @k : f32[2] = [1,-2]
graph @main(%x : f32[2]) -> (%y) {
  %k = constant @k
  %a : f32[2] = Relu(%x)
  %b : f32[2] = Mul(%a, %k)
  %y : f32[2] = Sub(%b, %b)
}
)"));
}

TEST_F(CommonSubexpressions, WhatDiffersInAnyBitStays) {
  const std::string text = R"(tandem-module 1
constant @k : f32[1] = [0]
constant @l : f32[1] = [-0]
graph @main(%x : f32[1], %z : f32[1]) -> (%a, %b, %c, %d, %e, %f) {
  %k = constant @k
  %l = constant @l
  %a : f32[1] = Mul(%x, %k)
  %b : f32[1] = Mul(%x, %l)
  %c : f32[1] = Min(%x, %z)
  %d : f32[1] = Min(%z, %x)
  %e : f32[1] = LeakyRelu(%x) {alpha = 0.25}
  %f : f32[1] = LeakyRelu(%x) {alpha = 0.5}
}
)";
  EXPECT_EQ(merged(text), complete(text));
}

TEST_F(CommonSubexpressions, OperandsOfAnIntegerSumHaveNoOrder) {
  const std::string text = merged(R"(tandem-module 1
graph @main(%x : int8[2], %y : int8[2]) -> (%d) {
  %a : int9[2] = IntAdd(%x, %y) {format = int9}
  %b : int9[2] = IntAdd(%y, %x) {format = int9}
  %c : int9[2] = IntSub(%y, %x) {format = int9}
  %e : int10[2] = IntAdd(%a, %b) {format = int10}
  %d : int11[2] = IntAdd(%c, %e) {format = int11}
}
)");
  EXPECT_EQ(text, complete(R"(tandem-module 1
graph @main(%x : int8[2], %y : int8[2]) -> (%d) {
  %a : int9[2] = IntAdd(%x, %y) {format = int9}
  %c : int9[2] = IntSub(%y, %x) {format = int9}
  %e : int10[2] = IntAdd(%a, %a) {format = int10}
  %d : int11[2] = IntAdd(%c, %e) {format = int11}
}
)"));
}

TEST_F(CommonSubexpressions, OutputsKeepTheirNames) {
  // %c takes the place of %a, since its name is that of an output; %e and %f are two outputs.
  EXPECT_EQ(merged(R"(tandem-module 1
graph @main(%x : f32[1]) -> (%c, %e, %f) {
  %a : f32[1] = Relu(%x)
  %b : f32[1] = Neg(%a)
  %c : f32[1] = Relu(%x)
  %e : f32[1] = Abs(%b)
  %f : f32[1] = Abs(%b)
}
)"),
            complete(R"(tandem-module 1
graph @main(%x : f32[1]) -> (%c, %e, %f) {
  %c : f32[1] = Relu(%x) "a"
  %b : f32[1] = Neg(%c)
  %e : f32[1] = Abs(%b)
  %f : f32[1] = Abs(%b)
}
)"));
}

// The same node on the same inputs, judged pair by pair.
bool are_twins(const Module& module, const Graph& graph, const Node& a, const Node& b) {
  if (a.op != b.op || a.attributes != b.attributes || a.inputs.size() != b.inputs.size())
    return false;
  for (std::size_t i = 0; i < a.inputs.size(); ++i) {
    const Tensor* left = constant_of(module, graph, a.inputs[i]);
    const Tensor* right = constant_of(module, graph, b.inputs[i]);
    const bool alike = left != nullptr && right != nullptr && *left == *right;
    if (a.inputs[i] != b.inputs[i] && !alike) return false;
  }
  return true;
}

// Pairs of twins of which at least one is no output.
int twins_in(const Module& module) {
  const Graph& graph = module.main();
  const auto is_output = [&](const Node& node) {
    return std::find_first_of(node.outputs.begin(), node.outputs.end(), graph.outputs.begin(),
                              graph.outputs.end()) != node.outputs.end();
  };
  int twins = 0;
  for (const Node& a : graph.nodes)
    for (const Node& b : graph.nodes)
      twins += &a < &b && are_twins(module, graph, a, b) && !(is_output(a) && is_output(b));
  return twins;
}

// The module with a twin of every node, and every second reader reading the twin.
Module doubled(const Module& module) {
  Module result = module;
  Graph& graph = result.main();
  const std::vector<Node> nodes = std::move(graph.nodes);
  graph.nodes.clear();
  std::map<ValueId, ValueId> twin_of;
  int readers = 0;
  for (Node node : nodes) {
    for (ValueId& input : node.inputs)
      if (twin_of.contains(input) && ++readers % 2 == 0) input = twin_of.at(input);
    Node twin = node;
    twin.name += "_twin";
    for (ValueId& output : twin.outputs) {
      Value value = graph.values[output];
      value.name += "_twin";
      value.producer = graph.nodes.size() + 1;
      twin_of[output] = graph.values.size();
      graph.values[output].producer = graph.nodes.size();
      graph.values.push_back(std::move(value));
      output = graph.values.size() - 1;
    }
    graph.nodes.push_back(std::move(node));
    graph.nodes.push_back(std::move(twin));
  }
  return result;
}

TEST_F(CommonSubexpressions, RandomModulesOfTwinsBecomeWhatTheyWere) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const Module module = random_lowered_module(seed);
    Module plain = module, merged = doubled(module);
    verify(merged);
    ASSERT_GT(twins_in(merged), 0);
    merge_common_subexpressions(plain);
    merge_common_subexpressions(merged);
    verify(merged);
    ASSERT_EQ(twins_in(merged), 0) << print_module(merged);
    ASSERT_EQ(merged.main().nodes.size(), plain.main().nodes.size());
    for (const std::vector<Tensor>& inputs : random_inputs(module, seed, 4)) {
      ASSERT_EQ(evaluate(merged, merged.main(), inputs), evaluate(module, module.main(), inputs))
          << print_module(module);
    }
  }
}

// As exporters write residual networks: the activation once for each branch.
TEST_F(CommonSubexpressions, BranchesOfResidualNetworksShareTheirActivation) {
  NetworkMaker maker;
  const ValueId x = maker.conv("stem", maker.input("x", {3, 6, 6}), 4, 3);
  const ValueId main = maker.conv("main", maker.unary("Relu", "relu", x), 4, 3);
  const ValueId shortcut = maker.conv("shortcut", maker.unary("Relu", "again", x), 4, 1);
  const Module network = maker.finish(maker.add("sum", main, shortcut));
  Module merged = network;
  merge_common_subexpressions(merged);
  verify(merged);
  EXPECT_EQ(merged.main().nodes.size(), network.main().nodes.size() - 1);
  EXPECT_EQ(relative_difference(network, merged, maker.random({2, 3, 6, 6})), 0);
}

TEST_F(CommonSubexpressions, ConvolutionsOfOneValueShareItsTranspose) {
  const Module lowered = lower(parse_module(R"(tandem-module 1
constant @s : f32[] = [0.5]
constant @a : int2[2,2,1,1] = [1,-1,0,1]
constant @b : int2[2,2,1,1] = [0,1,1,-1]
graph @main(%x : f32[1,2,3,3]) -> (%y) {
  %s = constant @s
  %a = constant @a
  %b = constant @b
  %q : int8[1,2,3,3] = Quantize(%x, %s) {format = int8}
  %r : f32[1,2,3,3] = Dequantize(%q, %s)
  %v : f32[2,2,1,1] = Dequantize(%a, %s)
  %w : f32[2,2,1,1] = Dequantize(%b, %s)
  %m : f32[1,2,3,3] = Conv(%r, %v)
  %n : f32[1,2,3,3] = Conv(%r, %w)
  %y : f32[1,2,3,3] = Sub(%m, %n)
}
)"));
  EXPECT_EQ(twins_in(lowered), 0) << print_module(lowered);
  int transposes = 0;
  for (const Node& node : lowered.main().nodes) transposes += node.op->name() == "Transpose";
  EXPECT_EQ(transposes, 2) << "one of the input and one of the output\n" << print_module(lowered);
}

}  // namespace
}  // namespace tandem
