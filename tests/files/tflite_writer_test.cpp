#include "tandem/files/tflite_writer.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/file.h"
#include "tandem/base/random.h"
#include "tandem/files/model_file.h"
#include "tandem/files/onnx_reader.h"
#include "tandem/files/refused.h"
#include "tandem/files/tflite_reader.h"
#include "tandem/graph/equality.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/movement.h"
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

// Written models are kept where check_written_tflite.py asks for them.
Module written_and_read(const Module& module, const std::string& name) {
  const std::string bytes = write_tflite(module, name);
  if (const char* folder = std::getenv("TANDEM_WRITTEN"))
    write_file_atomic(std::filesystem::path(folder) / (name + ".tflite"), bytes);
  Module again = read_bytes(bytes, name);
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
      const Module again = written_and_read(module, "golden_" + c.name);
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
    const Module again = written_and_read(module, concat("mlperf_", name));
    const bool coded = is_quantized(module);
    const auto differs =
        coded ? difference(lower(module), lower(again)) : difference(module, again);
    EXPECT_FALSE(differs.has_value()) << *differs;
  }
}

// ---- What cannot be written --------------------------------------------------------------------

// A layer on x [1,2,4,4] whose codes are made as `quantize` says.
Module layer(const std::string& format, const std::string& quantize) {
  return parse_module(
      concat("tandem-module 1\nconstant @s : f32[] = [0.5]\nconstant @w : int8[1,2,1,1] = [3,-4]\n"
             "graph @main(%x : f32[1,2,4,4]) -> (%y) {\n  %s = constant @s\n  %w = constant @w\n"
             "  %q : ",
             format, "[1,2,4,4] = Quantize(%x, %s) {format = ", format,
             "}\n"
             "  %r : f32[1,2,4,4] = Dequantize(%q, %s)\n  %v : f32[1,2,1,1] = Dequantize(%w, %s)\n"
             "  %c : f32[1,1,4,4] = Conv(%r, %v)\n"
             "  %p : int8[1,1,4,4] = Quantize(%c, %s) {format = int8",
             quantize,
             "}\n"
             "  %y : f32[1,1,4,4] = Dequantize(%p, %s)\n}"));
}

constexpr const char* kTfliteRounding =
    ", rounding = \"half_away_from_zero\", zero_added = \"after_rounding\", rescale = "
    "\"double_rounding\"";

void expect_refused(const Module& module, const std::string& message) {
  EXPECT_THAT([&] { write_tflite(module, "net"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("net"), HasSubstr(message))));
}

TEST_F(TfliteWriter, RefusesOtherRoundingsUnlessTheyAreLeftToTheKernels) {
  const Module given = layer("int8", ""), alike = layer("int8", kTfliteRounding);
  expect_refused(given,
                 "'c' (Conv): its codes are rescaled dyadic, those of TensorFlow Lite's "
                 "kernel double_rounding");
  const std::string adopted = write_tflite(given, "net", TfliteRounding::kAdopted);
  EXPECT_EQ(adopted, write_tflite(alike, "net"));
  expect_same_function(alike, read_bytes(adopted, "net"));
}

TEST_F(TfliteWriter, ShiftsUnsignedCodes) {
  const Module module = layer("uint8", kTfliteRounding);
  const Module lowered = lower(read_bytes(write_tflite(module, "net"), "net"));
  const Graph& graph = lowered.main();
  EXPECT_EQ(graph.values[graph.inputs[0]].type.to_string(), "int8[1,2,4,4]");
  EXPECT_EQ(lowered.constants[graph.codings.at(graph.inputs[0]).offset].tensor.real(0), 64);
}

TEST_F(TfliteWriter, RefusesWhatTensorFlowLiteHasNot) {
  expect_refused(layer("int4", kTfliteRounding), "its codes are int4; TensorFlow Lite has");
  const auto real = [](const std::string& shape, const std::string& line) {
    return parse_module(concat("tandem-module 1\nsymbol N in [1,64]\nsymbol H in [1,64]\n",
                               "graph @main(%x : f32[", shape, "]) -> (%y) {\n", line, "\n}"));
  };
  try {
    write_tflite(real("2,3", "  %e : f32[2,3] = Erf(%x)\n  %y : f32[2,3] = Gelu(%e)"), "net");
    FAIL() << "neither Erf nor Gelu can be written";
  } catch (const RefusedModel& error) {
    ASSERT_EQ(error.nodes().size(), 2u);
    EXPECT_EQ(error.nodes()[0].op, "Erf");
    EXPECT_EQ(error.nodes()[1].op, "Gelu");
    EXPECT_FALSE(error.nodes()[0].remedy.empty());
  }
  EXPECT_THAT([&] { write_tflite(real("N,H", "  %y : f32[N,H] = Relu(%x)"), "net"); },
              ThrowsMessage<Error>(HasSubstr("--bind H=")));
  EXPECT_THAT([&] { write_tflite(lower(layer("int8", kTfliteRounding)), "net"); },
              ThrowsMessage<Error>(HasSubstr("is lowered to integers")));
}

TEST_F(TfliteWriter, LeavesTheBatchOpen) {
  const Module module = parse_module(
      "tandem-module 1\nsymbol N in [1,64]\n"
      "graph @main(%x : f32[N,3]) -> (%y) {\n  %y : f32[N,3] = Relu(%x)\n}");
  const std::string bytes = write_tflite(module, "net");
  const Module again = read_bytes(bytes, "net");
  EXPECT_EQ(again.main().values[again.main().inputs[0]].type.to_string(), "f32[1,3]");
  EXPECT_EQ(again.main().values[again.main().outputs[0]].name, "y");
  const std::int32_t open[] = {-1, 3};  // the signature of the shape
  EXPECT_THAT(bytes, HasSubstr(std::string(reinterpret_cast<const char*>(open), sizeof(open))));
}

// ---- Roundings that are left to the kernels ----------------------------------------------------

// y = line(r) between codes of scale 1/16 and others of the given scale and zero point.
Module function_of_codes(const std::string& line, double scale, int zero) {
  return parse_module(
      concat("tandem-module 1\nconstant @s : f32[] = [0.0625]\nconstant @t : f32[] = [", scale,
             "]\nconstant @z : f32[] = [", zero,
             "]\nconstant @c : f32[] = [0.7]\n"
             "graph @main(%x : f32[1,4,2,2]) -> (%y) {\n  %s = constant @s\n  %t = constant @t\n"
             "  %z = constant @z\n  %c = constant @c\n"
             "  %q : int8[1,4,2,2] = Quantize(%x, %s) {format = int8}\n"
             "  %r : f32[1,4,2,2] = Dequantize(%q, %s)\n  ",
             line,
             "\n"
             "  %p : int8[1,4,2,2] = Quantize(%f, %t, %z) {format = int8}\n"
             "  %y : f32[1,4,2,2] = Dequantize(%p, %t, %z)\n}"));
}

TEST_F(TfliteWriter, AdoptedFunctionsDifferByRoundingOnly) {
  struct Case {
    const char* expression;
    double scale;
    int zero;
  };
  const Case cases[] = {{"Sigmoid(%r)", 0.00390625, -128},
                        {"Sigmoid(%r)", 0.0051, -120},
                        {"Tanh(%r)", 0.0078125, 0},
                        {"HardSwish(%r)", 0.04, -90},
                        {"LeakyRelu(%r) {alpha = 0.25}", 0.05, -30},
                        {"Softmax(%r) {axis = 1}", 0.00390625, -128},
                        {"Softmax(%r) {axis = 3}", 0.004, -128},
                        {"Mul(%r, %r)", 0.25, -100},
                        {"Add(%r, %r)", 0.12, 3},
                        {"Sub(%r, %c)", 0.0625, 10},
                        {"Mul(%r, %c)", 0.05, 0},
                        {"Relu(%r)", 0.04, -128},
                        {"Max(%r, %c)", 0.0625, 0},
                        {"Min(%r, %c)", 0.05, 9}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.expression);
    const Module module =
        function_of_codes(concat("%f : f32[1,4,2,2] = ", c.expression), c.scale, c.zero);
    const Module again = read_bytes(write_tflite(module, "net", TfliteRounding::kAdopted), "net");
    EXPECT_TRUE(is_lowered(lower(again)));
    const auto inputs = random_inputs(module, 5);
    const auto left = evaluate(module, module.main(), inputs),
               right = evaluate(again, again.main(), inputs);
    for (std::int64_t i = 0; i < left[0].size(); ++i)
      EXPECT_NEAR(left[0].real(i), right[0].real(i), 2.01 * c.scale) << i;
  }
}

// A limit that is no code must not become one.
TEST_F(TfliteWriter, LimitsBetweenCodesStayReal) {
  const Module module = parse_module(
      "tandem-module 1\nconstant @s : f32[] = [0.0625]\nconstant @c : f32[] = [0.7]\n"
      "graph @main(%x : f32[1,4]) -> (%y) {\n  %s = constant @s\n  %c = constant @c\n"
      "  %q : int8[1,4] = Quantize(%x, %s) {format = int8}\n"
      "  %r : f32[1,4] = Dequantize(%q, %s)\n  %y : f32[1,4] = Max(%r, %c)\n}");
  const Module again = read_bytes(write_tflite(module, "net"), "net");
  expect_equal_outputs(module, again, 3);
}

// ---- Random networks ---------------------------------------------------------------------------

// Codes with a scale, [1,C,H,W].
struct Codes {
  ValueId value = kNone;
  double scale = 1;
  std::int64_t zero = 0;
};

// Networks of codes as TensorFlow Lite rounds them, channels second.
class RandomNetwork {
 public:
  explicit RandomNetwork(std::uint64_t seed)
      : random_(seed, "network"), builder_(module_, Builder::add_graph(module_, "main")) {}

  Module make() {
    const ValueId x = builder_.input(
        "x", {{1, random_.integer(1, 4), random_.integer(3, 7), random_.integer(3, 7)}, Format()});
    made_.push_back(coded(x, 0.05, random_.integer(-20, 20), "nearest"));
    for (int step = 0; step < 6; ++step) made_.push_back(layer());
    const Codes last = classified(made_.back());
    builder_.output(real(last));
    builder_.graph().values[builder_.graph().outputs[0]].name = "y";
    remove_unused(module_);
    return std::move(module_);
  }

 private:
  using Integers = std::vector<std::int64_t>;

  const Codes& any() {
    return made_[static_cast<std::size_t>(
        random_.integer(0, static_cast<std::int64_t>(made_.size()) - 1))];
  }
  ValueId number(double value) { return builder_.constant(Tensor::scalar(value)); }

  Codes coded(ValueId value, double scale, std::int64_t zero, const std::string& how,
              Integers limits = {}) {
    const float narrow = static_cast<float>(scale);
    Attributes attributes = {{"format", Format::integer(8, true)},
                             {"rounding", std::string("half_away_from_zero")}};
    attributes["zero_added"] = std::string(how == "mean" ? "before_rounding" : "after_rounding");
    if (how == "sum") attributes["rescale"] = std::string("double_rounding");
    if (!limits.empty()) attributes["limits"] = limits;
    return {builder_.add(
                "Quantize",
                {value, number(static_cast<double>(narrow)), number(static_cast<double>(zero))},
                attributes),
            static_cast<double>(narrow), zero};
  }

  ValueId real(const Codes& codes) {
    return builder_.add(
        "Dequantize", {codes.value, number(codes.scale), number(static_cast<double>(codes.zero))});
  }

  // Weights and a bias whose scales differ from output to output.
  struct Layer {
    ValueId weights, bias;
  };
  Layer weights(const Shape& shape, double x_scale) {
    const std::int64_t outputs = shape[0];
    std::vector<double> scales, sums;
    Integers codes, biases;
    for (std::int64_t o = 0; o < outputs; ++o) {
      scales.push_back(static_cast<double>(static_cast<float>(random_.uniform() * 0.01 + 0.001)));
      sums.push_back(scales.back() * x_scale);
      biases.push_back(random_.integer(-2000, 2000));
    }
    for (std::int64_t i = 0; i < element_count(shape); ++i)
      codes.push_back(random_.integer(-127, 127));
    Shape along(shape.size(), 1);
    along[0] = outputs;
    const Format f64 = Format::parse("f64");
    const auto constant = [&](const Tensor& tensor) { return builder_.constant(tensor); };
    return {
        builder_.add("Dequantize",
                     {constant(Tensor::from_integers(Format::integer(8, true), shape, codes)),
                      constant(Tensor::from_reals(f64, along, scales))}),
        builder_.add("Dequantize",
                     {constant(Tensor::from_integers(Format::integer(32, true), {outputs}, biases)),
                      constant(Tensor::from_reals(f64, {outputs}, sums))})};
  }

  Codes layer() {
    const Codes& x = any();
    const Shape shape = builder_.shape(x.value);
    switch (random_.integer(0, 5)) {
      case 0:
      case 1: return convolution(x, shape);
      case 2: return pooled(x, shape);
      case 3: return joined(x);
      case 4: {
        const Integers pads = {0, 0, random_.integer(0, 2), random_.integer(0, 2),
                               0, 0, random_.integer(0, 2), random_.integer(0, 2)};
        return moved(x, "Pad", {{"pads", pads}, {"value", static_cast<double>(x.zero)}});
      }
      default:
        return moved(x, "Slice",
                     {{"starts", Integers{random_.integer(0, shape[2] - 1)}},
                      {"ends", Integers{shape[2]}},
                      {"axes", Integers{2}}});
    }
  }

  Codes moved(const Codes& x, const std::string& op, const Attributes& attributes) {
    return {builder_.add(op, {x.value}, attributes), x.scale, x.zero};
  }

  Codes convolution(const Codes& x, const Shape& shape) {
    const bool depthwise = random_.chance(0.4) && shape[1] > 1;
    const std::int64_t outputs = depthwise ? shape[1] : random_.integer(1, 5);
    const std::int64_t reach = std::min<std::int64_t>({3, shape[2], shape[3]});
    const std::int64_t kernel = random_.integer(1, reach), before = random_.integer(0, kernel / 2);
    const std::int64_t stride = random_.integer(1, 2);
    const Layer layer = weights({outputs, depthwise ? 1 : shape[1], kernel, kernel}, x.scale);
    ValueId sums = builder_.add("Conv", {real(x), layer.weights, layer.bias},
                                {{"group", depthwise ? shape[1] : std::int64_t{1}},
                                 {"strides", Integers{stride, stride}},
                                 {"pads", Integers{before, before, before, before}}});
    const std::int64_t zero = random_.integer(-100, 50);
    Integers limits;
    if (random_.chance(0.3)) limits = {zero, 127};
    if (random_.chance(0.2)) limits = {zero - 10, random_.integer(zero, 127)};
    return coded(sums, 0.02 + 0.1 * random_.uniform(), zero, "sum", limits);
  }

  Codes pooled(const Codes& x, const Shape& shape) {
    const std::int64_t kernel = std::min<std::int64_t>({2, shape[2], shape[3]});
    const bool mean = random_.chance(0.5);
    const ValueId y =
        builder_.add(mean ? "AveragePool" : "MaxPool", {real(x)},
                     {{"kernel", Integers{kernel, kernel}}, {"strides", Integers{kernel, kernel}}});
    return coded(y, x.scale, x.zero, mean ? "mean" : "nearest");
  }

  // With itself behind another scale.
  Codes joined(const Codes& x) {
    const Codes other = coded(real(x), x.scale * 0.7, x.zero / 2, "sum");
    const Codes back = coded(real(other), x.scale, x.zero, "sum");
    return {builder_.add("Concat", {x.value, back.value}, {{"axis", std::int64_t{1}}}), x.scale,
            x.zero};
  }

  Codes classified(const Codes& x) {
    const Shape shape = builder_.shape(x.value);
    const std::int64_t count = element_count(shape);
    const ValueId flat = add_reshape(builder_, real(x), {1, count});
    const Layer layer = weights({3, count}, x.scale);
    const ValueId sums =
        builder_.add("Gemm", {flat, layer.weights, layer.bias}, {{"transB", std::int64_t{1}}});
    return coded(sums, 0.3, random_.integer(-30, 30), "sum");
  }

  RandomSequence random_;
  Module module_;
  Builder builder_;
  std::vector<Codes> made_;
};

TEST_F(TfliteWriter, RandomNetworksOfCodesReadBack) {
  constexpr std::uint64_t kNetworks = 150;
  for (std::uint64_t seed = 1; seed <= kNetworks; ++seed) {
    SCOPED_TRACE(seed);
    const Module network = RandomNetwork(seed).make();
    Module again;
    ASSERT_NO_THROW(again = written_and_read(network, concat("random_", seed)))
        << print_module(network);
    ASSERT_NO_FATAL_FAILURE(expect_same_function(network, again)) << print_module(network);
  }
}

// Graphs of reals with channels second, from ONNX.
TEST_F(TfliteWriter, WritesNetworksOfRealsWithChannelsSecond) {
  int written = 0;
  for (const GoldenCase& c : golden_cases("operators")) {
    SCOPED_TRACE(c.name);
    Module module = read_onnx(std::as_bytes(std::span(c.model)), c.name);
    if (is_quantized(module)) continue;
    std::map<std::string, std::int64_t> symbols;
    for (const Symbol& symbol : module.symbols)
      symbols[symbol.name] = std::max<std::int64_t>(symbol.min, 2);
    if (!symbols.empty()) module = specialize(module, symbols);
    try {
      const Module again = written_and_read(module, c.name);
      ++written;
      ASSERT_NO_FATAL_FAILURE(expect_same_function(module, again));
    } catch (const Error&) {
      continue;  // an operator or a type that TensorFlow Lite has not
    }
  }
  EXPECT_GT(written, 90);
}

}  // namespace
}  // namespace tandem
