#pragma once

#include <boost/multiprecision/cpp_int.hpp>

#include "tandem/numerics/rounding.h"

namespace tandem::test {

using BigInteger = boost::multiprecision::cpp_int;
using Rational = boost::multiprecision::cpp_rational;

// A double as the fraction it is; finite values only.
Rational rational_of(double value);

// Rounding and overflow by their definitions over rational numbers, as slowly as need be.
BigInteger round_oracle(const Rational& value, Rounding rounding);
BigInteger overflow_oracle(const BigInteger& value, int bits, bool is_signed, Overflow overflow);

BigInteger big(Int128 value);

}  // namespace tandem::test
