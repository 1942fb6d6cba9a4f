#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tandem {

__extension__ using Int128 = __int128;

// How a number between two codes is rounded. The first seven are the HLS ap_fixed set (named in
// the comments); the last two are the remaining modes of QONNX.
enum class Rounding : std::uint8_t {
  kFloor,             // TRN: toward minus infinity
  kTowardZero,        // TRN_ZERO
  kHalfUp,            // RND: nearest, ties toward plus infinity
  kHalfTowardZero,    // RND_ZERO
  kHalfDown,          // RND_MIN_INF: nearest, ties toward minus infinity
  kHalfAwayFromZero,  // RND_INF
  kHalfEven,          // RND_CONV
  kCeiling,           // QONNX CEIL
  kAwayFromZero,      // QONNX UP
};

// What happens to a rounded number outside the range of codes (HLS ap_fixed names).
enum class Overflow : std::uint8_t {
  kWrap,          // WRAP: modulo 2^bits
  kSaturate,      // SAT: the nearest code
  kSaturateZero,  // SAT_ZERO: zero
  // SAT_SYM: like SAT with the most negative code excluded, save in one-bit formats, as in HLS.
  kSaturateSymmetric,
};

inline constexpr std::array<Rounding, 9> kAllRoundings = {
    Rounding::kFloor,          Rounding::kTowardZero, Rounding::kHalfUp,
    Rounding::kHalfTowardZero, Rounding::kHalfDown,   Rounding::kHalfAwayFromZero,
    Rounding::kHalfEven,       Rounding::kCeiling,    Rounding::kAwayFromZero};
inline constexpr std::array<Overflow, 4> kAllOverflows = {
    Overflow::kWrap, Overflow::kSaturate, Overflow::kSaturateZero, Overflow::kSaturateSymmetric};

// "floor", "toward_zero", "half_up", "half_toward_zero", "half_down", "half_away_from_zero",
// "half_even", "ceiling", "away_from_zero".
std::string_view name(Rounding rounding);
Rounding parse_rounding(std::string_view text);  // throws Error naming the nearest

// "wrap", "saturate", "saturate_zero", "saturate_symmetric".
std::string_view name(Overflow overflow);
Overflow parse_overflow(std::string_view text);  // throws Error naming the nearest

struct IntegerRange {
  std::int64_t min = 0;
  std::int64_t max = 0;
  friend bool operator==(const IntegerRange&, const IntegerRange&) = default;
};

// value / 2^shift, rounded; shift in [-62, 126] (negative: exact multiplication).
// Throws InternalError when a left shift leaves 127 bits.
Int128 round_shift(Int128 value, int shift, Rounding rounding);

// numerator / denominator, rounded; denominator != 0.
Int128 round_divide(Int128 numerator, Int128 denominator, Rounding rounding);

// A real number to an integer; |value| must be below 2^126 and not NaN (InternalError otherwise).
Int128 round_real(double value, Rounding rounding);

// Brings a rounded integer into the two's complement (or unsigned) range of `bits`, 1..64
// (unsigned at most 63).
std::int64_t apply_overflow(Int128 value, int bits, bool is_signed, Overflow overflow);

// The range of two's complement (unsigned) integers of so many bits.
IntegerRange integer_range(int bits, bool is_signed);

// The smallest number of bits whose range holds both ends; signed when min < 0.
int bits_for(IntegerRange range);

}  // namespace tandem
