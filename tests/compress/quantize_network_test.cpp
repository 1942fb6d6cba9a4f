#include "tandem/compress/quantize_network.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/transform/lower.h"

#include "tests/support/networks.h"

namespace tandem {
namespace {

using test::NetworkMaker;
using test::relative_difference;
using ::testing::HasSubstr;

Module small_network(NetworkMaker& maker) {
  const ValueId x = maker.input("x", {3, 8, 8});
  const ValueId stem = maker.unary("Relu", "relu1", maker.conv("conv1", x, 6, 3));
  const ValueId deep = maker.unary("Relu", "relu2", maker.conv("deep", stem, 6, 3, 6));
  const ValueId sum = maker.add("sum", maker.conv("conv2", deep, 6, 1), stem);
  const ValueId pool = maker.max_pool("pool", maker.unary("Relu", "relu3", sum));
  const ValueId gate = maker.unary("Sigmoid", "gate", maker.conv("conv3", pool, 4, 3));
  const ValueId average = maker.unary("GlobalAveragePool", "average", gate);
  return maker.finish(maker.gemm("head", maker.reshape_flat("flat", average), 5));
}

struct Calibrated {
  NetworkMaker maker;
  Module network = small_network(maker);
  QuantizationSites sites;
  Calibration calibration;
  std::vector<Tensor> batches;

  explicit Calibrated(const SiteRules& rules = {}, std::int64_t rows = 32)
      : sites(find_sites(network, rules)), calibration(network, sites) {
    const Tensor all = maker.random({64, 3, 8, 8});
    for (std::int64_t i = 0; i < 64; i += rows) {
      batches.push_back(all.rows(i, i + rows));
      calibration.add(std::vector<Tensor>{batches.back()});
    }
  }
  Module quantized(const CompressRecipe& recipe) const {
    return quantize_network(network, sites, calibration, recipe);
  }
};

CompressRecipe recipe_of(int weight_bits, int activation_bits) {
  CompressRecipe recipe;
  recipe.weights.format = Format::integer(weight_bits, true);
  recipe.activations.format = Format::integer(activation_bits, false);
  return recipe;
}

TEST(QuantizeNetwork, ApproachesTheRealNetworkWithMoreBits) {
  Calibrated set;
  const Tensor input = set.maker.random({16, 3, 8, 8});
  double before = 1e9;
  for (const auto& [bits, most] : {std::pair{4, 0.7}, {8, 0.04}, {12, 0.003}, {16, 0.0005}}) {
    const Module quantized = set.quantized(recipe_of(bits, bits));
    const double difference = relative_difference(set.network, quantized, input);
    EXPECT_LT(difference, most) << bits;
    EXPECT_LT(difference, before) << bits;
    before = difference;
  }
}

TEST(QuantizeNetwork, LowersToIntegersForEveryWidthAndCoding) {
  Calibrated set;
  for (const int bits : {2, 3, 5, 8, 13}) {
    for (const bool symmetric : {false, true}) {
      for (const bool power_of_two : {false, true}) {
        CompressRecipe recipe = recipe_of(bits, bits);
        recipe.activations.symmetric = symmetric;
        if (power_of_two)
          recipe.activations.scale_format = recipe.weights.scales.format = Format::parse("e8m0");
        recipe.activations.format = Format::integer(bits, bits == 8);
        const Module quantized = set.quantized(recipe);
        const Module lowered = lower(quantized);
        EXPECT_TRUE(is_lowered(lowered));
        EXPECT_EQ(lowered.main().values[lowered.main().inputs[0]].type.format.bits(), bits);
      }
    }
  }
}

// The lowered network computes what the quantized real one does, up to f32 rounding at ties.
TEST(QuantizeNetwork, LoweredOutputsFollowTheQuantizedNetwork) {
  Calibrated set;
  const Module quantized = set.quantized(recipe_of(8, 8));
  const Module lowered = lower(quantized);
  const Graph& graph = lowered.main();
  const Tensor input = set.maker.random({16, 3, 8, 8});
  const auto real = evaluate(quantized, quantized.main(), std::vector<Tensor>{input});
  const Coding in = graph.codings.at(graph.inputs[0]), out = graph.codings.at(graph.outputs[0]);
  const double scale = lowered.constants[in.scale].tensor.real(0);
  const double offset = lowered.constants[in.offset].tensor.real(0);
  std::vector<double> codes;
  for (const double x : input.to_reals()) codes.push_back(std::nearbyint((x - offset) / scale));
  const Tensor coded =
      Tensor::from_reals(graph.values[graph.inputs[0]].type.format, input.shape(), codes);
  const auto integers = evaluate(lowered, graph, std::vector<Tensor>{coded});
  const Tensor out_scale = lowered.constants[out.scale].tensor;
  const Tensor out_offset = lowered.constants[out.offset].tensor;
  double greatest = 0, difference = 0;
  for (std::int64_t i = 0; i < real[0].size(); ++i) {
    const std::int64_t channel = i % 5;
    const double decoded = static_cast<double>(integers[0].integer(i)) *
                               out_scale.real(out_scale.size() == 1 ? 0 : channel) +
                           out_offset.real(out_offset.size() == 1 ? 0 : channel);
    greatest = std::max(greatest, std::abs(real[0].real(i)));
    difference = std::max(difference, std::abs(decoded - real[0].real(i)));
  }
  EXPECT_LT(difference, 0.01 * greatest);
}

TEST(QuantizeNetwork, BatchingOfTheCalibrationChangesNothing) {
  const Calibrated whole({}, 64), pieces({}, 4);
  EXPECT_EQ(print_module(whole.quantized(recipe_of(5, 6))),
            print_module(pieces.quantized(recipe_of(5, 6))));
}

TEST(QuantizeNetwork, SingleLayersHaveTheirOwnFormats) {
  Calibrated set;
  CompressRecipe recipe = recipe_of(8, 8);
  set_weight_formats(recipe, set.sites,
                     {{"conv*", Format::parse("int4")}, {"conv3", Format::parse("int3")}});
  set_activation_formats(recipe, set.sites, {{"relu?", Format::parse("uint6")}});
  const Module quantized = set.quantized(recipe);
  const Graph& graph = quantized.main();
  std::map<std::string, int> weight_bits, activation_bits;
  for (const Node& node : graph.nodes) {
    if (node.op->name() == "Quantize")
      activation_bits[node.name] = graph.values[node.outputs[0]].type.format.bits();
    if (node.op->name() == "Dequantize") {
      if (const Tensor* codes = constant_of(quantized, graph, node.inputs[0]))
        weight_bits[node.name] = codes->format().bits();
    }
  }
  EXPECT_EQ(weight_bits["conv1.weights.decoded"], 4);
  EXPECT_EQ(weight_bits["conv3.weights.decoded"], 3);
  EXPECT_EQ(weight_bits["deep.weights.decoded"], 8);
  EXPECT_EQ(activation_bits["relu2.codes"], 6);
  EXPECT_EQ(activation_bits["gate.codes"], 8);
}

TEST(QuantizeNetwork, InputsArriveInTheirOwnCodes) {
  SiteRules rules;
  const Format f64 = Format::parse("f64");
  rules.inputs["x"] = {Format::integer(8, false), Tensor::scalar(1.0 / 128, f64),
                       Tensor::scalar(-1, f64)};
  const Calibrated set(rules);
  const Module lowered = lower(set.quantized(recipe_of(8, 4)));
  const Graph& graph = lowered.main();
  EXPECT_EQ(graph.values[graph.inputs[0]].type.format, Format::integer(8, false));
  const Coding coding = graph.codings.at(graph.inputs[0]);
  EXPECT_EQ(lowered.constants[coding.scale].tensor.real(0), 1.0 / 128);
  EXPECT_EQ(lowered.constants[coding.offset].tensor.real(0), -1);
}

TEST(QuantizeNetwork, InputsWithAScalePerChannelLower) {
  SiteRules rules;
  const Format f64 = Format::parse("f64");
  rules.inputs["x"] = {Format::integer(8, false),
                       Tensor::from_reals(f64, {1, 3, 1, 1}, std::vector<double>{0.01, 0.02, 0.03}),
                       Tensor::from_reals(f64, {1, 3, 1, 1}, std::vector<double>{-1, -1.5, -2})};
  const Calibrated set(rules);
  EXPECT_TRUE(is_lowered(lower(set.quantized(recipe_of(8, 8)))));
}

TEST(QuantizeNetwork, PatternsThatMatchNothingAreRefused) {
  const Calibrated set;
  CompressRecipe recipe;
  const auto message_of = [&](const auto& action) -> std::string {
    try {
      action();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message_of([&] {
                set_weight_formats(recipe, set.sites, {{"conv9", Format::parse("int4")}});
              }),
              HasSubstr("'conv9' matches no layer; did you mean"));
  EXPECT_THAT(message_of([&] {
                set_activation_formats(recipe, set.sites, {{"*x*y", Format::parse("int4")}});
              }),
              HasSubstr("'*x*y' matches no layer"));
}

TEST(QuantizeNetwork, RefusesWithoutCalibrationAndWithBadWidths) {
  NetworkMaker maker;
  const Module network = small_network(maker);
  const QuantizationSites sites = find_sites(network);
  const Calibration none(network, sites);
  EXPECT_THROW(quantize_network(network, sites, none, {}), Error);
  const Calibrated set;
  EXPECT_THROW(set.quantized(recipe_of(8, 1)), Error);
  EXPECT_THROW(set.quantized(recipe_of(17, 8)), Error);
}

// The reals that the lowered network's outputs stand for, on samples of codes of its input.
std::vector<double> lowered_reals(const Module& lowered, const Tensor& codes) {
  const Graph& graph = lowered.main();
  const auto integers = evaluate(lowered, graph, std::vector<Tensor>{codes});
  const Coding coding = graph.codings.at(graph.outputs[0]);
  const Tensor scale = lowered.constants[coding.scale].tensor,
               offset = lowered.constants[coding.offset].tensor;
  std::vector<double> reals;
  for (std::int64_t i = 0; i < integers[0].size(); ++i) {
    const std::int64_t channel = i % integers[0].shape().back();
    reals.push_back(static_cast<double>(integers[0].integer(i)) *
                        scale.real(scale.size() == 1 ? 0 : channel) +
                    offset.real(offset.size() == 1 ? 0 : channel));
  }
  return reals;
}

// Formats that are not evenly spaced and scales within channels: the integers stand for the reals
// that the recoded network computes, but for ties that f32 rounds otherwise.
TEST(QuantizeNetwork, EveryFormatLowersToItsReals) {
  SiteRules site_rules;
  site_rules.inputs["x"] = {Format::integer(8, false),
                            Tensor::scalar(1.0 / 128, Format::parse("f64")),
                            Tensor::scalar(-1, Format::parse("f64"))};
  Calibrated set(site_rules);
  std::vector<double> codes;
  const Tensor input = set.maker.random({8, 3, 8, 8}, 0, 256);
  for (const double x : input.to_reals()) codes.push_back(std::floor(x));
  std::vector<double> reals;
  for (const double code : codes) reals.push_back(code / 128 - 1);
  struct Case {
    const char *weights, *activations, *granularity, *scales;
  };
  for (const Case& tried :
       {Case{"e4m3", "e4m3", "channel", "f32"}, Case{"e5m2", "e5m2", "tensor", "f32"},
        Case{"e2m1", "e3m2", "group:32", "e8m0"}, Case{"nf4", "uint8", "group:8", "f16"},
        Case{"uint4", "int8", "group:9", "f32"}, Case{"pow2<4>", "pow2<5>", "channel", "f32"},
        Case{"khot<8,2>", "khot<8,2>", "channel", "e8m0"},
        Case{"ternary", "e3m4", "channel", "bf16"}, Case{"int4", "uint8", "group:8", "uint8:4"},
        Case{"e2m1", "uint8", "group:16", "e4m3:tensor"},
        Case{"int4", "uint8", "channel", "uint6:4"}}) {
    CompressRecipe recipe;
    recipe.weights.format = Format::parse(tried.weights);
    recipe.weights.granularity = parse_granularity(tried.granularity);
    recipe.activations.format = Format::parse(tried.activations);
    recipe.weights.scales = parse_scale_rules(tried.scales);
    if (recipe.weights.scales.block == 0)
      recipe.activations.scale_format = recipe.weights.scales.format;
    const Module quantized = set.quantized(recipe);
    const Module lowered = lower(quantized, {{}, site_rules.inputs, 8});
    EXPECT_TRUE(is_lowered(lowered));
    const auto wanted =
        evaluate(quantized, quantized.main(),
                 std::vector<Tensor>{Tensor::from_reals(Format(), input.shape(), reals)})[0]
            .to_reals();
    const auto found =
        lowered_reals(lowered, Tensor::from_reals(Format::integer(8, false), input.shape(), codes));
    ASSERT_EQ(wanted.size(), found.size());
    double greatest = 0, mean = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      greatest = std::max(greatest, std::abs(wanted[i]));
      mean += std::abs(wanted[i] - found[i]) / static_cast<double>(wanted.size());
    }
    EXPECT_LT(mean, 2e-3 * greatest) << tried.weights << " " << tried.activations;
  }
}

TEST(QuantizeNetwork, WeightsAloneStayAmongReals) {
  SiteRules rules;
  rules.real_activations = true;
  Calibrated set(rules);
  CompressRecipe recipe;
  recipe.weights.format = Format::parse("nf4");
  recipe.weights.granularity = parse_granularity("group:16");
  const Module recoded = set.quantized(recipe);
  EXPECT_FALSE(is_quantized(recoded));
  EXPECT_LT(relative_difference(set.network, recoded, set.maker.random({8, 3, 8, 8})), 0.5);
}

// With ternary weights the means of layers move; the correction brings the outputs' back.
TEST(QuantizeNetwork, CorrectedBiasesKeepTheMeans) {
  NetworkMaker maker;
  const ValueId x = maker.unary("Relu", "relu", maker.input("x", {12}));
  const Module network = maker.finish(maker.gemm("head", x, 6));
  SiteRules rules;
  rules.real_activations = true;
  const QuantizationSites sites = find_sites(network, rules);
  Calibration calibration(network, sites, MomentsWanted::kFirst);
  const std::vector<Tensor> batch{maker.random({256, 12})};
  calibration.add(batch);
  const auto mean_error = [&](bool corrects) {
    CompressRecipe recipe;
    recipe.weights.format = Format::parse("ternary");
    recipe.bias_correction = corrects;
    const Module recoded = quantize_network(network, sites, calibration, recipe);
    const auto exact = evaluate(network, network.main(), batch)[0].to_reals(),
               found = evaluate(recoded, recoded.main(), batch)[0].to_reals();
    double worst = 0;
    for (std::size_t channel = 0; channel < 6; ++channel) {
      double sum = 0;
      for (std::size_t i = channel; i < exact.size(); i += 6) sum += found[i] - exact[i];
      worst = std::max(worst, std::abs(sum) / 256);
    }
    return worst;
  };
  EXPECT_GT(mean_error(false), 1e-3);
  EXPECT_LT(mean_error(true), 1e-5);
}

// Rows of very different size keep their precision, and rows of zeros are zeros.
TEST(QuantizeNetwork, TokenScalesFollowEachRow) {
  NetworkMaker maker;
  const ValueId x = maker.input("x", {6, 8});
  const ValueId y = maker.builder().add("MatMul", {x, maker.constant({8, 5}, -1, 1)}, {}, "y");
  const Module network = maker.finish(y);
  const QuantizationSites sites = find_sites(network);
  Calibration calibration(network, sites);
  std::vector<double> values = maker.random({2, 6, 8}).to_reals();
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] *= i / 8 % 6 == 5 ? 0 : std::pow(10.0, static_cast<double>(i / 8 % 6) - 3);
  const std::vector<Tensor> batch{Tensor::from_reals(Format(), {2, 6, 8}, values)};
  calibration.add(batch);
  const auto exact = evaluate(network, network.main(), batch)[0].to_reals();
  const auto worst_row = [&](bool token_scales) {
    CompressRecipe recipe;
    recipe.token_scales = token_scales;
    const Module recoded = quantize_network(network, sites, calibration, recipe);
    EXPECT_EQ(is_quantized(recoded), !token_scales);
    const auto found = evaluate(recoded, recoded.main(), batch)[0].to_reals();
    double worst = 0;
    for (std::size_t row = 0; row < exact.size() / 5; ++row) {
      double error = 0, reach = 0;
      for (std::size_t c = 0; c < 5; ++c) {
        error = std::max(error, std::abs(found[row * 5 + c] - exact[row * 5 + c]));
        reach = std::max(reach, std::abs(exact[row * 5 + c]));
      }
      if (reach == 0) {
        EXPECT_EQ(error, 0);
        continue;
      }
      worst = std::max(worst, error / reach);
    }
    return worst;
  };
  EXPECT_GT(worst_row(false), 0.5);
  EXPECT_LT(worst_row(true), 0.03);
}

// The MX formats: each block of a row is codes times a power of two, the least that holds it. With
// the unit matrix the network gives back what the codes stand for.
TEST(QuantizeNetwork, BlocksOfRowsHaveScalesOfTheirOwn) {
  NetworkMaker maker;
  std::vector<double> unit(24 * 24, 0.0);
  for (std::size_t i = 0; i < 24; ++i) unit[25 * i] = 1;
  const ValueId x = maker.input("x", {3, 24});
  const ValueId w = maker.builder().constant(Tensor::from_reals(Format(), {24, 24}, unit), "w");
  const Module network = maker.finish(maker.builder().add("MatMul", {x, w}, {}, "y"));
  const QuantizationSites sites = find_sites(network);
  Calibration calibration(network, sites);
  std::vector<double> values = maker.random({2, 3, 24}).to_reals();
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(i < 8 ? 0 : values[i] * std::pow(3.0, i / 8 % 7));
  const std::vector<Tensor> batch{Tensor::from_reals(Format(), {2, 3, 24}, values)};
  calibration.add(batch);
  for (const char* format : {"e4m3", "e2m1", "int8"}) {
    for (const char* scales : {"f32", "f16", "bf16", "e8m0"}) {
      CompressRecipe recipe;
      recipe.weights.format = Format::parse("int16");
      recipe.weights.method = RangeMethod::kMinMax;
      recipe.activations.format = Format::parse(format);
      recipe.activations.scale_format = Format::parse(scales);
      recipe.token_scales = true;
      recipe.token_block = 9;  // 24 is no multiple: blocks of 8
      const Module recoded = quantize_network(network, sites, calibration, recipe);
      EXPECT_FALSE(is_quantized(recoded)) << format << " " << scales;
      const auto found = evaluate(recoded, recoded.main(), batch)[0].to_reals();
      const WeightCodec codec(Format::parse(format));
      for (std::size_t block = 0; block < values.size() / 8; ++block) {
        double reach = 0;
        for (std::size_t i = 8 * block; i < 8 * block + 8; ++i)
          reach = std::max(reach, std::abs(values[i]));
        const double share = static_cast<float>(1 / codec.greatest());
        double scale = static_cast<float>(reach * share);
        const Format held = Format::parse(scales);
        if (reach > 0 && held.is_float()) scale = held.decode(held.encode(scale));
        if (reach > 0 && !held.is_float()) scale = std::exp2(std::ceil(std::log2(scale)));
        for (std::size_t i = 8 * block; i < 8 * block + 8; ++i) {
          const double wanted = reach > 0 ? codec.nearest(values[i] / scale) * scale : 0;
          EXPECT_NEAR(found[i], wanted, 1e-5 * reach) << format << " " << scales << " " << block;
        }
      }
    }
  }
}

// Embeddings: a table of reals looked up by integers of the input becomes a table of codes.
TEST(QuantizeNetwork, TablesThatAreLookedUpLower) {
  NetworkMaker maker;
  const ValueId ids = maker.builder().input("ids", {{Dim::symbol("N"), 4}, Format::parse("int64")});
  const ValueId rows = maker.builder().add("Gather", {maker.constant({9, 6}, -1, 1), ids},
                                           {{"axis", std::int64_t{0}}}, "embedded");
  const Module network =
      maker.finish(maker.builder().add("MatMul", {rows, maker.constant({6, 3}, -1, 1)}, {}, "y"));
  const QuantizationSites sites = find_sites(network);
  Calibration calibration(network, sites);
  const std::vector<std::int64_t> numbers = {0, 8, 3, 3, 1, 2, 7, 5};
  const Tensor input = Tensor::from_integers(Format::parse("int64"), {2, 4}, numbers);
  calibration.add(std::vector<Tensor>{input});
  const Module quantized = quantize_network(network, sites, calibration, {});
  const Module lowered = lower(quantized);
  EXPECT_TRUE(is_lowered(lowered));
  const auto wanted = evaluate(quantized, quantized.main(), std::vector<Tensor>{input})[0];
  const auto found = lowered_reals(lowered, input);
  for (std::int64_t i = 0; i < wanted.size(); ++i)
    EXPECT_NEAR(found[static_cast<std::size_t>(i)], wanted.real(i), 1e-5);
}

}  // namespace
}  // namespace tandem
