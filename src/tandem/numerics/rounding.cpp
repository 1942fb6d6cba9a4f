#include "tandem/numerics/rounding.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/numerics/overflow.h"

namespace tandem {
namespace {

__extension__ using UInt128 = unsigned __int128;

constexpr std::array<std::string_view, 9> kRoundingNames = {
    "floor",         "toward_zero",         "half_up",   "half_toward_zero",
    "half_down",     "half_away_from_zero", "half_even", "ceiling",
    "away_from_zero"};
constexpr std::array<std::string_view, 4> kOverflowNames = {"wrap", "saturate", "saturate_zero",
                                                            "saturate_symmetric"};

template <std::size_t N>
std::size_t index_of_name(const std::array<std::string_view, N>& names, std::string_view text,
                          std::string_view what) {
  const auto found = std::find(names.begin(), names.end(), text);
  if (found == names.end()) {
    const std::vector<std::string> known(names.begin(), names.end());
    throw Error("unknown ", what, " '", text, "'", suggestion(text, known));
  }
  return static_cast<std::size_t>(found - names.begin());
}

// Whether a number between `floor` and floor + 1 goes to floor + 1. `half` is negative, zero or
// positive as the part above the floor is less than, equal to or more than one half.
bool rounds_up(bool floor_is_odd, bool negative, int half, Rounding rounding) {
  switch (rounding) {
    case Rounding::kFloor: return false;
    case Rounding::kTowardZero: return negative;
    case Rounding::kHalfUp: return half >= 0;
    case Rounding::kHalfTowardZero: return half > 0 || (half == 0 && negative);
    case Rounding::kHalfDown: return half > 0;
    case Rounding::kHalfAwayFromZero: return half > 0 || (half == 0 && !negative);
    case Rounding::kHalfEven: return half > 0 || (half == 0 && floor_is_odd);
    case Rounding::kCeiling: return true;
    case Rounding::kAwayFromZero: return !negative;
  }
  throw InternalError("unknown rounding");
}

Int128 shift_left(Int128 value, int shift) {
  const Int128 result = value << shift;
  ensure(result >> shift == value && shift <= 126, "round_shift: a left shift leaves 127 bits");
  return result;
}

}  // namespace

std::string_view name(Rounding rounding) {
  return kRoundingNames.at(static_cast<std::size_t>(rounding));
}

Rounding parse_rounding(std::string_view text) {
  return static_cast<Rounding>(index_of_name(kRoundingNames, text, "rounding"));
}

std::string_view name(Overflow overflow) {
  return kOverflowNames.at(static_cast<std::size_t>(overflow));
}

Overflow parse_overflow(std::string_view text) {
  return static_cast<Overflow>(index_of_name(kOverflowNames, text, "overflow"));
}

Int128 round_shift(Int128 value, int shift, Rounding rounding) {
  ensure(shift >= -62 && shift <= 126, "round_shift: shift out of bounds");
  if (shift <= 0) return shift_left(value, -shift);
  const Int128 floor = value >> shift;
  const Int128 rest = value - (floor << shift);
  if (rest == 0) return floor;
  const Int128 middle = Int128{1} << (shift - 1);
  const int half = rest < middle ? -1 : rest > middle ? 1 : 0;
  return floor + (rounds_up((floor & 1) != 0, value < 0, half, rounding) ? 1 : 0);
}

Int128 round_divide(Int128 numerator, Int128 denominator, Rounding rounding) {
  constexpr Int128 kLowest = static_cast<Int128>(UInt128{1} << 127);
  ensure(denominator != 0, "round_divide: division by zero");
  ensure(numerator != kLowest && denominator != kLowest, "round_divide: operand out of bounds");
  if (denominator < 0) {
    numerator = -numerator;
    denominator = -denominator;
  }
  Int128 floor = numerator / denominator;
  Int128 rest = numerator % denominator;
  if (rest == 0) return floor;
  if (rest < 0) {
    rest += denominator;
    --floor;
  }
  const Int128 missing = denominator - rest;
  const int half = rest < missing ? -1 : rest > missing ? 1 : 0;
  return floor + (rounds_up((floor & 1) != 0, numerator < 0, half, rounding) ? 1 : 0);
}

Int128 round_real(double value, Rounding rounding) {
  ensure(std::abs(value) < 0x1p126, "round_real: not a number below 2^126");
  // The processor rounds ties to even unless told otherwise; nobody here tells it.
  if (rounding == Rounding::kHalfEven && std::abs(value) < 0x1p52)
    return static_cast<std::int64_t>(std::nearbyint(value));
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);
  const auto significand = static_cast<Int128>(std::ldexp(fraction, 53));
  exponent -= 53;
  if (exponent >= 0) return significand << exponent;
  // Beyond 55 places the significand lies strictly between 0 and one half: more change nothing.
  return round_shift(significand, std::min(-exponent, 60), rounding);
}

std::int64_t apply_overflow(Int128 value, int bits, bool is_signed, Overflow overflow) {
  const IntegerRange range = kept_range(integer_range(bits, is_signed), overflow);
  if (value >= range.min && value <= range.max) return static_cast<std::int64_t>(value);
  switch (overflow) {
    case Overflow::kWrap: {
      const auto low = static_cast<std::uint64_t>(static_cast<UInt128>(value));
      const int unused = 64 - bits;
      return is_signed ? static_cast<std::int64_t>(low << unused) >> unused
                       : static_cast<std::int64_t>(low << unused >> unused);
    }
    case Overflow::kSaturate:
    case Overflow::kSaturateSymmetric: return value < 0 ? range.min : range.max;
    case Overflow::kSaturateZero: return 0;
  }
  throw InternalError("unknown overflow");
}

IntegerRange integer_range(int bits, bool is_signed) {
  ensure(bits >= 1 && bits <= (is_signed ? 64 : 63), "integer_range: bits out of bounds");
  if (!is_signed) return {0, static_cast<std::int64_t>((std::uint64_t{1} << bits) - 1)};
  const auto max = static_cast<std::int64_t>((std::uint64_t{1} << (bits - 1)) - 1);
  return {-max - 1, max};
}

int bits_for(IntegerRange range) {
  ensure(range.min <= range.max, "bits_for: empty range");
  const auto width = [](std::int64_t value) {
    return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(value)));
  };
  if (range.min >= 0) return std::max(1, width(range.max));
  return 1 + std::max(width(-(range.min + 1)), range.max > 0 ? width(range.max) : 0);
}

}  // namespace tandem
