#include "tandem/files/tflite_writer.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/random.h"
#include "tandem/files/model_file.h"
#include "tandem/files/refused.h"
#include "tandem/files/tflite_reader.h"
#include "tandem/graph/equality.h"
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

class TfliteWriter : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

Module read_bytes(std::string_view bytes, std::string_view name) {
  return read_tflite(std::as_bytes(std::span(bytes)), name);
}

Module written_and_read(const Module& module, std::string_view name,
                        TfliteRounding rounding = TfliteRounding::kAsGiven) {
  Module again = read_bytes(write_tflite(module, name, rounding), name);
  verify(again);
  return again;
}

// Random reals, or all codes that a lowered input can take.
std::vector<Tensor> random_inputs(const Module& module, std::uint64_t seed) {
  std::vector<Tensor> inputs;
  const Graph& graph = module.main();
  for (std::size_t k = 0; k < graph.inputs.size(); ++k) {
    const TensorType& type = graph.values[graph.inputs[k]].type;
    const Shape shape = type.static_shape();
    std::vector<double> values;
    const CounterRandom random(seed, k);
    for (std::int64_t i = 0; i < element_count(shape); ++i) {
      const double uniform = random.uniform(static_cast<std::uint64_t>(i));
      if (type.format.is_float()) {
        values.push_back(4 * uniform - 2);
      } else {
        const IntegerRange range = type.format.integer_range();
        values.push_back(std::floor(static_cast<double>(range.min) +
                                    uniform * static_cast<double>(range.max - range.min + 1)));
      }
    }
    inputs.push_back(Tensor::from_reals(type.format, shape, values));
  }
  return inputs;
}

// Codes equal in every bit, reals up to a millionth.
void expect_equal_outputs(const Module& a, const Module& b, std::uint64_t seed) {
  const auto inputs = random_inputs(a, seed);
  const auto left = evaluate(a, a.main(), inputs), right = evaluate(b, b.main(), inputs);
  ASSERT_EQ(left.size(), right.size());
  for (std::size_t k = 0; k < left.size(); ++k) {
    ASSERT_EQ(left[k].shape(), right[k].shape());
    for (std::int64_t i = 0; i < left[k].size(); ++i) {
      const double should = left[k].real(i);
      const double tolerance =
          left[k].format().is_integer() ? 0 : 1e-6 * std::max(1.0, std::abs(should));
      ASSERT_NEAR(right[k].real(i), should, tolerance) << "output " << k << ", element " << i;
    }
  }
}

void expect_same_function(const Module& a, const Module& b) {
  const bool coded = is_quantized(a) && uncoded_inputs(a).empty();
  ASSERT_EQ(coded, is_quantized(b) && uncoded_inputs(b).empty());
  const Module left = coded ? lower(a) : a, right = coded ? lower(b) : b;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) expect_equal_outputs(left, right, seed);
}

TEST_F(TfliteWriter, WritesWhatTheReaderReads) {
  std::set<std::string> refused;
  for (const GoldenCase& c : golden_cases("tflite")) {
    SCOPED_TRACE(c.name);
    const Module module = read_bytes(c.model, c.name);
    try {
      const Module again = written_and_read(module, c.name);
      ASSERT_NO_FATAL_FAILURE(expect_same_function(module, again));
    } catch (const RefusedModel&) {
      refused.insert(c.name);
    }
  }
  // Steps of an LSTM on codes are no operators, and slopes are not found in their tables.
  const std::set<std::string> expected = {"lstm_int8", "lstm_int8_clipped", "lstm_int8_rows",
                                          "lstm_int16", "prelu"};
  EXPECT_EQ(refused, expected);
}

TEST_F(TfliteWriter, WritesTheNetworksOfMlperfTiny) {
  TANDEM_REQUIRE_DATA("models/mlperf_tiny");
  const auto folder = test::data_dir() / "models/mlperf_tiny";
  for (const char* name :
       {"ad01_fp32", "pretrainedResnet", "vww_96_float", "kws_ref_model_float32", "ad01_int8",
        "kws_ref_model", "pretrainedResnet_quant", "str_ww_ref_model", "vww_96_int8"}) {
    SCOPED_TRACE(name);
    const Module module = read_model(folder / concat(name, ".tflite"));
    const Module again = written_and_read(module, name);
    const bool coded = is_quantized(module);
    const auto differs =
        coded ? difference(lower(module), lower(again)) : difference(module, again);
    EXPECT_FALSE(differs.has_value()) << *differs;
  }
}

}  // namespace
}  // namespace tandem
