#include "tandem/compress/quantizer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

#include "tests/compress/numbers.h"

namespace tandem {
namespace {

using test::histogram_of;
using ::testing::HasSubstr;

std::vector<double> numbers_of(const char* kind, int count) {
  std::mt19937 engine(5);
  std::vector<double> numbers;
  std::normal_distribution<double> normal(0, 1);
  std::student_t_distribution<double> heavy(3);
  for (int i = 0; i < count; ++i) {
    const std::string which = kind;
    if (which == "normal") numbers.push_back(normal(engine));
    if (which == "shifted") numbers.push_back(normal(engine) * 0.3 + 1);
    if (which == "heavy") numbers.push_back(heavy(engine));
    if (which == "rectified") numbers.push_back(std::max(0.0, heavy(engine)));
  }
  return numbers;
}

double true_error(const std::vector<double>& numbers, const UniformQuantizer& q) {
  const IntegerRange range = q.format.integer_range();
  double sum = 0;
  for (const double x : numbers) {
    const double code = std::clamp(std::nearbyint(x / q.scale + static_cast<double>(q.zero)),
                                   static_cast<double>(range.min), static_cast<double>(range.max));
    const double error = x - q.scale * (code - static_cast<double>(q.zero));
    sum += error * error;
  }
  return sum / static_cast<double>(numbers.size());
}

TEST(Quantizer, MinMaxRangeHoldsEveryNumber) {
  for (const char* kind : {"normal", "shifted", "rectified"}) {
    const auto numbers = numbers_of(kind, 1000);
    const Histogram histogram = histogram_of(numbers);
    for (const int bits : {2, 5, 8, 16}) {
      for (const bool is_signed : {false, true}) {
        for (const bool symmetric : {false, true}) {
          const QuantizerRules rules{RangeMethod::kMinMax, 99, bits, is_signed, symmetric, false};
          const UniformQuantizer q = choose_quantizer(histogram, rules);
          EXPECT_EQ(q.format.bits(), bits);
          if (symmetric && histogram.min() < 0) {
            EXPECT_TRUE(q.format.is_signed());
          }
          if (symmetric) {
            EXPECT_EQ(q.zero, 0);
          }
          // Rounding the zero point to a code moves the range by half a step.
          EXPECT_LE(q.lowest() - 0.501 * q.scale, histogram.min());
          EXPECT_GE(q.highest() + 0.501 * q.scale, histogram.max());
          EXPECT_EQ(q.scale, static_cast<double>(static_cast<float>(q.scale)));
        }
      }
    }
  }
}

TEST(Quantizer, ExpectedErrorEqualsMeasuredError) {
  for (const char* kind : {"normal", "shifted", "heavy", "rectified"}) {
    const auto numbers = numbers_of(kind, 40000);
    const Histogram histogram = histogram_of(numbers);
    for (const int bits : {2, 4, 8}) {
      QuantizerRules rules;
      rules.bits = bits;
      for (const double share : {1.0, 0.5, 0.1}) {
        const auto q = quantizer_over(histogram.min() * share, histogram.max() * share, rules);
        const double measured = true_error(numbers, q);
        EXPECT_NEAR(squared_error(histogram, q), measured, 0.02 * measured) << kind << bits;
      }
    }
  }
}

// Against every pair of ends on a grid, with the numbers themselves instead of their histogram.
TEST(Quantizer, MseRangeIsAsGoodAsBruteForce) {
  for (const char* kind : {"normal", "shifted", "heavy", "rectified"}) {
    const auto numbers = numbers_of(kind, 2000);
    const Histogram histogram = histogram_of(numbers);
    for (const int bits : {2, 4, 6}) {
      for (const bool symmetric : {false, true}) {
        QuantizerRules rules;
        rules.bits = bits;
        rules.symmetric = symmetric;
        double least = std::numeric_limits<double>::infinity();
        for (int i = 1; i <= 50; ++i) {
          for (int j = 1; j <= 50; ++j) {
            if (symmetric && i != j) continue;
            const auto tried =
                quantizer_over(histogram.min() * i / 50, histogram.max() * j / 50, rules);
            least = std::min(least, true_error(numbers, tried));
          }
        }
        const double found = true_error(numbers, choose_quantizer(histogram, rules));
        EXPECT_LE(found, 1.02 * least) << kind << " " << bits << " " << symmetric;
      }
    }
  }
}

TEST(Quantizer, PercentileDropsOutliers) {
  auto numbers = numbers_of("normal", 10000);
  numbers.push_back(1000);
  const Histogram histogram = histogram_of(numbers);
  QuantizerRules rules;
  rules.method = RangeMethod::kPercentile;
  rules.percentile = 99.9;
  std::sort(numbers.begin(), numbers.end());
  const UniformQuantizer q = choose_quantizer(histogram, rules);
  EXPECT_NEAR(q.lowest(), numbers[10], q.scale + histogram.width());
  EXPECT_NEAR(q.highest(), numbers[numbers.size() - 11], q.scale + histogram.width());
}

TEST(Quantizer, PowerOfTwoScales) {
  const Histogram histogram = histogram_of(numbers_of("normal", 1000));
  for (const auto method : {RangeMethod::kMinMax, RangeMethod::kPercentile, RangeMethod::kMse}) {
    QuantizerRules rules;
    rules.method = method;
    rules.symmetric = rules.power_of_two = true;
    const UniformQuantizer q = choose_quantizer(histogram, rules);
    EXPECT_EQ(std::exp2(std::nearbyint(std::log2(q.scale))), q.scale);
  }
}

TEST(Quantizer, NothingSeenGivesUnitScale) {
  const UniformQuantizer q = choose_quantizer(Histogram(), {});
  EXPECT_EQ(q.scale, 1);
  EXPECT_EQ(q.zero, 0);
}

TEST(Quantizer, NamesItsMethods) {
  EXPECT_EQ(parse_range_method("percentile"), RangeMethod::kPercentile);
  try {
    parse_range_method("minmx");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean 'minmax'?"));
  }
}

TEST(Quantizer, RefusesWidthsAndPercentilesOutOfRange) {
  QuantizerRules rules;
  rules.bits = 17;
  EXPECT_THROW(choose_quantizer(Histogram(), rules), Error);
  rules.bits = 8;
  rules.percentile = 101;
  EXPECT_THROW(choose_quantizer(Histogram(), rules), Error);
  EXPECT_THROW(quantize_weights(Tensor(), kPerTensor, 1, RangeMethod::kMinMax), Error);
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
    const CodedWeights coded = quantize_weights(weights, 0, bits, RangeMethod::kMinMax);
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
  const CodedWeights columns = quantize_weights(weights, 1, 8, RangeMethod::kMinMax);
  EXPECT_EQ(columns.scales.shape(), (Shape{1, 3}));
  for (std::int64_t c = 0; c < 3; ++c)
    EXPECT_EQ(columns.scales.real(c),
              static_cast<double>(static_cast<float>(std::abs(weights.real(3 + c)) / 127)));
  EXPECT_EQ(quantize_weights(weights, kPerTensor, 8, RangeMethod::kMinMax).scales.shape(), Shape{});
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
    const double found = error(quantize_weights(weights, kPerTensor, bits, RangeMethod::kMse));
    const double widest = error(quantize_weights(weights, kPerTensor, bits, RangeMethod::kMinMax));
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
  const CodedWeights coded = quantize_weights(weights, 0, 4, RangeMethod::kMse);
  EXPECT_EQ(coded.codes.to_integers(), (std::vector<std::int64_t>{0, 0, 7, -7}));
  EXPECT_EQ(coded.scales.real(0), 1);
}

}  // namespace
}  // namespace tandem
