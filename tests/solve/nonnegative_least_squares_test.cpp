#include "tandem/solve/nonnegative_least_squares.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using Rows = std::vector<std::vector<double>>;

TEST(NonnegativeLeastSquares, FindsPositiveSolutionsExactly) {
  const std::vector<double> x =
      nonnegative_least_squares({{1, 2, 0}, {0, 1, 1}, {3, 0, 1}, {1, 1, 1}}, {5, 5, 6, 6});
  EXPECT_NEAR(x[0], 1, 1e-12);
  EXPECT_NEAR(x[1], 2, 1e-12);
  EXPECT_NEAR(x[2], 3, 1e-12);
}

TEST(NonnegativeLeastSquares, StopsAtZero) {
  // Alone, the first column would take -1.
  const std::vector<double> x = nonnegative_least_squares({{1, 0}, {0, 1}}, {-1, 2});
  EXPECT_EQ(x, (std::vector<double>{0, 2}));
  const std::vector<double> mean = nonnegative_least_squares({{0, 1}, {0, 1}}, {1, 3});
  EXPECT_EQ(mean[0], 0);
  EXPECT_NEAR(mean[1], 2, 1e-12);
  EXPECT_TRUE(nonnegative_least_squares({}, {}).empty());
}

TEST(NonnegativeLeastSquares, RefusesWhatIsNoSystem) {
  EXPECT_THROW(nonnegative_least_squares({{1, 2}, {1}}, {1, 1}), InternalError);
  EXPECT_THROW(nonnegative_least_squares({{1, NAN}}, {1}), InternalError);
  EXPECT_THROW(nonnegative_least_squares({{1}}, {1, 2}), InternalError);
}

// x is the solution exactly where the gradient is 0 at positive x and points outwards at 0 (Karush,
// Kuhn, Tucker), whatever found it.
TEST(NonnegativeLeastSquares, MeetsTheConditionsOfOptimality) {
  std::mt19937 engine(1);
  std::normal_distribution<double> normal;
  for (int round = 0; round < 200; ++round) {
    const std::size_t columns = 1 + engine() % 12, count = 1 + engine() % 30;
    Rows rows(count, std::vector<double>(columns));
    std::vector<double> wanted(count);
    for (std::size_t i = 0; i < count; ++i) {
      // Columns of very different size; the last repeats the first in some rounds.
      for (std::size_t j = 0; j < columns; ++j)
        rows[i][j] = normal(engine) * std::pow(10.0, static_cast<double>(j % 5));
      if (round % 4 == 0) rows[i][columns - 1] = rows[i][0];
      wanted[i] = normal(engine);
    }
    const std::vector<double> x = nonnegative_least_squares(rows, wanted);
    for (std::size_t j = 0; j < columns; ++j) {
      double gradient = 0, length = 0;
      for (std::size_t i = 0; i < count; ++i) {
        double error = wanted[i];
        for (std::size_t k = 0; k < columns; ++k) error -= rows[i][k] * x[k];
        gradient += rows[i][j] * error;
        length += rows[i][j] * rows[i][j];
      }
      gradient /= std::sqrt(length);
      EXPECT_GE(x[j], 0);
      EXPECT_LE(gradient, 1e-6) << "round " << round << " column " << j;
      if (x[j] > 0) {
        EXPECT_GE(gradient, -1e-6) << "round " << round << " column " << j;
      }
    }
  }
}

}  // namespace
}  // namespace tandem
