// Networks with states: what one call keeps for the next.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/files/tflite_reader.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/mapping/mcu_planner.h"
#include "tandem/ops/register.h"
#include "tandem/plan/patches.h"
#include "tandem/transform/lower.h"
#include "tandem/verify/c_execution.h"
#include "tandem/verify/equality.h"
#include "tandem/verify/float_execution.h"
#include "tandem/verify/network.h"
#include "tandem/verify/qemu_execution.h"

#include "tests/support/paths.h"
#include "tests/support/random_module.h"
#include "tests/verify/varied_plans.h"

namespace tandem {
namespace {

constexpr std::int64_t kCalls = 200;

class Streams : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }

  static Module keyword_spotter() {
    return lower(
        read_tflite(test::source_dir() / "tests/fuzz/corpus/tflite/stream_keyword_spotter.tflite"));
  }
  static Samples random_calls(const Module& module, std::int64_t calls = kCalls) {
    return random_samples(module, calls, 3).codes(module);
  }
};

// The definition of what executions of a stream return.
Samples stepped(const Module& module, const Samples& inputs) {
  std::vector<Tensor> states = initial_states(module);
  std::vector<std::vector<Tensor>> outputs;
  for (std::int64_t call = 0; call < inputs[0].shape()[0]; ++call)
    outputs.push_back(evaluate(module, module.main(), one_sample(inputs, call), &states));
  return stack(outputs);
}

TEST_F(Streams, EveryExecutionKeepsStatesFromCallToCall) {
  const Module module = keyword_spotter();
  const Samples inputs = random_calls(module), expected = stepped(module, inputs);
  const Samples alone = stepped(module, one_of(inputs, kCalls - 1));
  EXPECT_FALSE(one_of(expected, kCalls - 1)[0] == alone[0]) << "the states do not matter";
  for (const char* name : {"reference", "cpu", "c", "qemu"}) {
    const auto execution = make_execution(name, module);
    const Equality first = compare_samples(expected, execution->run(inputs));
    EXPECT_TRUE(first.equal()) << to_string(first, "stepped", name);
    // A run is a stream of its own.
    const Equality second = compare_samples(expected, execution->run(inputs));
    EXPECT_TRUE(second.equal()) << to_string(second, "stepped", name) << ", run again";
    const auto seen = execution->trace(inputs);
    const Graph& graph = module.main();
    ASSERT_TRUE(seen.contains(graph.outputs[0])) << name;
    EXPECT_EQ(seen.at(graph.outputs[0]), one_sample(expected, kCalls - 1)[0]) << name;
  }
}

// Three streams in one program, with a reset between them: 200 calls, 3 others, the 200 again.
TEST_F(Streams, AResetIsAFreshStartInC) {
  const Module module = keyword_spotter();
  const Samples inputs = random_calls(module), expected = stepped(module, inputs);
  Samples other;
  for (const Tensor& input : inputs) other.push_back(input.rows(50, 53));
  const std::string packed = pack_streams(module, std::vector{inputs, other, inputs});
  const std::string whole = pack_samples(expected),
                    wanted = whole + pack_samples(stepped(module, other)) + whole;
  for (const IoPlace io : {IoPlace::kArena, IoPlace::kCaller}) {
    const Device device = find_device(default_device("mcu"));
    const Plan plan = plan_mcu(module, device, {.io = io});
    const TemporaryFolder folder("streams");
    const QemuProgram program =
        build_qemu_program({{&module, &plan, "net"}}, folder.path().string());
    EXPECT_EQ(run_qemu_program(program, packed).output, wanted) << name(io);
    EXPECT_EQ(linked_sizes(program.sections, plan, "net").state_bytes, state_bytes(plan));
    EXPECT_EQ(state_bytes(plan), 7 * 10 + 3 * 8 + 10 + 1);
  }
}

TEST_F(Streams, RandomModulesWithStatesAreFreeOfUndefinedBehaviour) {
  std::vector<Module> modules;
  std::vector<Samples> inputs;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    modules.push_back(random_lowered_module(seed, {.max_states = 3}));
    inputs.push_back(stack(random_inputs(modules.back(), seed, 12)));
  }
  const std::vector<Samples> outputs =
      run_c_batch(modules, varied_plans(modules), inputs, {.flags = {"-O1"}, .sanitize = true});
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const Samples expected = stepped(modules[i], inputs[i]);
    const Equality equality = compare_samples(expected, outputs[i]);
    EXPECT_TRUE(equality.equal()) << to_string(equality, "stepped", "c") << "\n"
                                  << print_module(modules[i]);
    EXPECT_EQ(expected, make_execution("cpu", modules[i])->run(inputs[i]));
  }
}

// The first layer runs in patches; what is behind it reads and writes the state.
TEST_F(Streams, APatchedStageRunsBesideStates) {
  const Module module = parse_module(R"(tandem-module 1
constant @v : int4[4,3,3,1] = [1,2,3,4,5,6,7,-8,1,2,3,4,5,6,7,-8,1,2,3,4,5,6,7,-8,1,2,3,4,5,6,7,-8,1,2,3,4]
constant @w : int4[1,3,3,4] = [1,-2,3,4,5,-6,7,-8,1,2,3,-4,5,6,-7,-8,1,2,-3,4,5,6,7,-8,1,2,3,4,-5,6,7,-8,1,2,3,4]
constant @start : int16[1,1,1,1] = [5]
state @sum : int16[1,1,1,1] = @start stream
graph @main(%x : int8[1,9,4,1]) -> (%y) updates(@sum = %next) {
  %v = constant @v
  %w = constant @w
  %old = state @sum
  %a : int16[1,9,4,4] = IntConv(%x, %v) {format = int16, pads = [1,1,1,1]} "first"
  %b : int8[1,9,4,4] = Clamp(%a) {format = int8, min = -100, max = 100}
  %c : int16[1,9,4,1] = IntConv(%b, %w) {format = int16, pads = [1,1,1,1]} "second"
  %d : int8[1,9,4,1] = Clamp(%c) {format = int8, min = -50, max = 100}
  %e : int14[1,1,1,1] = IntSum(%d) {format = int14, axes = [1,2]} "sum"
  %f : int17[1,1,1,1] = IntAdd(%e, %old) {format = int17}
  %next : int16[1,1,1,1] = Clamp(%f) {format = int16, min = -32768, max = 32767}
  %y : int8[1,1,1,1] = Clamp(%next) {format = int8, min = -128, max = 127}
}
)");
  const Device device = find_device(default_device("mcu"));
  const Plan plan = plan_mcu(module, device, {.sram_bytes = 0});
  EXPECT_GT(patch_count(plan), 1);
  EXPECT_LT(sram_bytes(plan), sram_bytes(plan_mcu(module, device)));
  const Samples inputs = random_calls(module, 20);
  const std::vector<Samples> outputs =
      run_c_batch({&module, 1}, {&plan, 1}, {&inputs, 1}, {.flags = {"-O1"}, .sanitize = true});
  EXPECT_EQ(outputs[0], stepped(module, inputs));
}

// A mistake in one call is found in the layer that makes it, with the states that led there.
TEST_F(Streams, TheFirstDifferingLayerIsTracedThroughItsStream) {
  const Module module = keyword_spotter();
  const Samples inputs = random_calls(module, 20);
  Module other = module;
  Tensor& initial = other.constants[other.states.back().initial].tensor;
  std::vector<std::int64_t> codes = initial.to_integers();
  for (auto& code : codes) code = 100;
  initial = Tensor::from_integers(initial.format(), initial.shape(), codes);
  const auto a = make_execution("reference", module), b = make_execution("c", other);
  const Equality equality =
      compare_executions(module, *a, a->run(inputs), *b, b->run(inputs), inputs);
  EXPECT_GT(equality.differing_values, 0);
  EXPECT_EQ(equality.sample, 0);
  EXPECT_THAT(equality.first_layer, testing::HasSubstr("t21"));
}

TEST_F(Streams, ANetworkOfRealsKeepsStatesToo) {
  const Module module = parse_module(R"(tandem-module 1
constant @start : f32[1,2] = [1,2]
state @sum : f32[1,2] = @start stream
graph @main(%x : f32[1,2]) -> (%y) updates(@sum = %y) {
  %sum = state @sum
  %y : f32[1,2] = Add(%x, %sum)
}
)");
  const Samples inputs{
      Tensor::from_reals(Format(), {3, 1, 2}, std::vector<double>{1, 1, 2, 2, 3, 3})};
  FloatExecution execution(module);
  EXPECT_EQ(execution.run(inputs)[0].to_reals(), (std::vector<double>{2, 3, 4, 5, 7, 8}));
}

}  // namespace
}  // namespace tandem
