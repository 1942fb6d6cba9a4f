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

double true_error(const std::vector<double>& numbers, const Quantizer& q) {
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
          QuantizerRules rules;
          rules.method = RangeMethod::kMinMax;
          rules.format = Format::integer(bits, is_signed);
          rules.symmetric = symmetric;
          const Quantizer q = choose_quantizer(histogram, rules);
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
      rules.format = Format::integer(bits, false);
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
        rules.format = Format::integer(bits, false);
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
  const Quantizer q = choose_quantizer(histogram, rules);
  EXPECT_NEAR(q.lowest(), numbers[10], q.scale + histogram.width());
  EXPECT_NEAR(q.highest(), numbers[numbers.size() - 11], q.scale + histogram.width());
}

TEST(Quantizer, PowerOfTwoScales) {
  const Histogram histogram = histogram_of(numbers_of("normal", 1000));
  for (const auto method : {RangeMethod::kMinMax, RangeMethod::kPercentile, RangeMethod::kMse}) {
    QuantizerRules rules;
    rules.method = method;
    rules.symmetric = true;
    rules.scale_format = Format::parse("e8m0");
    const Quantizer q = choose_quantizer(histogram, rules);
    EXPECT_EQ(std::exp2(std::nearbyint(std::log2(q.scale))), q.scale);
  }
}

TEST(Quantizer, NothingSeenGivesUnitScale) {
  const Quantizer q = choose_quantizer(Histogram(), {});
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
  rules.format = Format::integer(17, false);
  EXPECT_THROW(choose_quantizer(Histogram(), rules), Error);
  rules.format = Format::integer(8, false);
  rules.percentile = 101;
  EXPECT_THROW(choose_quantizer(Histogram(), rules), Error);
}

}  // namespace
}  // namespace tandem
