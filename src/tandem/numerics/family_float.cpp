#include <algorithm>
#include <bit>
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/numerics/format_family.h"

namespace tandem {
namespace {

// What the top codes of a format are kept for.
enum class Specials {
  kInfinities,  // as IEEE 754: infinities and NaNs behind the largest exponent
  kOneNan,      // the code of all ones is NaN, of either sign; no infinities
  kNoZeroSign,  // the code of minus zero is NaN; no infinities, and a bias one greater
  kNone         // every code is a finite number
};

struct Member {
  std::string_view name;
  int exponent_bits;
  int mantissa_bits;
  Storage storage;
  Specials specials = Specials::kInfinities;
};

// e5m2 and e4m3: OCP 8-bit floating point specification, revision 1.0; e2m1: OCP microscaling
// formats, version 1.0; the two without a negative zero: Noune et al., 8-bit numerical formats for
// deep neural networks, 2022.
constexpr std::array<Member, 9> kMembers = {
    {{"f64", 11, 52, Storage::kF64},
     {"f32", 8, 23, Storage::kF32},
     {"f16", 5, 10, Storage::kU16},
     {"bf16", 8, 7, Storage::kU16},
     {"e5m2", 5, 2, Storage::kU8},
     {"e4m3", 4, 3, Storage::kU8, Specials::kOneNan},
     {"e4m3fnuz", 4, 3, Storage::kU8, Specials::kNoZeroSign},
     {"e5m2fnuz", 5, 2, Storage::kU8, Specials::kNoZeroSign},
     {"e2m1", 2, 1, Storage::kU8, Specials::kNone}}};

// |value| = significand * 2^exponent, exactly; value finite.
struct Magnitude {
  std::uint64_t significand;
  int exponent;
};

Magnitude magnitude_of(double value) {
  const auto word = std::bit_cast<std::uint64_t>(value);
  const std::uint64_t fraction = word & ((std::uint64_t{1} << 52) - 1);
  const int field = static_cast<int>(word >> 52 & 0x7ff);
  if (field == 0) return {fraction, -1074};
  return {fraction | std::uint64_t{1} << 52, field - 1075};
}

// The IEEE 754 binary interchange formats and the narrower ones, most of which keep their rules, by
// bit operations only. A number beyond the largest code goes where IEEE 754 says for its rounding
// (infinity or the largest code) under kSaturate, to the largest code under kSaturateSymmetric and
// where there is no infinity, to zero under kSaturateZero.
class FloatFamily final : public FormatFamily {
 public:
  std::optional<Parameters> parse(std::string_view text) const override {
    for (std::size_t i = 0; i < kMembers.size(); ++i)
      if (text == kMembers[i].name) return Parameters{static_cast<std::int16_t>(i)};
    return std::nullopt;
  }
  std::string name(const Parameters& p) const override { return std::string(member(p).name); }
  std::vector<std::string> examples() const override {
    std::vector<std::string> names;
    for (const Member& m : kMembers) names.emplace_back(m.name);
    return names;
  }
  int bits(const Parameters& p) const override {
    return 1 + member(p).exponent_bits + member(p).mantissa_bits;
  }
  Storage storage(const Parameters& p) const override { return member(p).storage; }
  bool is_float() const override { return true; }
  bool is_signed(const Parameters&) const override { return true; }

  std::uint64_t encode(const Parameters& p, double value, Rounding rounding,
                       Overflow overflow) const override {
    const Member& m = member(p);
    if (std::isnan(value)) return nan(m);
    const bool negative = std::signbit(value);
    const std::uint64_t sign = negative ? sign_bit(m) : 0;
    const bool has_infinities = m.specials == Specials::kInfinities;
    if (std::isinf(value) && has_infinities) return sign | end_of_finite(m);
    if (!std::isinf(value)) {
      const std::uint64_t code = round_magnitude(m, value, rounding);
      if (code == 0 && m.specials == Specials::kNoZeroSign) return 0;
      if (code < end_of_finite(m)) return sign | code;
    }
    switch (overflow) {
      case Overflow::kSaturate:
        if (has_infinities && overflow_is_infinite(negative, rounding))
          return sign | end_of_finite(m);
        return sign | (end_of_finite(m) - 1);
      case Overflow::kSaturateSymmetric: return sign | (end_of_finite(m) - 1);
      case Overflow::kSaturateZero: return m.specials == Specials::kNoZeroSign ? 0 : sign;
      case Overflow::kWrap: break;
    }
    throw Error(shortest(value), " is outside format ", m.name,
                ", and overflow 'wrap' has no meaning there; use a saturating overflow");
  }

  ExactValue exact(const Parameters& p, std::uint64_t code) const override {
    const Member& m = member(p);
    const bool negative = (code >> (bits(p) - 1) & 1) != 0;
    const std::uint64_t fraction = code & ((std::uint64_t{1} << m.mantissa_bits) - 1);
    const std::uint64_t field =
        code >> m.mantissa_bits & ((std::uint64_t{1} << m.exponent_bits) - 1);
    ExactValue value;
    if (is_nan(m, code)) {
      value.kind = ExactValue::Kind::kNan;
      return value;
    }
    if ((code & ~sign_bit(m)) == end_of_finite(m)) {
      value.kind =
          negative ? ExactValue::Kind::kNegativeInfinity : ExactValue::Kind::kPositiveInfinity;
      return value;
    }
    const Int128 magnitude =
        field == 0 ? Int128{fraction} : Int128{fraction | std::uint64_t{1} << m.mantissa_bits};
    value.significand = negative ? -magnitude : magnitude;
    value.exponent = smallest_exponent(m) + std::max(static_cast<int>(field), 1) - 1;
    value.negative_zero = negative && magnitude == 0;
    return value;
  }

 private:
  static const Member& member(const Parameters& p) {
    return kMembers.at(static_cast<std::size_t>(p[0]));
  }

  static std::uint64_t sign_bit(const Member& m) {
    return std::uint64_t{1} << (m.exponent_bits + m.mantissa_bits);
  }

  // The code behind the largest finite one: those below it are the finite ones, in order. With
  // infinities it is the positive one, all bits of its exponent set.
  static std::uint64_t end_of_finite(const Member& m) {
    switch (m.specials) {
      case Specials::kInfinities:
        return ((std::uint64_t{1} << m.exponent_bits) - 1) << m.mantissa_bits;
      case Specials::kOneNan: return sign_bit(m) - 1;
      case Specials::kNoZeroSign:
      case Specials::kNone: break;
    }
    return sign_bit(m);
  }

  // One NaN for all: executions are compared bit by bit.
  static std::uint64_t nan(const Member& m) {
    switch (m.specials) {
      case Specials::kInfinities:
        return end_of_finite(m) | std::uint64_t{1} << (m.mantissa_bits - 1);
      case Specials::kOneNan: return end_of_finite(m);
      case Specials::kNoZeroSign: return sign_bit(m);
      case Specials::kNone: break;
    }
    throw Error("NaN has no code in format ", m.name,
                "; use a format that has one, or clean the values");
  }

  static bool is_nan(const Member& m, std::uint64_t code) {
    const std::uint64_t magnitude = code & (sign_bit(m) - 1);
    switch (m.specials) {
      case Specials::kInfinities: return magnitude > end_of_finite(m);
      case Specials::kOneNan: return magnitude == end_of_finite(m);
      case Specials::kNoZeroSign: return code == sign_bit(m);
      case Specials::kNone: break;
    }
    return false;
  }

  // The exponent of the spacing of the subnormals.
  static int smallest_exponent(const Member& m) {
    const int bias = (1 << (m.exponent_bits - 1)) - (m.specials == Specials::kNoZeroSign ? 0 : 1);
    return 1 - bias - m.mantissa_bits;
  }

  // The code of |value| rounded as though exponents had no upper end; `value` says the direction.
  static std::uint64_t round_magnitude(const Member& m, double value, Rounding rounding) {
    const Magnitude from = magnitude_of(value);
    if (from.significand == 0) return 0;
    const int top = static_cast<int>(std::bit_width(from.significand)) - 1 + from.exponent;
    const int spacing = std::max(top - m.mantissa_bits, smallest_exponent(m));
    const Int128 signed_significand =
        std::signbit(value) ? -Int128{from.significand} : Int128{from.significand};
    // Shifted by 60 or more, 53 bits lie strictly between 0 and one half: more change nothing.
    const int shift = std::min(spacing - from.exponent, 60);
    const Int128 rounded = round_shift(signed_significand, shift, rounding);
    // The leading one of a normal significand adds itself to the exponent field, and so does the
    // carry of a significand rounded up to the next power of two.
    return (static_cast<std::uint64_t>(spacing - smallest_exponent(m)) << m.mantissa_bits) +
           static_cast<std::uint64_t>(rounded < 0 ? -rounded : rounded);
  }

  // IEEE 754-2019, 7.4: every rounding to nearest overflows to infinity, a directed one does so
  // when it points away from zero.
  static bool overflow_is_infinite(bool negative, Rounding rounding) {
    switch (rounding) {
      case Rounding::kFloor: return negative;
      case Rounding::kCeiling: return !negative;
      case Rounding::kTowardZero: return false;
      default: return true;
    }
  }
};

}  // namespace

const FormatFamily& float_family() {
  static const FloatFamily kFamily;
  return kFamily;
}

}  // namespace tandem
