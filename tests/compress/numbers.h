#pragma once

#include <vector>

#include "tandem/compress/histogram.h"

namespace tandem::test {

inline Histogram histogram_of(const std::vector<double>& numbers,
                              int bins = Histogram::kDefaultBins) {
  Histogram histogram(bins);
  for (const double x : numbers) histogram.add(x);
  return histogram;
}

}  // namespace tandem::test
