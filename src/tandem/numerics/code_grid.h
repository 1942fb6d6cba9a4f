#pragma once

#include <cstddef>
#include <vector>

#include "tandem/numerics/format.h"

namespace tandem {

// The finite reals that a format of at most 16 bits can hold, in increasing order and once each: a
// code is then its rank.
class CodeGrid {
 public:
  // Throws Error where the format has more bits.
  explicit CodeGrid(const Format& format);
  // One for each format, made when it is first asked for; safe from several threads.
  static const CodeGrid& of(const Format& format);

  const std::vector<double>& values() const { return values_; }
  double least() const { return values_.front(); }
  double greatest() const { return values_.back(); }

  // What the format encodes a real as (half even, saturating at the ends).
  double nearest(double real) const;

  // The rank of the code that Format::encode gives. A real within some ulps of where the nearest
  // code changes counts as that place, since quotients of scales are rounded.
  std::size_t rank(double real, Rounding rounding = Rounding::kHalfEven) const;

  // The integral of (t - nearest(t))^2 over t from the least code to `real`, negative below it.
  double error_integral(double real) const;

 private:
  std::size_t cell(double real) const;  // the rank of the nearest code
  Format format_;
  std::vector<double> values_;
  std::vector<double> steps_;     // where the nearest code changes
  std::vector<double> integral_;  // of the error up to where the code begins
};

}  // namespace tandem
