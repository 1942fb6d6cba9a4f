#include "tandem/solve/nonnegative_least_squares.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using Vector = std::vector<double>;

// The normal equations with every column scaled to length 1.
class ActiveSet {
 public:
  ActiveSet(const std::vector<Vector>& rows, const Vector& wanted)
      : columns_(rows.empty() ? 0 : rows[0].size()),
        length_(columns_),
        gram_(columns_, Vector(columns_)),
        target_(columns_),
        x_(columns_),
        passive_(columns_) {
    ensure(rows.size() == wanted.size(), "nonnegative_least_squares: sizes differ");
    for (std::size_t i = 0; i < rows.size(); ++i) add_row(rows[i], wanted[i]);
    for (std::size_t j = 0; j < columns_; ++j) length_[j] = std::sqrt(gram_[j][j]);
    for (std::size_t j = 0; j < columns_; ++j) {
      if (length_[j] == 0) continue;
      target_[j] /= length_[j];
      for (std::size_t k = 0; k < columns_; ++k)
        if (length_[k] > 0) gram_[j][k] /= length_[j] * length_[k];
    }
  }

  Vector run() {
    // Every passage through the loop lowers the sum of squares, so that no set comes twice; the
    // bound is for rounding alone.
    for (std::size_t round = 0; round < 10 * (columns_ + 1); ++round) {
      const std::size_t entering = steepest();
      if (entering == columns_) break;
      passive_[entering] = true;
      settle();
    }
    for (std::size_t j = 0; j < columns_; ++j) x_[j] = length_[j] > 0 ? x_[j] / length_[j] : 0;
    return x_;
  }

 private:
  void add_row(const Vector& row, double wanted) {
    ensure(row.size() == columns_ && std::isfinite(wanted),
           "nonnegative_least_squares: a row is unlike the others");
    for (std::size_t j = 0; j < columns_; ++j) {
      ensure(std::isfinite(row[j]), "nonnegative_least_squares: a number is not finite");
      target_[j] += row[j] * wanted;
      for (std::size_t k = 0; k < columns_; ++k) gram_[j][k] += row[j] * row[k];
    }
  }

  // The column at 0 whose growth lowers the sum fastest; columns_ where none does.
  std::size_t steepest() const {
    double largest = 0;
    for (const double target : target_) largest = std::max(largest, std::abs(target));
    double best = 1e-10 * largest;
    std::size_t chosen = columns_;
    for (std::size_t j = 0; j < columns_; ++j) {
      if (passive_[j] || length_[j] == 0) continue;
      double gradient = target_[j];
      for (std::size_t k = 0; k < columns_; ++k) gradient -= gram_[j][k] * x_[k];
      if (gradient <= best) continue;
      best = gradient;
      chosen = j;
    }
    return chosen;
  }

  // Moves to the least squares of the passive columns, on the way dropping those that reach 0.
  void settle() {
    while (true) {
      const Vector free = solution_of_passive();
      double step = 1;
      for (std::size_t j = 0; j < columns_; ++j)
        if (passive_[j] && free[j] <= 0) step = std::min(step, x_[j] / (x_[j] - free[j]));
      bool dropped = false;
      for (std::size_t j = 0; j < columns_; ++j) {
        if (!passive_[j]) continue;
        x_[j] += step * (free[j] - x_[j]);
        if (free[j] > 0 || x_[j] > 1e-14) continue;
        x_[j] = 0;
        passive_[j] = false;
        dropped = true;
      }
      if (!dropped) return;
    }
  }

  // By Cholesky's factors; a column that depends on others of the set gets 0.
  Vector solution_of_passive() const {
    std::vector<std::size_t> set;
    for (std::size_t j = 0; j < columns_; ++j)
      if (passive_[j]) set.push_back(j);
    const std::size_t n = set.size();
    std::vector<Vector> factor(n, Vector(n));
    Vector y(n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        double sum = gram_[set[i]][set[j]];
        for (std::size_t k = 0; k < j; ++k) sum -= factor[i][k] * factor[j][k];
        if (i == j)
          factor[i][i] = sum > 1e-12 ? std::sqrt(sum) : 0;
        else
          factor[i][j] = factor[j][j] > 0 ? sum / factor[j][j] : 0;
      }
      double sum = target_[set[i]];
      for (std::size_t k = 0; k < i; ++k) sum -= factor[i][k] * y[k];
      y[i] = factor[i][i] > 0 ? sum / factor[i][i] : 0;
    }
    Vector x(columns_);
    for (std::size_t i = n; i-- > 0;) {
      double sum = y[i];
      for (std::size_t k = i + 1; k < n; ++k) sum -= factor[k][i] * x[set[k]];
      x[set[i]] = factor[i][i] > 0 ? sum / factor[i][i] : 0;
    }
    return x;
  }

  std::size_t columns_;
  Vector length_;
  std::vector<Vector> gram_;
  Vector target_, x_;
  std::vector<bool> passive_;
};

}  // namespace

std::vector<double> nonnegative_least_squares(const std::vector<std::vector<double>>& rows,
                                              const std::vector<double>& wanted) {
  return ActiveSet(rows, wanted).run();
}

}  // namespace tandem
