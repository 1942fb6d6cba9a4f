#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tandem/tensor/tensor.h"

namespace tandem {

// The distribution of a stream of numbers in memory that does not grow with it. Bins lie at
// multiples of a power-of-two width; when a number falls outside, the width doubles and bins are
// merged in pairs, so the result is the same for any order and batching of the numbers. The bins
// always reach over zero, and zeros are counted apart, because every quantizer codes zero exactly.
class Histogram {
 public:
  static constexpr int kDefaultBins = 8192;
  explicit Histogram(int bins = kDefaultBins);

  // Throws Error on a number that is not finite. It counts `times`.
  void add(double value, std::int64_t times = 1);
  void add(const Tensor& reals);
  void add(std::span<const float> values);

  std::int64_t count() const { return count_; }
  std::int64_t zeros() const { return zeros_; }
  double min() const { return min_; }  // 0 while empty, like max()
  double max() const { return max_; }

  double width() const { return width_; }
  // Numbers in [low_edge(i), low_edge(i + 1)), zeros excluded.
  const std::vector<std::int64_t>& bins() const { return bins_; }
  double low_edge(std::size_t bin) const;

  // The least x such that a share `p` of all numbers is at most x; numbers lie evenly in their bin,
  // so it is off by one width at most. 0 while empty.
  double quantile(double p) const;
  // The same for absolute values.
  double magnitude_quantile(double p) const;
  // The fourth central moment over the square of the variance: 3 for Gaussian numbers, more for
  // heavy tails. 0 where all numbers are equal.
  double kurtosis() const;

 private:
  void reach(double value);
  std::int64_t count_ = 0, zeros_ = 0;
  double min_ = 0, max_ = 0;
  double width_;
  std::int64_t first_ = 0;  // bin 0 begins at first_ * width_
  std::vector<std::int64_t> bins_;
};

}  // namespace tandem
