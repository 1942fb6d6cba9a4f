#include "tandem/compress/weight_quantizer.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

WeightRules rules_of(int bits, RangeMethod method) {
  WeightRules rules;
  rules.format = Format::integer(bits, true);
  rules.method = method;
  return rules;
}

WeightRules per_tensor(int bits, RangeMethod method) {
  WeightRules rules = rules_of(bits, method);
  rules.granularity = parse_granularity("tensor");
  return rules;
}

Tensor random_weights(const Shape& shape) {
  std::mt19937 engine(11);
  std::normal_distribution<double> normal(0, 0.1);
  std::vector<double> values(static_cast<std::size_t>(element_count(shape)));
  for (double& v : values) v = normal(engine);
  return Tensor::from_reals(Format(), shape, values);
}

TEST(Weights, ErrorIsHalfAStepAtMost) {
  const Tensor weights = random_weights({6, 4, 3, 3});
  for (const int bits : {2, 4, 8, 16}) {
    const CodedWeights coded = quantize_weights(weights, 0, rules_of(bits, RangeMethod::kMinMax));
    EXPECT_EQ(coded.scales.shape(), (Shape{6, 1, 1, 1}));
    EXPECT_EQ(coded.codes.format(), Format::integer(bits, true));
    const std::int64_t greatest = (std::int64_t{1} << (bits - 1)) - 1;
    for (std::int64_t i = 0; i < weights.size(); ++i) {
      const double scale = coded.scales.real(i / 36);
      EXPECT_LE(std::abs(coded.codes.integer(i)), greatest);
      EXPECT_LE(std::abs(weights.real(i) - scale * static_cast<double>(coded.codes.integer(i))),
                0.5001 * scale);
    }
    for (std::int64_t channel = 0; channel < 6; ++channel) {
      std::int64_t largest = 0;
      for (std::int64_t i = 0; i < 36; ++i)
        largest = std::max(largest, std::abs(coded.codes.integer(channel * 36 + i)));
      EXPECT_EQ(largest, greatest) << "every channel uses its whole range";
    }
  }
}

TEST(Weights, ScalesFollowTheNamedAxis) {
  const Tensor weights =
      Tensor::from_reals(Format(), {2, 3}, std::vector<double>{1, 2, 3, -4, 5, -6});
  const CodedWeights columns = quantize_weights(weights, 1, rules_of(8, RangeMethod::kMinMax));
  EXPECT_EQ(columns.scales.shape(), (Shape{1, 3}));
  for (std::int64_t c = 0; c < 3; ++c)
    EXPECT_EQ(columns.scales.real(c),
              static_cast<double>(static_cast<float>(std::abs(weights.real(3 + c)) / 127)));
  EXPECT_EQ(quantize_weights(weights, 0, per_tensor(8, RangeMethod::kMinMax)).scales.shape(),
            Shape{});
}

TEST(Weights, MseScaleIsAsGoodAsBruteForce) {
  const Tensor weights = random_weights({1, 400});
  const auto error = [&](const CodedWeights& coded) {
    double sum = 0;
    for (std::int64_t i = 0; i < weights.size(); ++i) {
      const double back = coded.scales.real(0) * static_cast<double>(coded.codes.integer(i));
      sum += (weights.real(i) - back) * (weights.real(i) - back);
    }
    return sum;
  };
  for (const int bits : {2, 3, 4}) {
    const double found = error(quantize_weights(weights, 0, per_tensor(bits, RangeMethod::kMse)));
    const double widest =
        error(quantize_weights(weights, 0, per_tensor(bits, RangeMethod::kMinMax)));
    const double greatest = std::exp2(bits - 1) - 1;
    double least = widest;
    for (int i = 1; i <= 2000; ++i) {
      const double scale = 0.5 * i / 2000 / greatest;
      double sum = 0;
      for (std::int64_t k = 0; k < weights.size(); ++k) {
        const double code =
            std::clamp(std::nearbyint(weights.real(k) / scale), -greatest, greatest);
        sum += std::pow(weights.real(k) - code * scale, 2);
      }
      least = std::min(least, sum);
    }
    EXPECT_LE(found, 1.02 * least) << bits;
    EXPECT_LT(found, widest) << bits;
  }
}

TEST(Weights, AZeroChannelIsZero) {
  const Tensor weights = Tensor::from_reals(Format(), {2, 2}, std::vector<double>{0, 0, 1, -1});
  const CodedWeights coded = quantize_weights(weights, 0, rules_of(4, RangeMethod::kMse));
  EXPECT_EQ(coded.codes.to_integers(), (std::vector<std::int64_t>{0, 0, 7, -7}));
  EXPECT_EQ(coded.scales.real(0), 1);
}

}  // namespace
}  // namespace tandem
