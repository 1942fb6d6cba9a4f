#include "tandem/numerics/fixed_point.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/random.h"
#include "tandem/numerics/rounding.h"

namespace tandem {
namespace {

constexpr std::int32_t kGreatest = std::numeric_limits<std::int32_t>::max();
constexpr std::int32_t kLeast = std::numeric_limits<std::int32_t>::min();

double fraction(std::int32_t raw) { return std::ldexp(raw, -31); }

TEST(FixedPoint, QuantizesMultipliers) {
  // 0.75 = 0.75 * 2^0, 3 = 0.75 * 2^2
  EXPECT_EQ(quantize_multiplier(0.75).multiplier, 3 << 29);
  EXPECT_EQ(quantize_multiplier(0.75).shift, 0);
  EXPECT_EQ(quantize_multiplier(3).multiplier, 3 << 29);
  EXPECT_EQ(quantize_multiplier(3).shift, 2);
  // Rounds up to the next power of two.
  EXPECT_EQ(quantize_multiplier(1 - 0x1p-40).multiplier, 1 << 30);
  EXPECT_EQ(quantize_multiplier(1 - 0x1p-40).shift, 1);
  EXPECT_EQ(quantize_multiplier(0).multiplier, 0);
  EXPECT_EQ(quantize_multiplier(0x1p-40).multiplier, 0);
  EXPECT_THROW(quantize_multiplier(0x1p31), Error);
  EXPECT_THROW(quantize_multiplier(-1), Error);
  EXPECT_THROW(multiply_rounding_twice(256, quantize_multiplier(0x1p24)), Error);
}

TEST(FixedPoint, RoundsAsItsNamesSay) {
  EXPECT_EQ(rounding_doubling_high_multiply(kLeast, kLeast), kGreatest);
  // +-0.5 and +-1.5 after the product: ties go up.
  EXPECT_EQ(rounding_doubling_high_multiply(1 << 30, 1), 1);
  EXPECT_EQ(rounding_doubling_high_multiply(1 << 30, -1), 0);
  EXPECT_EQ(rounding_doubling_high_multiply(1 << 30, 3), 2);
  EXPECT_EQ(rounding_doubling_high_multiply(1 << 30, -3), -1);
  // Ties away from zero.
  EXPECT_EQ(rounding_divide_by_power_of_two(6, 2), 2);
  EXPECT_EQ(rounding_divide_by_power_of_two(-6, 2), -2);
  EXPECT_EQ(rounding_divide_by_power_of_two(5, 2), 1);
  EXPECT_EQ(rounding_divide_by_power_of_two(-7, 0), -7);
  const CounterRandom random(1, 1);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const auto a = static_cast<std::int32_t>(random.integer(3 * i, kLeast, kGreatest));
    const auto b = static_cast<std::int32_t>(random.integer(3 * i + 1, kLeast, kGreatest));
    const int shift = static_cast<int>(random.integer(3 * i + 2, 0, 31));
    EXPECT_EQ(rounding_doubling_high_multiply(a, b),
              apply_overflow(round_shift(Int128{a} * b, 31, Rounding::kHalfUp), 32, true,
                             Overflow::kSaturate));
    EXPECT_EQ(rounding_divide_by_power_of_two(a, shift),
              round_shift(a, shift, Rounding::kHalfAwayFromZero));
  }
}

TEST(FixedPoint, ComputesExponentials) {
  EXPECT_EQ(exponential_of_negative(0, 5), kGreatest);
  for (int bits = 0; bits <= 5; ++bits) {
    for (double x = -0.001; x > -std::ldexp(1.0, bits); x *= 1.07) {
      const auto raw = static_cast<std::int32_t>(std::ldexp(x, 31 - bits));
      EXPECT_NEAR(fraction(exponential_of_negative(raw, bits)), std::exp(x), 1e-6) << x;
    }
  }
}

TEST(FixedPoint, ComputesQuotients) {
  for (double x = 0; x < 1; x += 0.00917) {
    const auto raw = static_cast<std::int32_t>(std::ldexp(x, 31));
    EXPECT_NEAR(fraction(reciprocal_of_one_plus(raw)), 1 / (1 + x), 1e-8) << x;
    EXPECT_NEAR(fraction(one_minus_over_one_plus(raw)), (1 - x) / (1 + x), 1e-8) << x;
  }
}

TEST(FixedPoint, ComputesSigmoids) {
  EXPECT_EQ(fixed_point_logistic(0, 4), 1 << 30);
  EXPECT_EQ(fixed_point_tanh(0, 4), 0);
  for (double x = -15.9; x < 16; x += 0.0937) {
    const auto raw = static_cast<std::int32_t>(std::ldexp(x, 27));
    EXPECT_NEAR(fraction(fixed_point_logistic(raw, 4)), 1 / (1 + std::exp(-x)), 1e-6) << x;
    EXPECT_NEAR(fraction(fixed_point_tanh(raw, 4)), std::tanh(x), 1e-6) << x;
  }
}

TEST(FixedPoint, BoundsTheArguments) {
  // 15 * 2^27 / 2^20
  EXPECT_EQ(input_radius(4, 20), 15 << 7);
  EXPECT_EQ(input_radius(5, 31), 0);
}

}  // namespace
}  // namespace tandem
