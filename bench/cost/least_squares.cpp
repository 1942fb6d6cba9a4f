#include "bench/cost/least_squares.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace tandem {

namespace {

// One round from `weights` on, each row counting as `importance` says.
void descend(const std::vector<std::vector<double>>& rows, const std::vector<double>& importance,
             const std::vector<double>& priors, double stiffness, std::vector<double>& weights) {
  const std::size_t count = priors.size();
  std::vector<double> residual(rows.size(), 1), squares(count, 0);
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t k = 0; k < count; ++k) {
      squares[k] += importance[i] * rows[i][k] * rows[i][k];
      residual[i] -= rows[i][k] * weights[k];
    }
  for (int sweep = 0; sweep < 2000; ++sweep) {
    double moved = 0;
    for (std::size_t k = 0; k < count; ++k) {
      double gradient = 0;
      for (std::size_t i = 0; i < rows.size(); ++i)
        gradient += importance[i] * rows[i][k] * residual[i];
      const double pull = stiffness * stiffness / (priors[k] * priors[k]);
      const double target = std::max(
          0.0, weights[k] + (gradient - pull * (weights[k] - priors[k])) / (squares[k] + pull));
      const double step = target - weights[k];
      weights[k] = target;
      for (std::size_t i = 0; i < rows.size(); ++i) residual[i] -= step * rows[i][k];
      moved = std::max(moved, std::abs(step) / (1e-9 + target));
    }
    if (moved < 1e-6) break;
  }
}

}  // namespace

std::vector<double> relative_least_squares(const std::vector<std::vector<double>>& rows,
                                           const std::vector<double>& priors, double stiffness,
                                           double outlier) {
  constexpr int kRounds = 8;
  std::vector<double> weights = priors, importance(rows.size(), 1);
  for (int round = 0; round < kRounds; ++round) {
    descend(rows, importance, priors, stiffness, weights);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      double error = -1;
      for (std::size_t k = 0; k < weights.size(); ++k) error += rows[i][k] * weights[k];
      importance[i] = outlier / std::max(outlier, std::abs(error));
    }
  }
  return weights;
}

}  // namespace tandem
