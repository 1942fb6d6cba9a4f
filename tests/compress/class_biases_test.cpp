#include "tandem/compress/class_biases.h"

#include <array>
#include <cmath>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/compress/measure.h"
#include "tandem/compress/quantize_network.h"
#include "tandem/data/task.h"
#include "tandem/transform/lower.h"

#include "tests/support/networks.h"

namespace tandem {
namespace {

using test::NetworkMaker;
using ::testing::HasSubstr;

// The mean loss and the prior's share.
double objective(const std::vector<double>& scores, const std::vector<std::int64_t>& labels,
                 const std::vector<double>& biases) {
  const std::size_t classes = biases.size();
  double loss = 0;
  for (std::size_t s = 0; s < labels.size(); ++s) {
    double sum = 0;
    for (std::size_t c = 0; c < classes; ++c) sum += std::exp(scores[s * classes + c] + biases[c]);
    const auto label = static_cast<std::size_t>(labels[s]);
    loss += std::log(sum) - scores[s * classes + label] - biases[label];
  }
  for (const double bias : biases)
    loss += bias * bias / (2 * kClassBiasDeviation * kClassBiasDeviation);
  return loss / static_cast<double>(labels.size());
}

// Without scores two classes have biases of opposite signs, the root of one equation.
TEST(ClassBiases, FollowFrequenciesWhereScoresSayNothing) {
  const std::vector<double> scores(2 * 40, 0.0);
  std::vector<std::int64_t> labels(40, 0);
  for (std::size_t i = 0; i < 10; ++i) labels[i] = 1;
  const auto biases = fit_class_biases(scores, 2, labels);
  const double prior = 1 / (40 * kClassBiasDeviation * kClassBiasDeviation);
  double low = -5, high = 5;  // of the bias of class 0, of which 3/4 are
  while (high - low > 1e-9) {
    const double middle = (low + high) / 2;
    (1 / (1 + std::exp(-2 * middle)) - 0.75 + prior * middle > 0 ? high : low) = middle;
  }
  EXPECT_NEAR(biases[0], low, 1e-5);
  EXPECT_NEAR(biases[1], -low, 1e-5);
}

TEST(ClassBiases, NoOthersFitBetter) {
  NetworkMaker maker;
  const auto scores = maker.random({60, 7}).to_reals();
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < 60; ++i) labels.push_back(i * i % 7);
  const auto biases = fit_class_biases(scores, 7, labels);
  const double best = objective(scores, labels, biases);
  for (std::size_t c = 0; c < 7; ++c) {
    for (const double step : {-1e-2, 1e-2}) {
      std::vector<double> other = biases;
      other[c] += step;
      EXPECT_GT(objective(scores, labels, other), best) << c;
    }
  }
}

TEST(ClassBiases, LabelsAreClasses) {
  const std::array<double, 4> scores{};
  EXPECT_THAT(
      [&] {
        fit_class_biases(scores, 2, std::array<std::int64_t, 2>{0, 2});
      },
      ::testing::ThrowsMessage<Error>(HasSubstr("the label 2 is none of the network's 2")));
}

// A classifier whose scores of one class are too high, and samples with its true classes.
struct Skewed {
  NetworkMaker maker;
  DataSet data;
  Module network;

  Skewed() {
    const ValueId x = maker.input("x", {6});
    const ValueId scores = maker.gemm("head", x, 4);
    const Module sound = maker.finish(scores);
    data.name = "samples";
    data.samples = maker.random({200, 6});
    data.labels = top1(outputs_of(sound, data)[0]);
    network = sound;
    const Node& head = network.main().nodes[0];
    auto bias = constant_of(network, network.main(), head.inputs[2])->to_reals();
    bias[2] += 1.5;
    Builder builder(network, 0);
    const auto classes = static_cast<std::int64_t>(bias.size());
    network.main().nodes[0].inputs[2] =
        builder.constant(Tensor::from_reals(Format(), {classes}, bias), "skewed");
  }

  double accuracy(const Module& of) const {
    const auto outputs = outputs_of(of, data);
    return accuracy_of(outputs, data, outputs);
  }
};

TEST(ClassBiases, BringBackASkewedClass) {
  Skewed set;
  const double before = set.accuracy(set.network);
  const auto biases = add_class_biases(set.network, std::array<const DataSet*, 1>{&set.data});
  EXPECT_LT(before, 0.8);
  EXPECT_GT(set.accuracy(set.network), 0.95);
  EXPECT_EQ(std::ranges::min_element(biases) - biases.begin(), 2);
}

// They go before the codes of a recoded network, and lower with it.
TEST(ClassBiases, StayIntegers) {
  Skewed set;
  const QuantizationSites sites = find_sites(set.network);
  Calibration calibration(set.network, sites);
  for_each_batch(set.network, set.data,
                 [&](std::span<const Tensor> inputs) { calibration.add(inputs); });
  Module recoded = quantize_network(set.network, sites, calibration, {});
  add_class_biases(recoded, std::array<const DataSet*, 1>{&set.data});
  EXPECT_GT(set.accuracy(recoded), 0.9);
  EXPECT_TRUE(is_lowered(lower(recoded)));
}

TEST(ClassBiases, NeedLabelsAndClasses) {
  Skewed set;
  const auto refusal = [](Module network, const DataSet& data) -> std::string {
    try {
      add_class_biases(network, std::array<const DataSet*, 1>{&data});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  DataSet without = set.data;
  without.labels.clear();
  EXPECT_THAT(refusal(set.network, without), HasSubstr("samples has no labels"));
  NetworkMaker maker;
  const Module one = maker.finish(maker.gemm("head", maker.input("x", {6}), 1));
  EXPECT_THAT(refusal(one, set.data), HasSubstr("no score for each of several classes"));
}

}  // namespace
}  // namespace tandem
