#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tandem/numerics/format.h"

namespace tandem {

// One point of a Rescale: x * multiplier + addend, divided by 2^shift and rounded.
struct ScalePoint {
  std::int64_t multiplier = 0, addend = 0, shift = 0;
};

// A Rescale that rounds down, as 32-bit processors compute it best: from the upper word of a
// product of two words. Where the addend of every point is
//   bias * multiplier + halves * 2^(shift - 1)  [+ 2^30]
// with one `halves` for all points, as a bias, a zero point and a half for rounding give, then
//   high   = floor((x + bias) * multiplier / 2^32)                    and n = shift - 33,
//   or       floor((2 (x + bias) * multiplier + 2^31) / 2^32)         and n = shift - 32
//   result = floor((floor(high / 2^n) + halves) / 2)
// is exact: everything that is added is a multiple of what is cut off before. The second kind is
// what two roundings in a row leave (gemmlowp's rounding doubling high multiplication); there a
// shift of 31 gives high itself, and one of 31 - left does so of x + bias shifted to the left.
struct UpperWordScale {
  bool doubled = false;   // of the second kind
  bool whole = false;     // a shift of 31 - left: the upper word is the result
  std::int64_t left = 0;  // 0 unless it is whole
  std::vector<std::int64_t> biases, multipliers, shifts;  // by point; shifts are n
  std::int64_t halves = 0;
  IntegerRange high;  // of the upper word
};

// nullopt where the points are not of that kind for x in a range, or `halves` for no result in
// `results`.
std::optional<UpperWordScale> upper_word_scale(std::span<const ScalePoint> points, IntegerRange x,
                                               IntegerRange results);

}  // namespace tandem
