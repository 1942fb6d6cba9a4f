#include "tandem/compress/histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/error.h"

#include "tests/compress/numbers.h"

namespace tandem {
namespace {

using test::histogram_of;

std::vector<double> normal_numbers(int count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal(0.3, 1.7);
  std::vector<double> numbers(static_cast<std::size_t>(count));
  for (double& x : numbers) x = normal(engine);
  for (std::size_t i = 0; i < numbers.size(); i += 7) numbers[i] = 0;
  return numbers;
}

TEST(Histogram, CountsEveryNumberInItsBin) {
  const auto numbers = normal_numbers(5000, 1);
  const Histogram histogram = histogram_of(numbers, 64);
  EXPECT_EQ(histogram.count(), 5000);
  EXPECT_EQ(histogram.zeros(), std::count(numbers.begin(), numbers.end(), 0.0));
  for (std::size_t i = 0; i < histogram.bins().size(); ++i) {
    const double from = histogram.low_edge(i), to = histogram.low_edge(i + 1);
    EXPECT_EQ(histogram.bins()[i], std::count_if(numbers.begin(), numbers.end(), [&](double x) {
                return x != 0 && x >= from && x < to;
              }));
  }
  EXPECT_EQ(histogram.min(), *std::min_element(numbers.begin(), numbers.end()));
  EXPECT_EQ(histogram.max(), *std::max_element(numbers.begin(), numbers.end()));
}

TEST(Histogram, OrderOfNumbersChangesNothing) {
  auto numbers = normal_numbers(3000, 2);
  numbers.push_back(1e6);
  numbers.push_back(-1e-20);
  const Histogram forward = histogram_of(numbers);
  std::reverse(numbers.begin(), numbers.end());
  const Histogram backward = histogram_of(numbers);
  EXPECT_EQ(forward.width(), backward.width());
  EXPECT_EQ(forward.low_edge(0), backward.low_edge(0));
  EXPECT_EQ(forward.bins(), backward.bins());
}

TEST(Histogram, UsesAtLeastHalfOfItsBins) {
  for (const double largest : {1e-30, 3.0, 1e30}) {
    Histogram histogram(1024);
    histogram.add(largest);
    EXPECT_GT(largest / histogram.width(), 511);
    EXPECT_LT(largest / histogram.width(), 1024);
  }
}

TEST(Histogram, QuantilesEqualSortingWithinOneBin) {
  auto numbers = normal_numbers(20000, 3);
  const Histogram histogram = histogram_of(numbers);
  auto magnitudes = numbers;
  for (double& x : magnitudes) x = std::abs(x);
  std::sort(numbers.begin(), numbers.end());
  std::sort(magnitudes.begin(), magnitudes.end());
  for (const double p : {0.0001, 0.01, 0.3, 0.5, 0.77, 0.99, 0.9999, 1.0}) {
    const auto rank = static_cast<std::size_t>(std::ceil(p * 20000)) - 1;
    EXPECT_NEAR(histogram.quantile(p), numbers[rank], histogram.width()) << p;
    EXPECT_NEAR(histogram.magnitude_quantile(p), magnitudes[rank], histogram.width()) << p;
  }
}

TEST(Histogram, RefusesWhatIsNotFinite) {
  Histogram histogram;
  EXPECT_THROW(histogram.add(std::numeric_limits<double>::quiet_NaN()), Error);
  EXPECT_THROW(histogram.add(std::numeric_limits<double>::infinity()), Error);
}

TEST(Histogram, EmptyAndAllZeroHaveNoRange) {
  Histogram histogram;
  EXPECT_EQ(histogram.quantile(0.5), 0);
  histogram.add(0.0);
  EXPECT_EQ(histogram.quantile(1), 0);
  EXPECT_EQ(histogram.magnitude_quantile(1), 0);
  EXPECT_EQ(histogram.max(), 0);
}

TEST(Histogram, KurtosisTellsHeavyTails) {
  std::mt19937 engine(3);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::exponential_distribution<double> exponential;
  Histogram gaussian, even, laplace;
  for (int i = 0; i < 100000; ++i) {
    gaussian.add(2 + 0.1 * normal(engine));
    even.add(uniform(engine));
    laplace.add(exponential(engine) * (i % 2 == 0 ? 1 : -1));
  }
  EXPECT_NEAR(gaussian.kurtosis(), 3, 0.1);
  EXPECT_NEAR(even.kurtosis(), 1.8, 0.05);
  EXPECT_NEAR(laplace.kurtosis(), 6, 0.4);
}

}  // namespace
}  // namespace tandem
