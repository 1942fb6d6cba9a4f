#include "tandem/transform/channel_seams.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/graph/operator.h"
#include "tandem/graph/verifier.h"

#include "tests/support/networks.h"

namespace tandem {
namespace {

using test::NetworkMaker;
using test::relative_difference;

Module convolutions(NetworkMaker& maker) {
  const ValueId x = maker.input("x", {3, 8, 8});
  const ValueId a = maker.unary("Relu", "relu1", maker.conv("conv1", x, 6, 3));
  const ValueId b = maker.unary("Relu", "relu2", maker.conv("deep", a, 6, 3, 6));
  const ValueId c = maker.conv("conv2", b, 5, 1);
  const ValueId y = maker.unary("Relu", "relu3", c);
  return maker.finish(maker.add("sum", maker.conv("left", y, 4, 3), maker.conv("right", y, 4, 1)));
}

ValueId normalized(NetworkMaker& maker, ValueId x, std::int64_t channels) {
  return maker.builder().add(
      "LayerNormalization",
      {x, maker.constant({channels}, 0.5, 2), maker.constant({channels}, -1, 1)}, {}, "norm");
}

// A block as exporters write it: products with a sum behind, a transposition between.
Module block(NetworkMaker& maker) {
  const ValueId x = maker.input("x", {5, 8});
  const ValueId norm = normalized(maker, x, 8);
  const ValueId turned = maker.builder().add(
      "Transpose", {norm}, {{"perm", std::vector<std::int64_t>{1, 0, 2}}}, "turned");
  const auto product = [&](const char* name) {
    return maker.builder().add("MatMul", {turned, maker.constant({8, 8}, -1, 1)}, {}, name);
  };
  const ValueId query =
      maker.builder().add("Add", {product("query"), maker.constant({8}, -1, 1)}, {}, "query.bias");
  const ValueId key =
      maker.builder().add("Add", {maker.constant({8}, -1, 1), product("key")}, {}, "key.bias");
  return maker.finish(maker.builder().add("Mul", {query, key}, {}, "y"));
}

std::vector<double> random_scale(std::int64_t channels) {
  std::mt19937 engine(7);
  std::uniform_real_distribution<double> octave(-3, 3);
  std::vector<double> scale;
  for (std::int64_t c = 0; c < channels; ++c) scale.push_back(std::exp2(octave(engine)));
  return scale;
}

TEST(ChannelSeams, FindsWhatFollowsEachOther) {
  NetworkMaker maker;
  const Module network = convolutions(maker);
  const auto seams = channel_seams(network);
  ASSERT_EQ(seams.size(), 3U);
  EXPECT_EQ(network.main().values[seams[0].value].name, "relu1");
  EXPECT_EQ(seams[2].readers.size(), 2U);
  EXPECT_EQ(seams[2].between.size(), 1U);
  for (const ChannelSeam& seam : seams) EXPECT_FALSE(seam.takes_shift) << "Relu and padding";
}

// As readers of other formats write images: turned, summed with one number, and turned back.
TEST(ChannelSeams, DataMovementMayLieBetween) {
  NetworkMaker maker;
  const ValueId x = maker.conv("conv1", maker.input("x", {3, 6, 6}), 5, 3);
  const auto turned = [&](ValueId value, std::vector<std::int64_t> perm) {
    return maker.builder().add("Transpose", {value}, {{"perm", std::move(perm)}});
  };
  const ValueId sum = maker.builder().add(
      "Add", {turned(x, {0, 2, 3, 1}), maker.constant({}, 0.1, 0.2)}, {}, "sum");
  const ValueId back = turned(maker.unary("Relu", "relu", sum), {0, 3, 1, 2});
  const Module network = maker.finish(maker.conv("conv2", back, 4, 3));
  const auto seams = channel_seams(network);
  ASSERT_EQ(seams.size(), 1U);
  Module changed = network;
  rescale_channels(changed, seams[0], random_scale(5));
  remove_unused(changed);
  verify(changed);
  EXPECT_LT(relative_difference(network, changed, maker.random({2, 3, 6, 6})), 1e-5);
}

TEST(ChannelSeams, OutputsAndOtherReadersKeepTheirScale) {
  NetworkMaker maker;
  const ValueId x = maker.input("x", {3, 8, 8});
  const ValueId a = maker.conv("conv1", x, 3, 1);
  const Module network = maker.finish(maker.add("sum", maker.conv("conv2", a, 3, 1), a));
  EXPECT_TRUE(channel_seams(network).empty());
}

TEST(ChannelSeams, ScalesKeepTheFunction) {
  NetworkMaker maker;
  const Module network = convolutions(maker);
  const Tensor input = maker.random({4, 3, 8, 8});
  for (const ChannelSeam& seam : channel_seams(network)) {
    Module changed = network;
    rescale_channels(changed, seam, random_scale(seam.channels));
    remove_unused(changed);
    verify(changed);
    EXPECT_LT(relative_difference(network, changed, input), 1e-5);
  }
}

TEST(ChannelSeams, NormalizationsTakeShiftsToo) {
  NetworkMaker maker;
  const Module network = block(maker);
  const auto seams = channel_seams(network);
  ASSERT_EQ(seams.size(), 1U);
  EXPECT_TRUE(seams[0].takes_shift);
  EXPECT_EQ(seams[0].readers.size(), 2U);
  Module changed = network;
  const auto scale = random_scale(8);
  std::vector<double> shift;
  for (const double s : scale) shift.push_back(s - 1);
  rescale_channels(changed, seams[0], scale, shift);
  remove_unused(changed);
  verify(changed);
  EXPECT_LT(relative_difference(network, changed, maker.random({3, 5, 8})), 1e-5);
}

TEST(ChannelSeams, EqualizedLayersReachEquallyFar) {
  NetworkMaker maker;
  Module network = convolutions(maker);
  const Tensor input = maker.random({4, 3, 8, 8});
  const auto seams = channel_seams(network);
  rescale_channels(network, seams[0], random_scale(6));
  rescale_channels(network, seams[1], random_scale(6));
  Module equalized = network;
  EXPECT_EQ(equalize_layers(equalized), 3U);
  verify(equalized);
  EXPECT_LT(relative_difference(network, equalized, input), 1e-5);
  for (const ChannelSeam& seam : channel_seams(equalized)) {
    const auto first = producer_reach(equalized, seam), second = reader_reach(equalized, seam);
    for (std::size_t c = 0; c < first.size(); ++c)
      EXPECT_NEAR(first[c], second[c], 0.01 * first[c]);
  }
}

}  // namespace
}  // namespace tandem
