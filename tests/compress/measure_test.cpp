#include "tandem/compress/measure.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

#include "tests/support/networks.h"

namespace tandem {
namespace {

using test::NetworkMaker;
using ::testing::HasSubstr;

DataSet numbers(NetworkMaker& maker, std::int64_t count) {
  DataSet data;
  data.name = "numbers";
  data.samples = maker.random({count, 5});
  for (std::int64_t i = 0; i < count; ++i) data.labels.push_back(i % 3);
  return data;
}

Tensor reals(const Shape& shape, const std::vector<double>& values) {
  return Tensor::from_reals(Format(), shape, values);
}

TEST(Measure, OutputsDoNotDependOnBatches) {
  NetworkMaker maker;
  const Module network = maker.finish(maker.gemm("gemm", maker.input("x", {5}), 3));
  const DataSet data = numbers(maker, 70);
  const auto outputs = outputs_of(network, data);
  ASSERT_EQ(outputs.size(), 1U);
  EXPECT_EQ(outputs[0].shape(), (Shape{70, 3}));
  for (const std::int64_t i : {0, 31, 32, 69})
    EXPECT_EQ(outputs_of(network, data.rows(i, i + 1))[0], outputs[0].rows(i, i + 1));
}

TEST(Measure, NoiseIsTheEnergyOfTheDifference) {
  const std::vector<Tensor> exact{reals({1, 2}, {3, 4})}, other{reals({1, 2}, {3, 5})};
  EXPECT_DOUBLE_EQ(relative_noise(exact, other), 1.0 / 25);
  EXPECT_EQ(relative_noise(exact, exact), 0);
  const std::vector<Tensor> zero{reals({1, 2}, {0, 0})};
  EXPECT_EQ(relative_noise(zero, zero), 0);
  EXPECT_EQ(relative_noise(zero, other), 1);
}

TEST(Measure, AccuracyCountsLabelsOrAgreement) {
  const std::vector<Tensor> scores{reals({2, 3}, {0, 1, 0, 5, 1, 2})};
  DataSet data;
  data.samples = reals({2, 1}, {0, 0});
  data.labels = {1, 2};
  EXPECT_EQ(accuracy_of(scores, data, scores), 0.5);
  data.labels.clear();
  const std::vector<Tensor> reference{reals({2, 3}, {0, 2, 0, 0, 1, 2})};
  EXPECT_EQ(accuracy_of(scores, data, reference), 0.5);
}

TEST(Measure, SetsServeNetworksWithOneInput) {
  NetworkMaker maker;
  const ValueId x = maker.input("x", {5}), y = maker.input("y", {5});
  const Module network = maker.finish(maker.add("sum", x, y));
  try {
    outputs_of(network, numbers(maker, 4));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("2 inputs"));
  }
}

}  // namespace
}  // namespace tandem
