#include "bench/cost/least_squares.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace tandem {

std::vector<double> relative_least_squares(const std::vector<std::vector<double>>& rows,
                                           const std::vector<double>& priors, double stiffness) {
  const std::size_t count = priors.size();
  std::vector<double> weights = priors, residual(rows.size(), 1), squares(count, 0);
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t k = 0; k < count; ++k) {
      squares[k] += rows[i][k] * rows[i][k];
      residual[i] -= rows[i][k] * weights[k];
    }
  for (int sweep = 0; sweep < 5000; ++sweep) {
    double moved = 0;
    for (std::size_t k = 0; k < count; ++k) {
      double gradient = 0;
      for (std::size_t i = 0; i < rows.size(); ++i) gradient += rows[i][k] * residual[i];
      const double pull = stiffness * stiffness / (priors[k] * priors[k]);
      const double target = std::max(
          0.0, weights[k] + (gradient - pull * (weights[k] - priors[k])) / (squares[k] + pull));
      const double step = target - weights[k];
      weights[k] = target;
      for (std::size_t i = 0; i < rows.size(); ++i) residual[i] -= step * rows[i][k];
      moved = std::max(moved, std::abs(step) / (1e-9 + target));
    }
    if (moved < 1e-7) break;
  }
  return weights;
}

}  // namespace tandem
