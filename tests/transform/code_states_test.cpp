#include "tandem/transform/code_states.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/random.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"
#include "tandem/transform/lower.h"

namespace tandem {
namespace {

using testing::HasSubstr;

constexpr const char* kHead = R"(tandem-module 1
constant @unit : f32[] = [0.25]
constant @fine : f32[] = [0.125]
constant @zero : f32[] = [3]
constant @start : f32[1,4] = [0.5,-1,0,2]
constant @half : f32[] = [0.5]
state @kept : f32[1,4] = @start stream
)";

// Quantized alike by both readers; updated with what is no code.
constexpr const char* kCodedByReaders =
    R"(graph @main(%x : f32[1,4]) -> (%y) updates(@kept = %next) {
  %unit = constant @unit
  %fine = constant @fine
  %zero = constant @zero
  %half = constant @half
  %kept = state @kept
  %qx : int8[1,4] = Quantize(%x, %fine) {format = int8}
  %rx : f32[1,4] = Dequantize(%qx, %fine)
  %a : int8[1,4] = Quantize(%kept, %unit, %zero) {format = int8, zero_added = "after_rounding"}
  %ra : f32[1,4] = Dequantize(%a, %unit, %zero)
  %b : int8[1,4] = Quantize(%kept, %unit, %zero) {format = int8, zero_added = "after_rounding"}
  %rb : f32[1,4] = Dequantize(%b, %unit, %zero)
  %h : f32[1,4] = Mul(%ra, %half)
  %next : f32[1,4] = Add(%h, %rx)
  %s : f32[1,4] = Add(%rb, %rx)
  %c : int8[1,4] = Quantize(%s, %unit) {format = int8}
  %y : f32[1,4] = Dequantize(%c, %unit)
}
)";

// Updated with codes made real; read as reals.
constexpr const char* kCodedByWriter =
    R"(graph @main(%x : f32[1,4]) -> (%y) updates(@kept = %next) {
  %unit = constant @unit
  %fine = constant @fine
  %zero = constant @zero
  %half = constant @half
  %kept = state @kept
  %qx : int8[1,4] = Quantize(%x, %fine) {format = int8}
  %rx : f32[1,4] = Dequantize(%qx, %fine)
  %h : f32[1,4] = Mul(%kept, %half)
  %s : f32[1,4] = Add(%h, %rx)
  %c : int8[1,4] = Quantize(%s, %unit, %zero) {format = int8}
  %next : f32[1,4] = Dequantize(%c, %unit, %zero)
  %y : f32[1,4] = Relu(%next)
}
)";

class CodeStates : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }

  static Module parsed(const std::string& graph) { return parse_module(kHead + graph); }

  static Tensor random_codes(std::uint64_t call) {
    const CounterRandom random(7, call);
    std::vector<std::int64_t> codes;
    for (std::uint64_t i = 0; i < 4; ++i) codes.push_back(random.integer(i, -128, 127));
    return Tensor::from_integers(Format::parse("int8"), {1, 4}, codes);
  }

  static Tensor reals_of(const Tensor& codes) {
    std::vector<double> reals;
    for (const std::int64_t code : codes.to_integers())
      reals.push_back(0.125 * static_cast<double>(code));
    return Tensor::from_reals(Format(), codes.shape(), reals);
  }

  // The network of reals and its lowered form give the same on 200 calls.
  static void expect_lowered_equal(const Module& network) {
    const Module lowered = lower(network);
    EXPECT_TRUE(is_lowered(lowered));
    EXPECT_EQ(print_module(parse_module(print_module(lowered))), print_module(lowered));
    std::vector<Tensor> states = initial_states(network), codes = initial_states(lowered);
    const Graph& graph = lowered.main();
    const Coding& coding = graph.codings.at(graph.outputs[0]);
    const double scale = lowered.constants[coding.scale].tensor.real(0),
                 offset = lowered.constants[coding.offset].tensor.real(0);
    std::size_t varied = 0;
    for (std::uint64_t call = 0; call < 200; ++call) {
      const Tensor x = random_codes(call);
      const Tensor expected =
          evaluate(network, network.main(), std::vector{reals_of(x)}, &states)[0];
      const Tensor actual = evaluate(lowered, graph, std::vector{x}, &codes)[0];
      for (std::int64_t i = 0; i < 4; ++i) {
        ASSERT_EQ(scale * static_cast<double>(actual.integer(i)) + offset, expected.real(i))
            << "call " << call << ", element " << i;
        varied += expected.real(i) != 0;
      }
    }
    EXPECT_GT(varied, 300U);
  }
};

TEST_F(CodeStates, AStateHoldsWhatItsReadersQuantize) {
  const Module network = parsed(kCodedByReaders);
  Module coded = network;
  code_states(coded);
  verify(coded);
  ASSERT_EQ(coded.states.size(), 1U);
  EXPECT_EQ(coded.states[0].type.to_string(), "int8[1,4]");
  EXPECT_EQ(coded.constants[coded.states[0].initial].tensor.to_integers(),
            (std::vector<std::int64_t>{5, -1, 3, 11}));
  std::vector<Tensor> states = initial_states(network), codes = initial_states(coded);
  for (std::uint64_t call = 0; call < 50; ++call) {
    const std::vector<Tensor> x{reals_of(random_codes(call))};
    ASSERT_EQ(evaluate(coded, coded.main(), x, &codes),
              evaluate(network, network.main(), x, &states));
  }
  expect_lowered_equal(network);
}

TEST_F(CodeStates, AStateHoldsTheCodesThatUpdateIt) {
  const Module network = parsed(kCodedByWriter);
  Module coded = network;
  code_states(coded);
  verify(coded);
  EXPECT_EQ(coded.states[0].type.to_string(), "int8[1,4]");
  EXPECT_EQ(coded.constants[coded.states[0].initial].tensor.to_integers(),
            (std::vector<std::int64_t>{5, -1, 3, 11}));
  expect_lowered_equal(network);
}

TEST_F(CodeStates, AStateOffTheGridStaysRealAndIsNotLowered) {
  std::string text = std::string(kHead) + kCodedByWriter;
  text.replace(text.find("[0.5,-1,0,2]"), 12, "[0.5,-1,0.1,2]");
  Module network = parse_module(text);
  EXPECT_THAT([&] { lower(network); },
              testing::ThrowsMessage<Error>(
                  AllOf(HasSubstr("state 'kept'"), HasSubstr("it keeps reals (f32[1,4])"),
                        HasSubstr("quantize it alike wherever it is read"))));
  code_states(network);
  EXPECT_EQ(network.states[0].type.to_string(), "f32[1,4]");
}

TEST_F(CodeStates, UnreadStatesGoAndConstantOnesBecomeConstants) {
  Module network = parsed(R"(state @unread : f32[1,4] = @start stream
state @constant : f32[1,4] = @start stream
graph @main(%x : f32[1,4]) -> (%y) updates(@unread = %y) {
  %constant = state @constant
  %y : f32[1,4] = Add(%x, %constant)
}
)");
  const std::vector<Tensor> x{reals_of(random_codes(0))};
  const std::vector<Tensor> expected = evaluate(network, network.main(), x);
  code_states(network);
  verify(network);
  EXPECT_TRUE(network.states.empty());
  EXPECT_EQ(evaluate(network, network.main(), x), expected);
}

// Codes move into the state as they are: no Rescale, no Clamp.
TEST_F(CodeStates, AStateOfCodesLowersToTheSameCodes) {
  const Module network = parse_module(R"(tandem-module 1
constant @unit : f32[] = [0.125]
constant @start : int8[1,3,2] = [1,2,3,4,5,6]
state @ring : int8[1,3,2] = @start stream
graph @main(%x : f32[1,1,2]) -> (%y) updates(@ring = %next) {
  %unit = constant @unit
  %ring = state @ring
  %q : int8[1,1,2] = Quantize(%x, %unit) {format = int8}
  %window : int8[1,4,2] = Concat(%ring, %q) {axis = 1}
  %next : int8[1,3,2] = Slice(%window) {starts = [1], ends = [4], axes = [1], steps = [1]}
  %r : f32[1,4,2] = Dequantize(%window, %unit)
  %y : f32[1,2] = ReduceSum(%r) {axes = [1], keepdims = 0}
}
)");
  const Module lowered = lower(network);
  EXPECT_EQ(lowered.states[0].type.to_string(), "int8[1,3,2]");
  for (const Node& node : lowered.main().nodes)
    EXPECT_TRUE(node.op->name() != "Rescale" && node.op->name() != "Clamp") << node.name;
  const Value& next = lowered.main().values[lowered.main().updates.at(0).value];
  EXPECT_EQ(lowered.main().nodes[next.producer].op->name(), "Slice");
}

}  // namespace
}  // namespace tandem
