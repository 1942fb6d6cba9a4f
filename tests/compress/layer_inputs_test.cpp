#include "tandem/compress/layer_inputs.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"

#include "tests/support/networks.h"

namespace tandem {
namespace {

using test::NetworkMaker;

// For every row of weights w the sum of (w x)^2 over all outputs is w^T (sum x x^T) w.
TEST(LayerInputs, MomentsGiveTheEnergyOfTheOutputs) {
  NetworkMaker maker;
  const ValueId x = maker.input("x", {4, 7, 6});
  const ValueId a = maker.conv("plain", x, 6, 3, 1, false);
  const ValueId b = maker.conv("grouped", a, 6, 3, 2, false);
  const ValueId c = maker.conv("deep", b, 6, 3, 6, false);
  const Module network = maker.finish(maker.matmul("head", maker.reshape_flat("flat", c), 5));
  const QuantizationSites sites = find_sites(network);
  LayerInputs inputs(network, sites, true);
  const Tensor batch = maker.random({3, 4, 7, 6});
  std::map<ValueId, Tensor> seen;
  const auto observe = [&](ValueId value, const Tensor& tensor) {
    for (const WeightSite& site : sites.weights)
      if (network.main().nodes[site.node].inputs[0] == value)
        inputs.add(site.node, std::vector<Tensor>{tensor});
    seen.emplace(value, tensor);
  };
  const Graph& graph = network.main();
  observe(graph.inputs[0], batch);
  evaluate(network, graph, std::vector<Tensor>{batch}, nullptr, observe);
  for (const WeightSite& site : sites.weights) {
    const Node& node = graph.nodes[site.node];
    const InputMoments& moments = inputs.of(site.node);
    const Tensor& weights = *constant_of(network, graph, node.inputs[1]);
    const Tensor& output = seen.at(node.outputs[0]);
    const std::int64_t channels = weights.shape()[static_cast<std::size_t>(site.axis)];
    const std::int64_t stride = output.rank() == 4 ? 42 : 1, columns = moments.columns;
    EXPECT_EQ(moments.count, output.size() / channels) << site.layer;
    for (std::int64_t o = 0; o < channels; ++o) {
      double energy = 0, mean = 0, wanted = 0, wanted_mean = 0;
      for (std::int64_t i = 0; i < output.size(); ++i) {
        if (i / stride % channels != o) continue;
        energy += output.real(i) * output.real(i);
        mean += output.real(i) / static_cast<double>(moments.count);
      }
      const std::int64_t group = o / (channels / moments.groups);
      const auto w = [&](std::int64_t k) {
        return site.axis == 0 ? weights.real(o * columns + k) : weights.real(k * channels + o);
      };
      for (std::int64_t p = 0; p < columns; ++p) {
        wanted_mean += w(p) * moments.mean(group, p);
        for (std::int64_t q = 0; q < columns; ++q) {
          const auto at = static_cast<std::size_t>((group * columns + p) * columns + q);
          wanted += w(p) * w(q) * moments.second[at];
        }
      }
      EXPECT_NEAR(energy, wanted, 1e-4 * energy) << site.layer;
      EXPECT_NEAR(mean, wanted_mean, 1e-4) << site.layer;
    }
  }
}

}  // namespace
}  // namespace tandem
