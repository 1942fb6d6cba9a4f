#pragma once

#include <cstdint>
#include <span>

#include "tandem/numerics/format.h"

namespace tandem {

// A fixed-point accumulator in which sums of products are exact: two's complement of `bits` bits,
// whose last bit is worth 2^exponent. Of floats it is Kulisch's accumulator.
struct ExactAccumulator {
  int bits = 1;
  int exponent = 0;
  friend bool operator==(const ExactAccumulator&, const ExactAccumulator&) = default;
};

// The narrowest one that holds every sum of at most `terms` products of a number of `a` and a
// number of `b`; infinities and NaN aside. Of floats of all finite codes, m >= 1 bits of mantissa
// and n a power of two it is 2^ea + ma + 2^eb + mb + log2 n - 1 bits ("Post-Training Quantization
// with Low-precision Minifloats and Integers on FPGAs", section IV). Throws Error for formats of
// more than 16 bits, whose products may not be exact in any accumulator of sense.
ExactAccumulator exact_accumulator(const Format& a, const Format& b, std::int64_t terms);

// The narrowest for one row of weights with any values of the format `values`: the sum of
// |weights| bounds it, so it is at most the above.
ExactAccumulator exact_accumulator(std::span<const std::uint64_t> weights, const Format& format,
                                   const Format& values);

}  // namespace tandem
