#include "tandem/numerics/fixed_point.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "tandem/base/error.h"

namespace tandem {
namespace {

constexpr std::int32_t kMax = std::numeric_limits<std::int32_t>::max();
constexpr std::int32_t kMin = std::numeric_limits<std::int32_t>::min();

std::int32_t exact(std::int64_t value) {
  ensure(value >= kMin && value <= kMax, "a fixed-point number leaves 32 bits");
  return static_cast<std::int32_t>(value);
}

std::int32_t saturated(std::int64_t value) {
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(value, kMin, kMax));
}

// x * 2^shift for a shift to the left, which saturates.
std::int32_t shifted_left(std::int32_t x, int shift) {
  return saturated(std::int64_t{x} * (std::int64_t{1} << shift));
}

std::int32_t multiply(std::int32_t a, std::int32_t b) {
  return rounding_doubling_high_multiply(a, b);
}

// e^x for fractions x in [-1/4, 0): the Taylor polynomial of degree 4 around -1/8.
std::int32_t exponential_of_last_quarter(std::int32_t x) {
  constexpr std::int32_t kCentre = 1895147668;  // e^(-1/8)
  constexpr std::int32_t kThird = 715827883;
  const std::int32_t d = exact(std::int64_t{x} + (1 << 28));  // x + 1/8
  const std::int32_t d2 = multiply(d, d);
  const std::int32_t d3 = multiply(d2, d);
  const std::int32_t quarter_d4 = rounding_divide_by_power_of_two(multiply(d2, d2), 2);
  // d^2 / 2 + d^3 / 6 + d^4 / 24
  const std::int32_t higher = rounding_divide_by_power_of_two(
      exact(std::int64_t{multiply(exact(std::int64_t{quarter_d4} + d3), kThird)} + d2), 1);
  return exact(std::int64_t{kCentre} + multiply(kCentre, exact(std::int64_t{d} + higher)));
}

// 2 / (1 + x) with 2 integer bits by three steps of Newton's method, x a fraction in [0,1].
std::int32_t twice_reciprocal_of_one_plus(std::int32_t x) {
  constexpr std::int32_t k48Over17 = 1515870810;      // with 2 integer bits
  constexpr std::int32_t kNeg32Over17 = -1010580540;  // the same
  constexpr std::int32_t kOne = 1 << 29;
  const std::int32_t half = exact((std::int64_t{x} + kMax + 1) / 2);  // (1 + x) / 2
  std::int32_t y = exact(std::int64_t{k48Over17} + multiply(half, kNeg32Over17));
  for (int step = 0; step < 3; ++step) {
    const std::int32_t error = exact(std::int64_t{kOne} - multiply(half, y));
    y = exact(std::int64_t{y} + shifted_left(multiply(y, error), 2));
  }
  return y;
}

}  // namespace

QuantizedMultiplier quantize_multiplier(double value) {
  if (!(value >= 0) || !std::isfinite(value))
    throw Error("a scale ratio of ", value, "; it must be finite and not negative");
  if (value == 0) return {};
  QuantizedMultiplier result;
  const double fraction = std::frexp(value, &result.shift);
  auto multiplier = static_cast<std::int64_t>(std::round(fraction * 0x1p31));
  if (multiplier == std::int64_t{1} << 31) {
    multiplier /= 2;
    ++result.shift;
  }
  if (result.shift < -31) return {};
  if (result.shift > 30) throw Error("a scale ratio of ", value, " is beyond 2^30");
  result.multiplier = static_cast<std::int32_t>(multiplier);
  return result;
}

std::int32_t rounding_doubling_high_multiply(std::int32_t a, std::int32_t b) {
  const std::int64_t sum = std::int64_t{a} * b + (std::int64_t{1} << 30);
  return saturated(sum >> 31);
}

std::int32_t rounding_divide_by_power_of_two(std::int32_t x, int exponent) {
  ensure(exponent >= 0 && exponent <= 31, "a shift must lie in [0,31]");
  if (exponent == 0) return x;
  const std::int64_t half = std::int64_t{1} << (exponent - 1);
  const std::int64_t magnitude = (std::abs(std::int64_t{x}) + half) >> exponent;
  return static_cast<std::int32_t>(x < 0 ? -magnitude : magnitude);
}

std::int32_t multiply_rounding_twice(std::int32_t x, QuantizedMultiplier multiplier) {
  const int left = std::max(multiplier.shift, 0), right = std::max(-multiplier.shift, 0);
  const std::int64_t shifted = std::int64_t{x} * (std::int64_t{1} << left);
  if (shifted != saturated(shifted))
    throw Error("a scale ratio of 2^", left, " takes ", x, " out of 32 bits");
  return rounding_divide_by_power_of_two(
      multiply(static_cast<std::int32_t>(shifted), multiplier.multiplier), right);
}

// e^x = e^(r - 1/4) * product of e^(-2^k) over the bits k of what remains, r = x modulo 1/4.
std::int32_t exponential_of_negative(std::int32_t x, int integer_bits) {
  ensure(x <= 0 && integer_bits >= 0 && integer_bits <= 5, "an exponential out of its range");
  if (x == 0) return kMax;
  constexpr std::array<std::int32_t, 7> kPowers = {
      // e^(-2^k) for k from -2 on
      1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
  const int fraction_bits = 31 - integer_bits;
  const std::int32_t quarter = std::int32_t{1} << (fraction_bits - 2);
  const std::int32_t residue = exact(std::int64_t{x & (quarter - 1)} - quarter);
  std::int32_t result =
      exponential_of_last_quarter(exact(std::int64_t{residue} * (std::int64_t{1} << integer_bits)));
  const std::int64_t remainder = std::int64_t{residue} - x;
  int bit = fraction_bits - 2;  // of 2^k
  for (const std::int32_t power : kPowers) {
    if (bit < 31 && ((remainder >> bit) & 1) != 0) result = multiply(result, power);
    ++bit;
  }
  return result;
}

std::int32_t reciprocal_of_one_plus(std::int32_t x) {
  return shifted_left(twice_reciprocal_of_one_plus(x), 1);
}

std::int32_t one_minus_over_one_plus(std::int32_t x) {
  return shifted_left(exact(std::int64_t{twice_reciprocal_of_one_plus(x)} - (1 << 29)), 2);
}

std::int32_t fixed_point_logistic(std::int32_t x, int integer_bits) {
  if (x == 0) return std::int32_t{1} << 30;
  const std::int32_t negative = x < 0 ? x : -x;
  const std::int32_t upper =
      reciprocal_of_one_plus(exponential_of_negative(negative, integer_bits));
  return x > 0 ? upper : kMax - upper;
}

std::int32_t fixed_point_tanh(std::int32_t x, int integer_bits) {
  if (x == 0) return 0;
  const std::int32_t negative = x < 0 ? x : -x;
  // The same bits with one integer bit more are 2x.
  const std::int32_t upper =
      one_minus_over_one_plus(exponential_of_negative(negative, integer_bits + 1));
  return x > 0 ? upper : -upper;
}

std::int32_t input_radius(int integer_bits, int left_shift) {
  const double most = ((1 << integer_bits) - 1) * std::ldexp(1.0, 31 - integer_bits - left_shift);
  return static_cast<std::int32_t>(std::floor(std::min(most, static_cast<double>(kMax))));
}

}  // namespace tandem
