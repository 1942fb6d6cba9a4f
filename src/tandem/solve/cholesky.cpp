#include "tandem/solve/cholesky.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include "tandem/base/error.h"

namespace tandem {

// With J the reversal of rows, J A J = L L^T makes A = R R^T for the upper triangular R = J L J, so
// that inverse(A) = inverse(R)^T inverse(R).
std::vector<double> inverse_cholesky(const std::vector<double>& matrix, std::size_t n) {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  ensure(matrix.size() == n * n, "a matrix that is not square");
  const auto size = static_cast<Eigen::Index>(n);
  const Eigen::Map<const Matrix> given(matrix.data(), size, size);
  const Matrix reversed = given.reverse();
  const Eigen::LLT<Matrix> factored(reversed);
  if (factored.info() != Eigen::Success)
    throw Error("a matrix of ", n, " rows is not positive definite");
  const Matrix upper = Matrix(factored.matrixL()).reverse();
  Matrix inverse = Matrix::Identity(size, size);
  upper.triangularView<Eigen::Upper>().solveInPlace(inverse);
  return {inverse.data(), inverse.data() + inverse.size()};
}

}  // namespace tandem
