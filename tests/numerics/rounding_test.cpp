#include "tandem/numerics/rounding.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/random.h"

#include "tests/numerics/oracle.h"

namespace tandem {
namespace {

using test::big;
using test::BigInteger;
using test::overflow_oracle;
using test::Rational;
using test::rational_of;
using test::round_oracle;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// A number of up to so many bits; small ones and those near powers of two are as likely as others.
Int128 random_integer(RandomSequence& random, int most_bits) {
  const auto width = static_cast<int>(random.integer(0, most_bits));
  Int128 value =
      (static_cast<Int128>(random.bits()) << 63 | static_cast<Int128>(random.bits() >> 1)) &
      ((Int128{1} << width) - 1);
  if (random.chance(0.3)) value = (Int128{1} << width) - 1 + random.integer(0, 2);
  return random.chance(0.5) ? -value : value;
}

TEST(Rounding, NamesReadBackAndMistakesGetTheNearest) {
  for (const Rounding rounding : kAllRoundings) EXPECT_EQ(parse_rounding(name(rounding)), rounding);
  for (const Overflow overflow : kAllOverflows) EXPECT_EQ(parse_overflow(name(overflow)), overflow);
  EXPECT_THAT([] { parse_rounding("half-even"); },
              ThrowsMessage<Error>("unknown rounding 'half-even'; did you mean 'half_even'?"));
  EXPECT_THAT([] { parse_overflow("saturat"); },
              ThrowsMessage<Error>("unknown overflow 'saturat'; did you mean 'saturate'?"));
  EXPECT_THAT([] { parse_rounding("stochastic?"); },
              ThrowsMessage<Error>(HasSubstr("known: floor")));
}

// Every quarter from -5 to 5 holds every kind of rest, sign and parity.
TEST(RoundShift, QuartersInEveryMode) {
  for (int quarter = -20; quarter <= 20; ++quarter)
    for (const Rounding rounding : kAllRoundings)
      EXPECT_EQ(big(round_shift(quarter, 2, rounding)),
                round_oracle(Rational(quarter, 4), rounding))
          << quarter << "/4 " << name(rounding);
}

TEST(RoundShift, RandomNumbersOfEveryWidth) {
  RandomSequence random(1, "round_shift");
  for (int i = 0; i < 4000; ++i) {
    const Int128 value = random_integer(random, 126);
    const auto shift = static_cast<int>(random.integer(0, 126));
    const Rational exact(big(value), BigInteger(1) << static_cast<unsigned>(shift));
    for (const Rounding rounding : kAllRoundings)
      ASSERT_EQ(big(round_shift(value, shift, rounding)), round_oracle(exact, rounding))
          << big(value) << " >> " << shift << " " << name(rounding);
  }
}

TEST(RoundShift, LeftShiftsAreExactOrRefused) {
  EXPECT_EQ(round_shift(-3, -62, Rounding::kFloor), Int128{-3} << 62);
  EXPECT_EQ(round_shift(0, -62, Rounding::kFloor), 0);
  EXPECT_EQ(round_shift(Int128{1} << 64, -62, Rounding::kFloor), Int128{1} << 126);
  EXPECT_THROW(round_shift(Int128{1} << 65, -62, Rounding::kFloor), InternalError);
  EXPECT_THROW(round_shift(1, -63, Rounding::kFloor), InternalError);
  EXPECT_THROW(round_shift(1, 127, Rounding::kFloor), InternalError);
}

TEST(RoundDivide, SmallQuotientsInEveryMode) {
  for (int numerator = -25; numerator <= 25; ++numerator)
    for (int denominator = -8; denominator <= 8; ++denominator) {
      if (denominator == 0) continue;
      for (const Rounding rounding : kAllRoundings)
        EXPECT_EQ(big(round_divide(numerator, denominator, rounding)),
                  round_oracle(Rational(numerator) / denominator, rounding))
            << numerator << "/" << denominator << " " << name(rounding);
    }
}

TEST(RoundDivide, RandomNumbersOfEveryWidth) {
  RandomSequence random(2, "round_divide");
  for (int i = 0; i < 4000; ++i) {
    const Int128 numerator = random_integer(random, 126);
    Int128 denominator = random_integer(random, 126);
    if (denominator == 0) denominator = 1;
    const Rational exact = Rational(big(numerator)) / Rational(big(denominator));
    for (const Rounding rounding : kAllRoundings)
      ASSERT_EQ(big(round_divide(numerator, denominator, rounding)), round_oracle(exact, rounding))
          << big(numerator) << "/" << big(denominator) << " " << name(rounding);
  }
  EXPECT_THROW(round_divide(1, 0, Rounding::kFloor), InternalError);
}

TEST(RoundReal, RandomDoublesOfEveryExponent) {
  RandomSequence random(3, "round_real");
  for (int i = 0; i < 4000; ++i) {
    double value = std::ldexp(1 + random.uniform(), static_cast<int>(random.integer(-70, 124)));
    if (random.chance(0.3)) value = std::round(value) + 0.5;
    if (random.chance(0.1)) value = std::ldexp(random.uniform(), -1070);
    if (random.chance(0.5)) value = -value;
    for (const Rounding rounding : kAllRoundings)
      ASSERT_EQ(big(round_real(value, rounding)), round_oracle(rational_of(value), rounding))
          << value << " " << name(rounding);
  }
  for (const double bad : {0x1p126, -0x1p126, std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()})
    EXPECT_THROW(round_real(bad, Rounding::kFloor), InternalError);
}

TEST(ApplyOverflow, EverySmallWidthInEveryMode) {
  for (int bits = 1; bits <= 7; ++bits)
    for (const bool is_signed : {false, true})
      for (const Overflow overflow : kAllOverflows)
        for (int value = -300; value <= 300; ++value)
          ASSERT_EQ(BigInteger(apply_overflow(value, bits, is_signed, overflow)),
                    overflow_oracle(value, bits, is_signed, overflow))
              << value << " in " << bits << " bits, " << name(overflow);
}

TEST(ApplyOverflow, RandomNumbersInEveryWidth) {
  RandomSequence random(4, "apply_overflow");
  for (int i = 0; i < 20'000; ++i) {
    const bool is_signed = random.chance(0.5);
    const auto bits = static_cast<int>(random.integer(1, is_signed ? 64 : 63));
    const Int128 value = random_integer(random, random.chance(0.7) ? bits + 1 : 126);
    for (const Overflow overflow : kAllOverflows)
      ASSERT_EQ(BigInteger(apply_overflow(value, bits, is_signed, overflow)),
                overflow_oracle(big(value), bits, is_signed, overflow))
          << big(value) << " in " << bits << " bits, " << name(overflow);
  }
}

TEST(IntegerRange, EndsAndBitsAreInverse) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(integer_range(1, true), (IntegerRange{-1, 0}));
  EXPECT_EQ(integer_range(64, true), (IntegerRange{kMin, kMax}));
  EXPECT_EQ(integer_range(63, false), (IntegerRange{0, kMax}));
  EXPECT_THROW(integer_range(64, false), InternalError);
  EXPECT_THROW(integer_range(0, true), InternalError);
  EXPECT_THROW(integer_range(65, true), InternalError);
  for (int bits = 1; bits <= 64; ++bits) {
    EXPECT_EQ(bits_for(integer_range(bits, true)), bits);
    if (bits < 64) {
      EXPECT_EQ(bits_for(integer_range(bits, false)), bits);
    }
    if (bits > 1 && bits < 64) {
      const IntegerRange range = integer_range(bits, true);
      EXPECT_EQ(bits_for({range.min - 1, 0}), bits + 1);
      EXPECT_EQ(bits_for({-1, range.max + 1}), bits + 1);
    }
  }
  EXPECT_EQ(bits_for({0, 0}), 1);
  EXPECT_EQ(bits_for({-1, -1}), 1);
  EXPECT_EQ(bits_for({-3, -2}), 3);
  EXPECT_THROW(bits_for({1, 0}), InternalError);
}

}  // namespace
}  // namespace tandem
