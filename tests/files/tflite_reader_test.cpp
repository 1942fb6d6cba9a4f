#include "tandem/files/tflite_reader.h"

#include <algorithm>
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/files/model_file.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"
#include "tandem/transform/lower.h"

#include "tests/files/golden_cases.h"
#include "tests/support/paths.h"

namespace tandem {
namespace {

using test::find_case;
using test::golden_cases;
using test::GoldenCase;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class TfliteReader : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

Module read_case(const GoldenCase& c) {
  return read_tflite(std::as_bytes(std::span(c.model)), c.name);
}

bool is_of_codes(const GoldenCase& c) {
  return std::ranges::all_of(
      c.outputs, [](const auto& output) { return output.second.format().is_integer(); });
}

// The part of an array that belongs to one run.
Tensor rows_of_run(const Tensor& array, const TensorType& type, std::int64_t run) {
  const std::int64_t rows = type.static_shape()[0];
  return array.rows(run * rows, (run + 1) * rows);
}

// The outputs of one run.
std::vector<Tensor> run_row(const Module& module, const NamedTensors& inputs, std::int64_t run) {
  const Graph& graph = module.main();
  std::vector<Tensor> arguments;
  for (const ValueId input : graph.inputs) {
    const Value& value = graph.values[input];
    arguments.push_back(rows_of_run(find_array(inputs, value.name, "inputs"), value.type, run));
  }
  return evaluate(module, graph, arguments);
}

void expect_row(const Tensor& computed, const Tensor& expected) {
  ASSERT_EQ(computed.size(), expected.size());
  const bool exact = expected.format().is_integer();
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    const double should = expected.real(i);
    const double tolerance = exact ? 0 : 1e-5 * std::max(1.0, std::abs(should));
    ASSERT_NEAR(computed.real(i), should, tolerance) << "element " << i;
  }
}

void expect_golden(const GoldenCase& c) {
  Module module = read_case(c);
  verify(module);
  const std::string text = print_module(module);
  EXPECT_EQ(print_module(parse_module(text)), text);
  if (is_of_codes(c)) module = lower(module);
  const Graph& graph = module.main();
  const std::int64_t samples =
      c.inputs.front().second.shape()[0] / graph.values[graph.inputs[0]].type.static_shape()[0];
  for (std::int64_t row = 0; row < samples; ++row) {
    const auto outputs = run_row(module, c.inputs, row);
    ASSERT_EQ(outputs.size(), c.outputs.size());
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const Value& value = graph.values[graph.outputs[i]];
      SCOPED_TRACE(concat(value.name, " of sample ", row));
      expect_row(outputs[i],
                 rows_of_run(find_array(c.outputs, value.name, c.name), value.type, row));
    }
  }
}

// Codes by tflite-micro in every bit, reals by ai-edge-litert.
TEST_F(TfliteReader, ComputesWhatTfliteMicroComputes) {
  const auto cases = golden_cases("tflite");
  EXPECT_GT(cases.size(), 100u);
  for (const GoldenCase& c : cases) {
    SCOPED_TRACE(c.name);
    ASSERT_NO_THROW(expect_golden(c)) << c.name;
  }
}

TEST_F(TfliteReader, RefusesWhatIsUnsoundOrUnread) {
  const auto cases = golden_cases("tflite_refused");
  EXPECT_GT(cases.size(), 35u);
  for (const GoldenCase& c : cases) {
    EXPECT_THAT([&] { read_case(c); },
                ThrowsMessage<Error>(AllOf(HasSubstr(c.name), HasSubstr(c.error))))
        << c.name;
  }
}

// Call after call, with what the variables keep: codes by tflite-micro, reals by ai-edge-litert.
void expect_stream(const GoldenCase& c) {
  Module module = read_case(c);
  verify(module);
  const std::string text = print_module(module);
  EXPECT_EQ(print_module(parse_module(text)), text);
  EXPECT_FALSE(module.states.empty());
  if (is_of_codes(c)) module = lower(module);
  const auto& [input, given] = c.inputs.front();
  const auto& [output, expected] = c.outputs.front();
  std::vector<Tensor> states = initial_states(module);
  for (std::int64_t call = 0; call < given.shape()[0]; ++call) {
    SCOPED_TRACE(concat("call ", call));
    const std::vector<Tensor> x{given.rows(call, call + 1)};
    expect_row(evaluate(module, module.main(), x, &states)[0], expected.rows(call, call + 1));
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST_F(TfliteReader, KeepsVariablesFromCallToCall) {
  const auto cases = golden_cases("tflite_streams");
  EXPECT_EQ(cases.size(), 4U);
  EXPECT_EQ(find_case(cases, "keyword_spotter").inputs.front().second.shape()[0], 200);
  for (const GoldenCase& c : cases) {
    SCOPED_TRACE(c.name);
    ASSERT_NO_THROW(expect_stream(c)) << c.name;
  }
}

TEST_F(TfliteReader, ReadsVariablesAsStatesOfCodes) {
  const auto cases = golden_cases("tflite_streams");
  const Module module = read_case(find_case(cases, "keyword_spotter"));
  std::vector<std::string> states;
  for (const State& state : module.states)
    states.push_back(concat(state.name, " ", state.type.to_string(), " ", name(state.lifetime)));
  EXPECT_THAT(states, ::testing::UnorderedElementsAre("frames int8[1,7,1,10] stream",
                                                      "features int8[1,3,1,8] stream",
                                                      "loudness int8[1,1,1,10] stream"));
  EXPECT_EQ(module.main().updates.size(), 3U);
}

TEST_F(TfliteReader, RefusesVariablesWithoutMeaning) {
  const auto cases = golden_cases("tflite_streams_refused");
  EXPECT_EQ(cases.size(), 13U);
  for (const GoldenCase& c : cases) {
    EXPECT_THAT([&] { read_case(c); },
                ThrowsMessage<Error>(AllOf(HasSubstr(c.name), HasSubstr(c.error))))
        << c.name;
  }
}

TEST_F(TfliteReader, ListsRefusedOperatorsWithReasonAndRemedy) {
  const auto cases = golden_cases("tflite_refused");
  try {
    read_case(find_case(cases, "several"));
    FAIL() << "two operators cannot be read";
  } catch (const RefusedModel& error) {
    ASSERT_EQ(error.nodes().size(), 2u);
    EXPECT_EQ(error.nodes()[0].op, "CUSTOM 'Other'");
    EXPECT_EQ(error.nodes()[1].op, "LSTM");
    for (const RefusedNode& node : error.nodes()) {
      EXPECT_THAT(node.node, HasSubstr("subgraph 0, operator "));
      EXPECT_FALSE(node.reason.empty());
      EXPECT_FALSE(node.remedy.empty());
    }
    // The other operators can still be judged.
    ASSERT_TRUE(error.rest().has_value());
    verify(*error.rest());
    EXPECT_GE(error.rest()->main().nodes.size(), 1u);
  }
}

TEST_F(TfliteReader, GivesInputsAndOutputsTheirScale) {
  const auto cases = golden_cases("tflite");
  const Module module = read_case(find_case(cases, "requantize_int8"));
  const Graph& graph = module.main();
  EXPECT_EQ(graph.values[graph.inputs[0]].type.to_string(), "f32[1,256]");
  const Module lowered = lower(module);
  const Graph& integers = lowered.main();
  EXPECT_EQ(integers.values[integers.inputs[0]].type.to_string(), "int8[1,256]");
  const Coding& coding = integers.codings.at(integers.outputs[0]);
  const auto scale = static_cast<double>(0.031F);
  EXPECT_EQ(lowered.constants[coding.scale].tensor.real(0), scale);
  EXPECT_EQ(lowered.constants[coding.offset].tensor.real(0), 5 * scale);
}

// Behind a ReLU both roundings are one.
TEST_F(TfliteReader, GivesATensorThatIsAnOutputTwiceTwoNames) {
  const Module module =
      read_tflite(test::source_dir() / "tests/fuzz/corpus/tflite/output_twice.tflite");
  verify(module);
  const Graph& graph = module.main();
  ASSERT_EQ(graph.outputs.size(), 2U);
  EXPECT_EQ(graph.values[graph.outputs[0]].name, "t1");
  EXPECT_NE(graph.values[graph.outputs[1]].name, "t1");
}

TEST_F(TfliteReader, RescalesOnceWhereCodesBelowTheZeroPointAreCut) {
  const auto cases = golden_cases("tflite");
  for (const char* name : {"conv_strided", "conv_dead_channels", "fully_connected_relu"}) {
    const Module lowered = lower(read_case(find_case(cases, name)));
    const auto rescales = std::ranges::count_if(
        lowered.main().nodes, [](const Node& node) { return node.op->name() == "Rescale"; });
    EXPECT_EQ(rescales, 1) << name;
  }
}

TEST_F(TfliteReader, ReadsTheNetworksOfMlperfTiny) {
  TANDEM_REQUIRE_DATA("models/mlperf_tiny");
  const auto folder = test::data_dir() / "models/mlperf_tiny";
  for (const char* name :
       {"ad01_fp32", "pretrainedResnet", "vww_96_float", "kws_ref_model_float32"})
    verify(read_model(folder / concat(name, ".tflite")));
  for (const char* name : {"ad01_int8", "kws_ref_model", "pretrainedResnet_quant",
                           "str_ww_ref_model", "vww_96_int8"}) {
    const Module lowered = lower(read_model(folder / concat(name, ".tflite")));
    EXPECT_TRUE(is_lowered(lowered)) << name;
    for (const Node& node : lowered.main().nodes)
      EXPECT_NE(node.op->name(), "Transpose") << name << ", " << node.name;
  }
}

}  // namespace
}  // namespace tandem
