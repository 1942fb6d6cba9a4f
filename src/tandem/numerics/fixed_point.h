#pragma once

#include <cstdint>

namespace tandem {

// The 32-bit fixed-point arithmetic of TensorFlow Lite's integer kernels (that of gemmlowp), for
// readers and lowerings that must give its integers. A number with i integer bits is
// raw * 2^(i - 31). Overflows saturate where the kernels saturate and are InternalErrors elsewhere.

// value = multiplier * 2^(shift - 31) with multiplier in [2^30, 2^31), or 0 for values too small.
struct QuantizedMultiplier {
  std::int32_t multiplier = 0;
  int shift = 0;
};

// The nearest such number to a value. Throws Error on negative and infinite ones and beyond 2^30.
QuantizedMultiplier quantize_multiplier(double value);

// round(a * b / 2^31), ties toward plus infinity; -2^31 * -2^31 saturates.
std::int32_t rounding_doubling_high_multiply(std::int32_t a, std::int32_t b);

// round(x / 2^exponent), ties away from zero; 0 <= exponent <= 31.
std::int32_t rounding_divide_by_power_of_two(std::int32_t x, int exponent);

// x * multiplier, rounded twice: after the multiplication and after the shift to the right. Throws
// Error where a shift to the left leaves 32 bits.
std::int32_t multiply_rounding_twice(std::int32_t x, QuantizedMultiplier multiplier);

// e^x for x <= 0 with `integer_bits` integer bits (at most 5) as a fraction (0 integer bits).
std::int32_t exponential_of_negative(std::int32_t x, int integer_bits);

// 1 / (1 + x) and (1 - x) / (1 + x) for fractions x in [0,1].
std::int32_t reciprocal_of_one_plus(std::int32_t x);
std::int32_t one_minus_over_one_plus(std::int32_t x);

// 1 / (1 + e^-x) and tanh(x) for x with `integer_bits` integer bits (at most 4) as fractions.
std::int32_t fixed_point_logistic(std::int32_t x, int integer_bits);
std::int32_t fixed_point_tanh(std::int32_t x, int integer_bits);

// The greatest integer that a left shift brings to less than 2^integer_bits in 31 bits; inputs
// beyond it are saturated by the kernels.
std::int32_t input_radius(int integer_bits, int left_shift);

}  // namespace tandem
