#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/compress/recoder.h"

#include "tests/support/networks.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// The network with one number of a node's constant changed.
Module with(Module network, const std::string& node_name, std::size_t input, std::size_t element,
            float number) {
  for (const Node& node : network.main().nodes) {
    if (node.name != node_name) continue;
    const ConstantId id = network.main().values[node.inputs[input]].constant;
    network.constants[id].tensor.mutable_data<float>()[element] = number;
  }
  return network;
}

TEST(BadWeights, AreNamedByLayerAndChannel) {
  test::NetworkMaker maker;
  const ValueId x = maker.input("image", {2, 6, 6});
  const ValueId stem = maker.conv("stem", x, 4, 3);
  const ValueId flat = maker.reshape_flat("flat", stem);
  const Module network = maker.finish(maker.matmul("head", maker.gemm("middle", flat, 5), 3));
  const auto says = [&](const std::string& node, std::size_t input, std::size_t element,
                        float number, const std::string& text) {
    const Module bad = with(network, node, input, element, number);
    EXPECT_THAT([&] { Recoder recoder(bad, SiteRules{}); }, ThrowsMessage<Error>(HasSubstr(text)));
  };
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  says("stem", 1, 18 * 2 + 5, kNan, "the weights of 'stem': output channel 2 (from 0) holds nan");
  says("stem", 2, 3, kInfinity, "the biases of 'stem': output channel 3 (from 0) holds inf");
  says("middle", 1, 144 + 1, -kInfinity, "the weights of 'middle': output channel 1 (from 0)");
  says("head", 1, 3 * 4 + 2, kNan, "the weights of 'head': output channel 2 (from 0) holds nan");
}

}  // namespace
}  // namespace tandem
