#include "tandem/compress/class_biases.h"

#include <algorithm>
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

// A classifier that sees one class too often, by kSkew of its scores, and samples with labels that
// are drawn from what it said before.
struct Skewed {
  static constexpr double kSkew = 1.5;
  NetworkMaker maker;
  DataSet data;
  Module network;

  Skewed() {
    network = maker.finish(maker.gemm("head", maker.input("x", {6}), 4));
    data.name = "samples";
    data.samples = maker.random({2000, 6});
    // The greatest score with Gumbel's noise is a draw from their softmax.
    auto scores = outputs_of(network, data)[0].to_reals();
    const auto uniform = maker.random({8000}).to_reals();
    for (std::size_t i = 0; i < scores.size(); ++i)
      scores[i] -= std::log(-std::log(std::clamp(uniform[i] / 2 + 0.5, 1e-6, 1 - 1e-6)));
    data.labels = top1(Tensor::from_reals(Format(), {2000, 4}, scores));
    const ValueId addend = network.main().nodes[0].inputs[2];
    auto bias = constant_of(network, network.main(), addend)->to_reals();
    bias[2] += kSkew;
    Builder builder(network, 0);
    network.main().nodes[0].inputs[2] =
        builder.constant(Tensor::from_reals(Format(), {4}, bias), "skewed");
  }

  double accuracy(const Module& of) const {
    const auto outputs = outputs_of(of, data);
    return accuracy_of(outputs, data, outputs);
  }
};

// How much less than the others' mean.
double gap(const std::vector<double>& biases) {
  return biases[2] - (biases[0] + biases[1] + biases[3]) / 3;
}

TEST(ClassBiases, BringBackASkewedClass) {
  Skewed set;
  const double before = set.accuracy(set.network);
  const auto biases = add_class_biases(set.network, std::array<const DataSet*, 1>{&set.data});
  EXPECT_NEAR(gap(biases), -Skewed::kSkew, 0.2);
  EXPECT_GT(set.accuracy(set.network), before + 0.02);
}

// They go before the codes of a recoded network, and lower with it.
TEST(ClassBiases, StayIntegers) {
  Skewed set;
  const QuantizationSites sites = find_sites(set.network);
  Calibration calibration(set.network, sites);
  for_each_batch(set.network, set.data,
                 [&](std::span<const Tensor> inputs) { calibration.add(inputs); });
  Module recoded = quantize_network(set.network, sites, calibration, {});
  const double before = set.accuracy(recoded);
  const auto biases = add_class_biases(recoded, std::array<const DataSet*, 1>{&set.data});
  EXPECT_NEAR(gap(biases), -Skewed::kSkew, 0.2);
  EXPECT_GT(set.accuracy(recoded), before + 0.02);
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
