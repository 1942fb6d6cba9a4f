#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace tandem {

// What the operators that sample between elements share. Internal to the room.

// The weight of an element at distance x: linear interpolation, and Keys's cubic convolution with
// free parameter a (Cubic convolution interpolation for digital image processing, 1981, eq. 15).
inline double linear_kernel(double x) { return std::fmax(0, 1 - std::fabs(x)); }

inline double cubic_kernel(double x, double a) {
  x = std::fabs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

// Which elements of one axis make up a sample, and with which weights.
struct Tap {
  std::int64_t index;
  double weight;
};
using Taps = std::vector<Tap>;

}  // namespace tandem
