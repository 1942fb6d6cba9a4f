#include "tandem/compress/sites.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/transform/recognize.h"

#include "tests/support/networks.h"

namespace tandem {
namespace {

using test::NetworkMaker;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> activation_names(const QuantizationSites& sites) {
  std::vector<std::string> names;
  for (const ActivationSite& site : sites.activations) names.push_back(site.name);
  return names;
}

std::vector<std::string> weight_names(const QuantizationSites& sites) {
  std::vector<std::string> names;
  for (const WeightSite& site : sites.weights) names.push_back(site.layer);
  return names;
}

InputCoding bytes(double scale, double offset) {
  const Format f64 = Format::parse("f64");
  return {Format::integer(8, false), Tensor::scalar(scale, f64), Tensor::scalar(offset, f64)};
}

Module residual_network(NetworkMaker& maker) {
  const ValueId x = maker.input("x", {3, 8, 8});
  const ValueId stem = maker.unary("Relu", "relu1", maker.conv("conv1", x, 4, 3));
  const ValueId sum = maker.add("sum", maker.conv("conv2", stem, 4, 3), stem);
  const ValueId pool = maker.max_pool("pool", maker.unary("Relu", "relu2", sum));
  const ValueId average = maker.unary("GlobalAveragePool", "average", pool);
  return maker.finish(maker.gemm("head", maker.reshape_flat("flat", average), 5));
}

TEST(Sites, LieBehindActivationsAndBeforeResidualSums) {
  NetworkMaker maker;
  const QuantizationSites sites = find_sites(residual_network(maker));
  EXPECT_THAT(weight_names(sites), ElementsAre("conv1", "conv2", "head"));
  EXPECT_THAT(activation_names(sites), ElementsAre("x", "relu1", "conv2", "relu2", "average"));
  EXPECT_EQ(sites.groups, 5U);
}

TEST(Sites, ResidualStreamsOfTransformersAreKnown) {
  Module network = test::small_transformer({.blocks = 1});
  recognize_gelu(network);
  const QuantizationSites sites = find_sites(network);
  std::vector<std::string> residual, others;
  for (const ActivationSite& site : sites.activations)
    (site.residual ? residual : others).push_back(site.layer);
  EXPECT_THAT(residual, ElementsAre("patches", "places", "block0.out.bias", "block0.sum1",
                                    "block0.down.bias", "block0.sum2"));
  EXPECT_THAT(others,
              ElementsAre("image", "block0.norm1", "block0.query.bias", "block0.key.bias",
                          "block0.value.bias", "block0.softmax", "block0.mixed", "block0.norm2",
                          "block0.up.bias", testing::HasSubstr("Mul"), "norm"));
  const Graph& graph = network.main();
  for (const Node& node : graph.nodes) {
    if (node.name == "tokens") {
      EXPECT_EQ(sites.group_of[node.outputs[0]], sites.activations[1].group);
    }
  }
  for (const ActivationSite& site : sites.activations) {
    const bool paired = site.layer == "block0.query.bias" || site.layer == "block0.key.bias" ||
                        site.layer == "block0.value.bias" || site.layer == "block0.softmax";
    EXPECT_EQ(site.centred, paired || site.residual) << site.layer;
  }
}

// Queries that are scaled before they meet the keys keep the codes that they share with them.
TEST(Sites, CodesTimesANumberAreCodes) {
  for (const double factor : {0.125, -0.125}) {
    NetworkMaker maker;
    const ValueId x = maker.gemm("heads", maker.input("x", {8}), 8);
    const ValueId scaled = maker.builder().add(
        "Mul", {x, maker.builder().constant(Tensor::scalar(factor))}, {}, "scaled");
    const ValueId keys =
        maker.builder().add("Transpose", {x}, {{"perm", std::vector<std::int64_t>{1, 0}}}, "keys");
    const Module network = maker.finish(maker.builder().add("MatMul", {scaled, keys}));
    std::vector<std::string> layers;
    for (const ActivationSite& site : find_sites(network).activations) layers.push_back(site.layer);
    if (factor > 0) {
      EXPECT_THAT(layers, ElementsAre("x", "heads"));
    } else {
      EXPECT_THAT(layers, ElementsAre("x", "heads", "scaled"));
    }
  }
}

// What a product reads too stays narrow, though it is also normalized.
TEST(Sites, ValuesThatProductsReadAreNoResidualStreams) {
  NetworkMaker maker;
  const ValueId x = maker.input("x", {4, 8, 8});
  const ValueId stem = maker.conv("stem", x, 4, 3);
  const ValueId sum = maker.add("sum", maker.conv("conv", stem, 4, 3), stem);
  const ValueId norm = maker.builder().add(
      "GroupNormalization", {sum, maker.constant({4}, 1, 2), maker.constant({4}, -1, 1)},
      {{"num_groups", std::int64_t{2}}}, "norm");
  for (const ActivationSite& site : find_sites(maker.finish(norm)).activations)
    EXPECT_EQ(site.residual, site.layer == "conv" || site.layer == "sum") << site.layer;
}

TEST(Sites, OutputsMayBeCodes) {
  NetworkMaker maker;
  SiteRules rules;
  rules.coded_outputs = true;
  const QuantizationSites sites = find_sites(residual_network(maker), rules);
  EXPECT_EQ(sites.groups, 6U);
  EXPECT_EQ(sites.activations.back().layer, "head");
}

TEST(Sites, SumsMayShareOneCoding) {
  NetworkMaker maker;
  SiteRules rules;
  rules.shared_sums = true;
  const QuantizationSites sites = find_sites(residual_network(maker), rules);
  EXPECT_EQ(sites.groups, 4U);
  EXPECT_EQ(sites.activations[1].group, sites.activations[2].group);
}

TEST(Sites, FunctionsReadCodes) {
  NetworkMaker maker;
  const ValueId x = maker.conv("conv1", maker.input("x", {2, 4, 4}), 3, 3);
  const ValueId y = maker.unary("Sigmoid", "gate", maker.batch_norm("norm", x));
  const QuantizationSites sites = find_sites(maker.finish(maker.conv("conv2", y, 2, 1)));
  EXPECT_THAT(activation_names(sites), ElementsAre("x", "norm", "gate"));
}

TEST(Sites, OutputsStaySums) {
  NetworkMaker maker;
  const ValueId x = maker.matmul("product", maker.input("x", {5}), 4);
  const QuantizationSites sites = find_sites(maker.finish(maker.unary("Relu", "relu", x)));
  EXPECT_THAT(activation_names(sites), ElementsAre("x"));
}

TEST(Sites, CodesThatArriveNeedNoSite) {
  NetworkMaker maker;
  const Module network = residual_network(maker);
  SiteRules rules;
  rules.inputs["x"] = bytes(1.0 / 255, 0);
  EXPECT_THAT(activation_names(find_sites(network, rules)),
              ElementsAre("relu1", "conv2", "relu2", "average"));
  // Zero is no code: products need another coding.
  rules.inputs["x"] = bytes(1.0 / 255, -0.3);
  const QuantizationSites sites = find_sites(network, rules);
  EXPECT_THAT(activation_names(sites), ElementsAre("x", "relu1", "conv2", "relu2", "average"));
  EXPECT_EQ(sites.inputs.size(), 1U);
}

TEST(Sites, ConcatenatedValuesShareOneCoding) {
  NetworkMaker maker;
  const ValueId x = maker.input("x", {2, 4, 4});
  const ValueId a = maker.unary("Relu", "a", maker.conv("conv_a", x, 2, 1));
  const ValueId b = maker.max_pool("pool_b", maker.conv("conv_b", x, 3, 1));
  const ValueId joined = maker.builder().add("Concat", {maker.max_pool("pool_a", a), b},
                                             {{"axis", std::int64_t{1}}}, "joined");
  const QuantizationSites sites = find_sites(maker.finish(maker.conv("last", joined, 2, 1)));
  EXPECT_THAT(activation_names(sites), ElementsAre("x", "a", "conv_b"));
  EXPECT_EQ(sites.activations[1].group, sites.activations[2].group);
  EXPECT_EQ(sites.groups, 2U);
}

TEST(Sites, RealLayersAskForNothing) {
  NetworkMaker maker;
  SiteRules rules;
  rules.real_layers = {"head"};
  const QuantizationSites sites = find_sites(residual_network(maker), rules);
  EXPECT_THAT(weight_names(sites), ElementsAre("conv1", "conv2"));
  EXPECT_THAT(activation_names(sites), ElementsAre("x", "relu1", "conv2", "relu2"));
}

TEST(Sites, RefusesUnknownInputsAndLayersByName) {
  NetworkMaker maker;
  const Module network = residual_network(maker);
  const auto message_of = [&](const SiteRules& rules) -> std::string {
    try {
      find_sites(network, rules);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  SiteRules rules;
  rules.inputs["y"] = bytes(1, 0);
  EXPECT_THAT(message_of(rules), HasSubstr("no input 'y'"));
  rules.inputs.clear();
  rules.real_layers = {"conv3"};
  EXPECT_THAT(message_of(rules), HasSubstr("did you mean 'conv1'?"));
}

TEST(Sites, RefusesQuantizedNetworks) {
  NetworkMaker maker;
  const ValueId scale = maker.builder().constant(Tensor::scalar(0.5));
  const ValueId codes = maker.builder().add("Quantize", {maker.input("x", {4}), scale},
                                            {{"format", Format::integer(8, true)}}, "codes");
  const Module network = maker.finish(maker.builder().add("Dequantize", {codes, scale}));
  try {
    find_sites(network);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("already quantized (Quantize 'codes')"));
  }
}

}  // namespace
}  // namespace tandem
