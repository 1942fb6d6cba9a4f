// A whole transformer in integers: every execution has the bits of the reference, and the
// reference is near the quantized network of reals.
#include <cmath>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/text.h"
#include "tandem/compress/quantize_network.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/transform/lower.h"
#include "tandem/transform/recognize.h"
#include "tandem/verify/equality.h"
#include "tandem/verify/network.h"
#include "tandem/verify/samples.h"

#include "tests/support/networks.h"
#include "tests/support/random_module.h"

namespace tandem {
namespace {

using test::NetworkMaker;
using test::small_transformer;
using test::TransformerOptions;

struct Transformer {
  Module real, quantized, lowered;
  std::vector<Tensor> images;

  explicit Transformer(const TransformerOptions& options, int residual_bits = 16) {
    real = small_transformer(options);
    recognize_gelu(real);
    const QuantizationSites sites = find_sites(real);
    Calibration calibration(real, sites);
    NetworkMaker maker(7);
    for (int i = 0; i < 32; ++i) {
      images.push_back(maker.random({1, 3, 8, 8}));
      calibration.add(std::vector<Tensor>{images.back()});
    }
    CompressRecipe recipe;
    recipe.residual_format = Format::integer(residual_bits, true);
    recipe.activations.method = RangeMethod::kMinMax;
    quantized = quantize_network(real, sites, calibration, recipe);
    lowered = lower(quantized);
  }

  // The images as codes of the lowered network.
  Samples codes() const {
    const Graph& graph = lowered.main();
    const Coding coding = graph.codings.at(graph.inputs[0]);
    const double scale = lowered.constants[coding.scale].tensor.real(0),
                 offset = lowered.constants[coding.offset].tensor.real(0);
    std::vector<std::vector<Tensor>> samples;
    for (const Tensor& image : images) {
      std::vector<double> values;
      for (const double x : image.to_reals())
        values.push_back(std::nearbyint((x - offset) / scale));
      samples.push_back(
          {Tensor::from_reals(graph.values[graph.inputs[0]].type.format, image.shape(), values)});
    }
    return stack(samples);
  }

  // Signal over noise in dB of scores against those of the network of reals.
  double decibels(const std::function<std::vector<double>(std::size_t)>& scores_of) const {
    double signal = 0, noise = 0;
    for (std::size_t i = 0; i < images.size(); ++i) {
      const auto exact = evaluate(real, real.main(), std::vector<Tensor>{images[i]})[0].to_reals();
      const auto scores = scores_of(i);
      for (std::size_t k = 0; k < exact.size(); ++k) {
        signal += exact[k] * exact[k];
        noise += std::pow(exact[k] - scores[k], 2);
      }
    }
    return 10 * std::log10(signal / noise);
  }
};

std::set<std::string> operators_in(const Module& module) {
  const auto list = test::operators_of(module);
  return {list.begin(), list.end()};
}

class TransformerTest : public testing::TestWithParam<TransformerOptions> {};
INSTANTIATE_TEST_SUITE_P(Forms, TransformerTest,
                         testing::Values(TransformerOptions{2, false, "erf"},
                                         TransformerOptions{1, true, "Gelu"},
                                         TransformerOptions{1, false, "tanh"}),
                         [](const auto& form) { return form.param.activation; });

TEST_P(TransformerTest, EveryExecutionHasTheBitsOfTheReference) {
  const Transformer transformer(GetParam());
  ASSERT_TRUE(is_lowered(transformer.lowered));
  EXPECT_TRUE(operators_in(transformer.lowered).contains("IntSqrt"));
  const Samples inputs = transformer.codes();
  const Samples expected = make_execution("reference", transformer.lowered)->run(inputs);
  for (const char* name : {"cpu", "c", "qemu"}) {
    ExecutionOptions options;
    options.sanitize = std::string_view(name) == "c";
    const auto outputs = make_execution(name, transformer.lowered, options)->run(inputs);
    const Equality equality = compare_samples(expected, outputs);
    EXPECT_TRUE(equality.equal()) << to_string(equality, "reference", name);
  }
}

TEST_P(TransformerTest, ScoresAreThoseOfTheQuantizedNetworkButForRounding) {
  const Transformer transformer(GetParam());
  const Samples codes = make_execution("reference", transformer.lowered)->run(transformer.codes());
  const double quantized = transformer.decibels([&](std::size_t i) {
    return evaluate(transformer.quantized, transformer.quantized.main(),
                    std::vector<Tensor>{transformer.images[i]})[0]
        .to_reals();
  });
  const double lowered = transformer.decibels([&](std::size_t i) {
    const auto own = one_sample(codes, static_cast<std::int64_t>(i));
    return decoded_output(transformer.lowered, 0, own[0]).to_reals();
  });
  EXPECT_GT(quantized, 28);
  EXPECT_GT(lowered, quantized - 1);  // codes of 8 bits beside which a real lies flip
  RecordProperty("quantized_db", std::to_string(quantized));
  RecordProperty("lowered_db", std::to_string(lowered));
}

TEST(Transformer, ANormalizationIsACircuit) {
  register_operators();
  for (const char* op : {"LayerNormalization(%d, %g, %b)", "RMSNormalization(%d, %g)"}) {
    const Module lowered = lower(parse_module(concat(R"(tandem-module 1
constant @s : f32[] = [0.05]
constant @t : f32[] = [0.03]
constant @g : f32[6] = [1,0.5,-1,2,1.5,0.7]
constant @b : f32[6] = [0,0.1,-0.3,1,0,0.2]
graph @main(%x : f32[1,3,6]) -> (%z) {
  %s = constant @s
  %t = constant @t
  %g = constant @g
  %b = constant @b
  %q : int8[1,3,6] = Quantize(%x, %s) {format = int8}
  %d : f32[1,3,6] = Dequantize(%q, %s)
  %y : f32[1,3,6] = )",
                                                     op, R"(
  %z : int8[1,3,6] = Quantize(%y, %t) {format = int8}
}
)")));
    const Samples inputs = stack(random_inputs(lowered, 1, 8));
    const Samples expected = make_execution("reference", lowered)->run(inputs);
    const Equality equality =
        compare_samples(expected, make_execution("circuit", lowered)->run(inputs));
    EXPECT_TRUE(equality.equal()) << to_string(equality, "reference", "circuit");
  }
}

}  // namespace
}  // namespace tandem
