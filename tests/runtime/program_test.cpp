#include "tandem/runtime/program.h"

#include <gtest/gtest.h>

#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/registry.h"
#include "tandem/kernels/instruction_set.h"
#include "tandem/ops/integer.h"
#include "tandem/ops/register.h"
#include "tandem/runtime/host_plan.h"

#include "tests/support/random_module.h"

namespace tandem {
namespace {

// What a plan with these options computes for one sample.
std::vector<Tensor> run(const Module& module, const std::vector<Tensor>& inputs,
                        const HostPlanOptions& options = {}) {
  const Graph& graph = module.main();
  const Program program(module, plan_host(module, options));
  Program::Workspace workspace = program.workspace();
  std::vector<const std::byte*> from;
  for (const Tensor& input : inputs) from.push_back(input.bytes().data());
  std::vector<Tensor> outputs;
  for (const ValueId output : graph.outputs) {
    const TensorType& type = graph.values[output].type;
    outputs.emplace_back(type.format, type.static_shape());
  }
  std::vector<std::byte*> to;
  for (Tensor& output : outputs) to.push_back(output.mutable_bytes().data());
  program.run(from, to, workspace);
  return outputs;
}

void expect_reference(const Module& module, std::uint64_t seed, const HostPlanOptions& options) {
  for (const auto& inputs : random_inputs(module, seed, 4)) {
    const auto expected = evaluate(module, module.main(), inputs);
    const auto computed = run(module, inputs, options);
    ASSERT_EQ(computed.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_TRUE(computed[i] == expected[i]) << "output " << i << " of seed " << seed << "\n"
                                              << print_module(module) << "\n"
                                              << print_plan(module, plan_host(module, options));
    }
  }
}

class HostProgram : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

// The samples of every integer primitive and every movement, from the registry: an operator that is
// added later is covered too.
TEST_F(HostProgram, RunsTheSamplesOfEveryPrimitiveAndMovement) {
  int cases = 0;
  for (const Operator* op : operators().all()) {
    const Domain domain = op->traits().domain;
    if (domain != Domain::kInteger && domain != Domain::kMovement) continue;
    for (const SampleCase& sample : op->samples()) {
      if (!sample.error.empty()) continue;
      const Module module = parse_module(sample.text);
      if (!check_host(module).empty()) continue;  // symbols, or a movement of reals
      ++cases;
      expect_reference(module, 7, {});
    }
  }
  EXPECT_GT(cases, 60);
}

TEST_F(HostProgram, MovesConstants) {
  expect_reference(parse_module(R"(tandem-module 1
constant @c : int32[2,2] = [1,-2,3,4]
graph @main(%x : int32[2,2]) -> (%y, %s) {
  %c = constant @c
  %y : int32[2,2] = Identity(%c) "y"
  %s : int32[4,2] = Concat(%x, %c) {axis = 0} "s"
}
)"),
                   1, {});
}

TEST_F(HostProgram, EqualsTheReferenceOnRandomModules) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const Module module = random_lowered_module(seed);
    expect_reference(module, seed, {});
    if (HasFatalFailure()) return;
  }
}

TEST_F(HostProgram, EqualsTheReferenceOnRandomModulesWithoutFusionAndWithAllValuesKept) {
  for (std::uint64_t seed = 300; seed < 400; ++seed) {
    const Module module = random_lowered_module(seed);
    expect_reference(module, seed, {.fuse = false});
    expect_reference(module, seed, {.fuse = false, .keep_values = true});
    if (HasFatalFailure()) return;
  }
}

TEST_F(HostProgram, EqualsTheReferenceWithPortableKernels) {
  const InstructionSet before = instruction_set();
  set_instruction_set(InstructionSet::kPortable);
  for (std::uint64_t seed = 400; seed < 500; ++seed) {
    expect_reference(random_lowered_module(seed), seed, {});
    if (HasFatalFailure()) break;
  }
  set_instruction_set(before);
}

TEST_F(HostProgram, KeepsEveryValueForReading) {
  const Module module = random_lowered_module(11);
  const Graph& graph = module.main();
  const auto inputs = random_inputs(module, 3, 1)[0];
  const Program program(module, plan_host(module, {.fuse = false, .keep_values = true}));
  Program::Workspace workspace = program.workspace();
  std::vector<const std::byte*> from;
  for (const Tensor& input : inputs) from.push_back(input.bytes().data());
  std::vector<Tensor> outputs;
  std::vector<std::byte*> to;
  for (const ValueId output : graph.outputs)
    outputs.emplace_back(graph.values[output].type.format,
                         graph.values[output].type.static_shape());
  for (Tensor& output : outputs) to.push_back(output.mutable_bytes().data());
  program.run(from, to, workspace);
  int seen = 0;
  evaluate(module, graph, inputs, nullptr, [&](ValueId value, const Tensor& tensor) {
    ++seen;
    EXPECT_TRUE(program.read(value, workspace) == tensor) << graph.values[value].name;
  });
  EXPECT_GE(seen, 5);
}

std::string layer_text(const std::string& product) {
  return "tandem-module 1\n"
         "constant @w : int4[3,2] = [1,-2,7,-8,0,5]\n"
         "constant @k : int4[3,3,3,1] = [1,2,3,4,5,6,7,-8,-7,-6,-5,-4,-3,-2,-1,0,1,2,3,4,5,6,7,-8,"
         "-7,-6,-5]\n"
         "constant @m : int8[1] = [3]\nconstant @b : int8[1] = [9]\nconstant @s : uint6[1] = "
         "[4]\n" +
         product;
}

TEST_F(HostProgram, RunsElementwiseNodesBehindTheProductThatFeedsThem) {
  const Module module = parse_module(layer_text(
      "graph @main(%x : int8[1,3]) -> (%z) {\n  %w = constant @w\n  %m = constant @m\n"
      "  %b = constant @b\n  %s = constant @s\n"
      "  %y : int12[1,2] = IntMatMul(%x, %w) {format = int12} \"dense\"\n"
      "  %r : int8[1,2] = Rescale(%y, %m, %b, %s) {format = int8} \"narrow\"\n"
      "  %z : uint7[1,2] = Clamp(%r) {format = uint7, min = 0, max = 100} \"relu\"\n}\n"));
  const Plan plan = plan_host(module);
  ASSERT_EQ(plan.steps.size(), 1U);
  EXPECT_EQ(plan.steps[0].form, "product16");
  EXPECT_EQ(plan.steps[0].tile.at("lane_bits"), 32);
  EXPECT_EQ(plan.steps[0].nodes.size(), 3U);
  EXPECT_EQ(plan.peak_bytes.at("ram"), 0);  // nothing but the caller's input and output
  EXPECT_EQ(plan_host(module, {.fuse = false}).steps.size(), 3U);
}

TEST_F(HostProgram, ChoosesWideLanesWhereNumbersNeedThem) {
  const Module module = parse_module(
      "tandem-module 1\ngraph @main(%x : int31[1,3], %y : int31[1,3]) -> (%z) {\n"
      "  %z : int62[1,3] = IntMul(%x, %y) {format = int62}\n}\n");
  EXPECT_EQ(plan_host(module).steps[0].tile.at("lane_bits"), 64);
  expect_reference(module, 5, {});
}

TEST_F(HostProgram, UsesChannelsAsLanesOfDepthwiseConvolutions) {
  const Module module = parse_module(layer_text(
      "graph @main(%x : int8[1,5,4,3]) -> (%y) {\n  %k = constant @k\n"
      "  %y : int16[1,5,4,3] = IntConv(%x, %k) {format = int16, group = 3, pads = [1,1,1,1], "
      "pad_value = 5}\n}\n"));
  EXPECT_EQ(plan_host(module).steps[0].form, "depthwise");
  expect_reference(module, 6, {});
}

TEST_F(HostProgram, CopiesOutputsThatAreInputsOrListedTwice) {
  const Module module = parse_module(
      "tandem-module 1\nconstant @c : int8[2] = [5,-6]\ngraph @main(%x : int8[1,2]) -> "
      "(%y, %x, %y, %c) {\n  %c = constant @c\n"
      "  %y : int9[1,2] = IntAdd(%x, %c) {format = int9}\n}\n");
  expect_reference(module, 8, {});
}

TEST_F(HostProgram, RefusesWhatItsKernelsCannotRunAndNamesEveryNode) {
  const Module module = parse_module(
      "tandem-module 1\ngraph @main(%x : f32[1,2]) -> (%z) {\n"
      "  %y : f32[1,2] = Relu(%x) \"first\"\n  %z : f32[1,2] = Sigmoid(%y) \"second\"\n}\n");
  const auto issues = check_host(module);
  ASSERT_GE(issues.size(), 2U);
  try {
    plan_host(module);
    FAIL();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("first"), std::string::npos) << message;
    EXPECT_NE(message.find("second"), std::string::npos) << message;
    EXPECT_NE(message.find("compress"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace tandem
