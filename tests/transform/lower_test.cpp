#include "tandem/transform/lower.h"

#include <algorithm>
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/random.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

using testing::HasSubstr;

// A random real network over powers of two: f32 is exact in it, so lowering must give every
// output code.
class RandomNetwork {
 public:
  explicit RandomNetwork(std::uint64_t seed) : random_(seed, 1) {
    Builder builder(module_, Builder::add_graph(module_, "main"));
    builder_ = &builder;
    module_.symbols.push_back({"N", 1, 64});
    channels_ = pick(1, 4);
    extent_ = pick(4, 7);
    ValueId x = builder.input("x", {{Dim::symbol("N"), channels_, extent_, extent_}, Format()});
    x = quantized(x, true);
    const std::int64_t layers = pick(2, 5);
    for (std::int64_t i = 0; i < layers; ++i) x = layer(x);
    x = builder.add("Reshape", {x}, {{"shape", std::vector<std::string>{"d0", "-1"}}}, "flat");
    x = builder.add("MatMul", {x, weights({channels_ * extent_ * extent_, 3}, {1, 3})}, {}, "fc");
    builder.output(builder.add("Add", {x, real({1, 3})}, {}, "bias"));
    verify(module_);
  }

  const Module& module() const { return module_; }

  Tensor inputs(std::int64_t count) {
    const auto shape = module_.main().values[module_.main().inputs[0]].type.shape;
    const Shape full{count, shape[1].constant(), shape[2].constant(), shape[3].constant()};
    std::vector<double> values;
    for (std::int64_t i = 0; i < element_count(full); ++i)
      values.push_back(static_cast<double>(pick(-300, 300)) / 64.0);
    return Tensor::from_reals(Format(), full, values);
  }

 private:
  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return random_.integer(next_++, low, high);
  }

  ValueId scalar(double value) { return builder_->constant(Tensor::scalar(value)); }

  ValueId real(const Shape& shape) {
    std::vector<double> values;
    for (std::int64_t i = 0; i < element_count(shape); ++i)
      values.push_back(static_cast<double>(pick(-64, 64)) / 32.0);
    return builder_->constant(Tensor::from_reals(Format(), shape, values));
  }

  ValueId quantized(ValueId x, bool is_signed) {
    const int bits = static_cast<int>(pick(2, 8));
    const Format format = Format::integer(bits, is_signed);
    const double scale = std::exp2(static_cast<double>(pick(-4, 1)));
    const auto rounding = kAllRoundings[static_cast<std::size_t>(pick(0, 8))];
    const auto overflow = kAllOverflows[static_cast<std::size_t>(pick(0, 3))];
    const double zero = pick(0, 2) == 0 ? static_cast<double>(pick(-2, 2)) : 0.0;
    const ValueId s = scalar(scale), z = scalar(zero);
    const bool saturates =
        overflow == Overflow::kSaturate || overflow == Overflow::kSaturateSymmetric;
    const std::string added = saturates && pick(0, 1) == 1 ? "after_rounding" : "before_rounding";
    const ValueId codes = builder_->add("Quantize", {x, s, z},
                                        {{"format", format},
                                         {"zero_added", added},
                                         {"rounding", std::string(name(rounding))},
                                         {"overflow", std::string(name(overflow))}},
                                        "q");
    return builder_->add("Dequantize", {codes, s, z}, {}, "dq");
  }

  ValueId weights(const Shape& shape, const Shape& scale_shape) {
    std::vector<std::int64_t> codes;
    for (std::int64_t i = 0; i < element_count(shape); ++i) codes.push_back(pick(-7, 7));
    std::vector<double> scales;
    for (std::int64_t i = 0; i < element_count(scale_shape); ++i)
      scales.push_back(std::exp2(static_cast<double>(pick(-3, 0))));
    const ValueId q =
        builder_->constant(Tensor::from_integers(Format::parse("int4"), shape, codes));
    const ValueId s = builder_->constant(Tensor::from_reals(Format(), scale_shape, scales));
    return builder_->add("Dequantize", {q, s}, {}, "w");
  }

  ValueId layer(ValueId x) {
    switch (pick(0, 8)) {
      case 0: {
        const std::int64_t outputs = pick(1, 4);
        x = builder_->add(
            "Conv", {x, weights({outputs, channels_, 3, 3}, {outputs, 1, 1, 1}), real({outputs})},
            {{"pads", std::vector<std::int64_t>{1, 1, 1, 1}}}, "conv");
        channels_ = outputs;
        break;
      }
      case 1:
        x = builder_->add("Conv", {x, weights({channels_, 1, 3, 3}, {channels_, 1, 1, 1})},
                          {{"pads", std::vector<std::int64_t>{0, 1, 2, 1}}, {"group", channels_}},
                          "depthwise");
        break;
      case 2: x = builder_->add("Relu", {x}, {}, "relu"); break;
      case 3:
        x = builder_->add("Add", {x, builder_->add("Neg", {quantized(x, true)})}, {}, "residual");
        break;
      case 4: x = builder_->add("Mul", {x, real({1, channels_, 1, 1})}, {}, "scaled"); break;
      case 5:
        x = builder_->add("MaxPool", {x},
                          {{"kernel", std::vector<std::int64_t>{2, 2}},
                           {"pads", std::vector<std::int64_t>{1, 0, 0, 1}}},
                          "max");
        break;
      case 6:
        x = builder_->add("AveragePool", {x},
                          {{"kernel", std::vector<std::int64_t>{2, 2}},
                           {"pads", std::vector<std::int64_t>{1, 0, 0, 1}},
                           {"count_include_pad", std::int64_t{1}}},
                          "average");
        break;
      case 7:
        x = builder_->add("Concat", {x, quantized(x, false)}, {{"axis", std::int64_t{1}}}, "both");
        channels_ *= 2;
        break;
      default:
        x = builder_->add("Transpose", {x}, {{"perm", std::vector<std::int64_t>{0, 1, 3, 2}}},
                          "turned");
        break;
    }
    return quantized(x, pick(0, 1) == 1);
  }

  CounterRandom random_;
  std::uint64_t next_ = 0;
  Module module_;
  Builder* builder_ = nullptr;
  std::int64_t channels_ = 1, extent_ = 4;
};

class Lower : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

TEST_F(Lower, ExactlyTheRealNetworkWhereRealsAreExact) {
  int varied = 0;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    RandomNetwork network(seed);
    const Module lowered = lower(network.module());
    ASSERT_TRUE(is_lowered(lowered)) << print_module(lowered, true);
    const Tensor x = network.inputs(3);
    const std::vector<Tensor> reals{x};
    const Tensor expected = evaluate(network.module(), network.module().main(), reals)[0];
    const Graph& graph = lowered.main();
    const Coding in = graph.codings.at(graph.inputs[0]), out = graph.codings.at(graph.outputs[0]);
    // The input arrives as the codes of its Quantize.
    const Node& quantize = network.module().main().nodes.front();
    std::vector<Tensor> operands{x};
    for (std::size_t i = 1; i < 3; ++i) {
      operands.push_back(
          *constant_of(network.module(), network.module().main(), quantize.inputs[i]));
    }
    const Tensor codes =
        evaluate_node(network.module(), network.module().main(), quantize, operands)[0];
    ASSERT_EQ(codes.format(), graph.values[graph.inputs[0]].type.format);
    ASSERT_GT(lowered.constants[in.scale].tensor.real(0), 0);
    const std::vector<Tensor> coded{codes};
    const Tensor actual = evaluate(lowered, graph, coded)[0];
    const Tensor scale = lowered.constants[out.scale].tensor;
    const Tensor offset = lowered.constants[out.offset].tensor;
    for (std::int64_t i = 0; i < expected.size(); ++i) {
      const std::int64_t channel = i % 3;
      const double decoded =
          scale.real(scale.size() == 1 ? 0 : channel) * static_cast<double>(actual.integer(i)) +
          offset.real(offset.size() == 1 ? 0 : channel);
      ASSERT_EQ(decoded, expected.real(i)) << "seed " << seed << "\n"
                                           << print_module(network.module(), true) << "\n"
                                           << print_module(lowered, true);
    }
    varied += expected.real(0) != expected.real(3);
  }
  EXPECT_GT(varied, 50);
}

TEST_F(Lower, ConvolutionsNeedNoTransposesBetweenThem) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const Module lowered = lower(RandomNetwork(seed).module());
    int transposes = 0;
    for (const Node& node : lowered.main().nodes) transposes += node.op->name() == "Transpose";
    // One after the input, and one per turned layer and after it.
    EXPECT_LE(transposes, 9) << print_module(lowered, true);
  }
}

TEST_F(Lower, NamesEveryNodeWithoutIntegerForm) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  const ValueId x = builder.input("x", {{1, 4}, Format()});
  const ValueId s = builder.constant(Tensor::scalar(0.5));
  const ValueId q = builder.add("Quantize", {x, s}, {{"format", Format::parse("int8")}}, "q");
  const ValueId d = builder.add("Dequantize", {q, s}, {}, "d");
  const ValueId w = builder.constant(
      Tensor::from_reals(Format(), {4, 4}, std::vector<double>(16, 0.3)), "weights");
  builder.output(builder.add("MatMul", {d, w}, {}, "first"));
  builder.output(builder.add("MatMul", {d, w}, {}, "second"));
  try {
    lower(module);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'first'"));
    EXPECT_THAT(error.what(), HasSubstr("'second'"));
    EXPECT_THAT(error.what(), HasSubstr("compress"));
  }
}

// A node behind one that cannot be lowered is judged too, with its reason and remedy apart.
TEST_F(Lower, NamesNodesWithoutIntegerFormThatFollowEachOther) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  ValueId x = builder.input("x", {{1, 4}, Format::parse("int8")});
  x = builder.add("Dequantize", {x, builder.constant(Tensor::scalar(0.5))}, {}, "d");
  for (const std::string name : {"first", "second", "third"}) {
    const ValueId w = builder.constant(
        Tensor::from_reals(Format(), {4, 4}, std::vector<double>(16, 0.3)), name + ".weights");
    x = builder.add("Relu", {builder.add("MatMul", {x, w}, {}, name)});
  }
  builder.output(x);
  try {
    lower(module);
    FAIL();
  } catch (const LoweringError& error) {
    ASSERT_EQ(error.problems().size(), 3U);
    EXPECT_EQ(error.problems()[0].node, "first");
    EXPECT_EQ(error.problems()[2].node, "third");
    for (const LoweringProblem& problem : error.problems()) {
      EXPECT_EQ(problem.op, "MatMul");
      EXPECT_THAT(problem.reason, HasSubstr("real constant"));
      EXPECT_THAT(problem.remedy, HasSubstr("quantize it"));
    }
  }
}

TEST_F(Lower, ARealInputMustBeCoded) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  const ValueId x = builder.input("pixels", {{1, 4}, Format()});
  const ValueId two = builder.constant(Tensor::scalar(2));
  builder.output(builder.add("Mul", {x, two}, {}, "twice"));
  try {
    lower(module);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'pixels'"));
    EXPECT_THAT(error.what(), HasSubstr("--input-coding"));
  }
  LowerRequest request;
  request.inputs["pixels"] = {Format::parse("uint8"), Tensor::scalar(0.25), Tensor::scalar(-1)};
  const Module lowered = lower(module, request);
  const Coding coding = lowered.main().codings.at(lowered.main().outputs[0]);
  EXPECT_EQ(lowered.constants[coding.scale].tensor.real(0), 0.5);
  EXPECT_EQ(lowered.constants[coding.offset].tensor.real(0), -2);
  request.inputs["pixel"] = request.inputs["pixels"];
  EXPECT_THROW(lower(module, request), Error);
}

// Quarters from -32 to 31.75 to 6-bit codes, every rounding and zeros of every kind: all codes
// equal, ties included, whether the zero moves through the rounding or is added behind it.
TEST_F(Lower, ZerosAddedAfterRounding) {
  for (const Rounding rounding : kAllRoundings) {
    for (const double zero : {-31.0, -3.0, -2.0, 0.0, 1.0, 4.0}) {
      Module module;
      Builder builder(module, Builder::add_graph(module, "main"));
      const ValueId x = builder.input("x", {{256}, Format()});
      const ValueId quarter = builder.constant(Tensor::scalar(0.25));
      const ValueId one = builder.constant(Tensor::scalar(1));
      const ValueId z = builder.constant(Tensor::scalar(zero));
      const Format int8 = Format::parse("int8"), int6 = Format::parse("int6");
      const ValueId codes = builder.add("Quantize", {x, quarter}, {{"format", int8}}, "codes");
      const ValueId reals = builder.add("Dequantize", {codes, quarter}, {}, "reals");
      const ValueId q = builder.add("Quantize", {reals, one, z},
                                    {{"format", int6},
                                     {"rounding", std::string(name(rounding))},
                                     {"zero_added", std::string("after_rounding")}},
                                    "q");
      builder.output(builder.add("Dequantize", {q, one}, {}, "y"));
      std::vector<std::int64_t> all;
      std::vector<double> expected;
      for (std::int64_t code = -128; code < 128; ++code) {
        all.push_back(code);
        const auto rounded =
            static_cast<double>(round_real(static_cast<double>(code) / 4, rounding));
        expected.push_back(std::clamp(rounded + zero, -32.0, 31.0));
      }
      const std::vector<Tensor> inputs{Tensor::from_integers(int8, {256}, all)};
      const Module lowered = lower(module);
      EXPECT_EQ(evaluate(lowered, lowered.main(), inputs)[0].to_reals(), expected)
          << name(rounding) << " " << zero;
      const std::vector<Tensor> quarters{Tensor::from_reals(Format(), {256}, [&] {
        std::vector<double> values;
        for (const auto code : all) values.push_back(static_cast<double>(code) / 4);
        return values;
      }())};
      EXPECT_EQ(evaluate(module, module.main(), quarters)[0].to_reals(), expected);
    }
  }
}

// Softmax over coded logits: within a few steps of the real one, and its shares add up to one.
TEST_F(Lower, SoftmaxBecomesTableSumAndQuotient) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  const ValueId x = builder.input("x", {{1, 5}, Format()});
  const ValueId s = builder.constant(Tensor::scalar(0.07));
  const ValueId q = builder.add("Quantize", {x, s}, {{"format", Format::parse("int8")}}, "q");
  builder.output(builder.add("Softmax", {builder.add("Dequantize", {q, s}, {}, "d")}, {}, "share"));
  const Module lowered = lower(module);
  const CounterRandom random(3, 0);
  for (std::uint64_t run = 0; run < 200; ++run) {
    std::vector<std::int64_t> codes;
    std::vector<double> exponentials;
    double sum = 0;
    for (std::uint64_t i = 0; i < 5; ++i) {
      codes.push_back(random.integer(run * 5 + i, -128, 127));
      exponentials.push_back(std::exp(0.07 * static_cast<double>(codes.back())));
      sum += exponentials.back();
    }
    const std::vector<Tensor> inputs{Tensor::from_integers(Format::parse("int8"), {1, 5}, codes)};
    const auto shares = evaluate(lowered, lowered.main(), inputs)[0].to_integers();
    for (std::size_t i = 0; i < 5; ++i)
      EXPECT_NEAR(static_cast<double>(shares[i]) / 32768, exponentials[i] / sum, 2e-4);
  }
}

}  // namespace
}  // namespace tandem
