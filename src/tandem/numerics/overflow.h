#pragma once

#include "tandem/numerics/rounding.h"

namespace tandem {

// The integers of a format, given by their range, that an overflow mode leaves as they are: all of
// them, but under kSaturateSymmetric without the most negative one. One-bit formats keep it, as in
// HLS: they would hold nothing but zero.
inline IntegerRange kept_range(IntegerRange range, Overflow overflow) {
  if (overflow == Overflow::kSaturateSymmetric && range.min < 0 && range.max > 0)
    range.min = -range.max;
  return range;
}

}  // namespace tandem
