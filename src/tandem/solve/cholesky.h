#pragma once

#include <cstddef>
#include <vector>

namespace tandem {

// For a symmetric positive definite matrix A of n rows (row-major) the upper triangular U with
// inverse(A) = transpose(U) * U; zeros below the diagonal. Throws Error where A is not positive
// definite in f64.
std::vector<double> inverse_cholesky(const std::vector<double>& matrix, std::size_t n);

}  // namespace tandem
