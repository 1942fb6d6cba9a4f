#include "tests/numerics/oracle.h"

#include <cmath>
#include <stdexcept>

namespace tandem::test {
namespace {

BigInteger floor_of(const Rational& value) {
  const BigInteger numerator = boost::multiprecision::numerator(value);
  const BigInteger denominator = boost::multiprecision::denominator(value);
  BigInteger quotient = numerator / denominator;  // toward zero
  if (numerator < 0 && quotient * denominator != numerator) --quotient;
  return quotient;
}

BigInteger ceiling_of(const Rational& value) { return -floor_of(-value); }

// The nearest integer; `tie` chooses between two that are equally near.
template <typename Tie>
BigInteger nearest(const Rational& value, Tie tie) {
  const BigInteger below = floor_of(value);
  const BigInteger above = ceiling_of(value);
  const Rational to_below = value - below;
  const Rational to_above = above - value;
  if (to_below == to_above) return tie(below, above);
  return to_below < to_above ? below : above;
}

}  // namespace

Rational rational_of(double value) {
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);
  const BigInteger significand(static_cast<long long>(std::ldexp(fraction, 53)));
  exponent -= 53;
  const BigInteger power = BigInteger(1) << static_cast<unsigned>(std::abs(exponent));
  return exponent >= 0 ? Rational(significand * power) : Rational(significand, power);
}

BigInteger round_oracle(const Rational& value, Rounding rounding) {
  using Big = const BigInteger&;
  switch (rounding) {
    case Rounding::kFloor: return floor_of(value);
    case Rounding::kCeiling: return ceiling_of(value);
    case Rounding::kTowardZero: return value < 0 ? ceiling_of(value) : floor_of(value);
    case Rounding::kAwayFromZero: return value < 0 ? floor_of(value) : ceiling_of(value);
    case Rounding::kHalfUp: return nearest(value, [](Big, Big above) { return above; });
    case Rounding::kHalfDown: return nearest(value, [](Big below, Big) { return below; });
    case Rounding::kHalfTowardZero:
      return nearest(value,
                     [](Big below, Big above) { return abs(below) < abs(above) ? below : above; });
    case Rounding::kHalfAwayFromZero:
      return nearest(value,
                     [](Big below, Big above) { return abs(below) > abs(above) ? below : above; });
    case Rounding::kHalfEven:
      return nearest(value, [](Big below, Big above) { return below % 2 == 0 ? below : above; });
  }
  throw std::logic_error("unknown rounding");
}

BigInteger overflow_oracle(const BigInteger& value, int bits, bool is_signed, Overflow overflow) {
  const BigInteger count = BigInteger(1) << static_cast<unsigned>(bits);
  const BigInteger min = is_signed ? BigInteger(-count / 2) : BigInteger(0);
  const BigInteger max = min + count - 1;
  const bool is_symmetric = overflow == Overflow::kSaturateSymmetric && is_signed && bits > 1;
  const BigInteger lowest = is_symmetric ? BigInteger(-max) : min;
  if (value >= lowest && value <= max) return value;
  switch (overflow) {
    case Overflow::kWrap: {
      BigInteger wrapped = value;
      wrapped -= count * floor_of(Rational(value - min, count));
      return wrapped;
    }
    case Overflow::kSaturate:
    case Overflow::kSaturateSymmetric: return value < lowest ? lowest : max;
    case Overflow::kSaturateZero: return 0;
  }
  throw std::logic_error("unknown overflow");
}

BigInteger big(Int128 value) { return BigInteger(value); }

}  // namespace tandem::test
