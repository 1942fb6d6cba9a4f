#include "tandem/solve/cholesky.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

TEST(Cholesky, FactorOfTheInverse) {
  std::mt19937 engine(1);
  std::normal_distribution<double> normal;
  for (const std::size_t n : {1U, 2U, 7U, 40U}) {
    std::vector<double> a(n * n);
    for (std::size_t v = 0; v < 2 * n; ++v) {
      std::vector<double> x(n);
      for (double& value : x) value = normal(engine);
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j) a[i * n + j] += x[i] * x[j];
    }
    const auto u = inverse_cholesky(a, n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        if (j < i) {
          EXPECT_EQ(u[i * n + j], 0);
        }
        // (U^T U) A = I.
        double sum = 0;
        for (std::size_t k = 0; k < n; ++k) {
          double inverse = 0;
          for (std::size_t m = 0; m < n; ++m) inverse += u[m * n + i] * u[m * n + k];
          sum += inverse * a[k * n + j];
        }
        EXPECT_NEAR(sum, i == j ? 1 : 0, 1e-8);
      }
    }
  }
}

TEST(Cholesky, RefusesWhatIsNotPositiveDefinite) {
  EXPECT_THROW(inverse_cholesky({1, 2, 2, 1}, 2), Error);
}

}  // namespace
}  // namespace tandem
