#pragma once

#include <vector>

namespace tandem {

// The x >= 0 of least sum over rows of (sum_j rows[i][j] x[j] - wanted[i])^2, by the active set
// method of Lawson and Hanson ("Solving Least Squares Problems", 1974, chapter 23). All rows have
// the same length. Columns that are zero in every row get 0. InternalError where a number is not
// finite or sizes differ.
std::vector<double> nonnegative_least_squares(const std::vector<std::vector<double>>& rows,
                                              const std::vector<double>& wanted);

}  // namespace tandem
