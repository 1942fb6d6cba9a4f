#pragma once

#include <vector>

namespace tandem {

// Weights >= 0 that bring rows * weights nearest to 1 for all rows, and each weight near its prior:
// least squares, where a weight that is off by its whole prior counts as much as a row that is off
// by `stiffness`. Rows that are off by more than `outlier` count in proportion, not squared
// (Huber's loss): they are of a kind that the features do not tell apart. Coordinate descent.
std::vector<double> relative_least_squares(const std::vector<std::vector<double>>& rows,
                                           const std::vector<double>& priors, double stiffness,
                                           double outlier);

}  // namespace tandem
