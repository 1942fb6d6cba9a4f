#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/numerics/float_shape.h"
#include "tandem/numerics/format_family.h"

namespace tandem {
namespace {

// What the top codes of a format are kept for.
enum class Specials : std::int16_t {
  kInfinities,  // as IEEE 754: infinities and NaNs behind the largest exponent
  kOneNan,      // the code of all ones is NaN, of either sign; no infinities
  kNoZeroSign,  // the code of minus zero is NaN; no infinities, and a bias one greater
  kNone         // every code is a finite number
};
struct SpecialsName {
  std::string_view suffix;
  Specials specials;
};
// In the words of PyPI's ml_dtypes.
constexpr std::array<SpecialsName, 4> kSpecials = {{{"ieee", Specials::kInfinities},
                                                    {"fn", Specials::kOneNan},
                                                    {"fnuz", Specials::kNoZeroSign},
                                                    {"finite", Specials::kNone}}};

// One format: a sign, so many bits of exponent and mantissa. Its codes are in the order of their
// magnitudes.
struct Member {
  int exponent_bits;
  int mantissa_bits;
  Specials specials;
  int bias;

  friend bool operator==(const Member&, const Member&) = default;
  int bits() const { return 1 + exponent_bits + mantissa_bits; }
};

int usual_bias(int exponent_bits, Specials specials) {
  return (1 << (exponent_bits - 1)) - (specials == Specials::kNoZeroSign ? 0 : 1);
}

// e5m2 and e4m3: OCP 8-bit floating point specification, revision 1.0; all others are finite, as
// the OCP microscaling formats, version 1.0 (e3m2, e2m3, e2m1) and most of the literature have
// them.
Specials usual_specials(int exponent_bits, int mantissa_bits) {
  if (exponent_bits == 5 && mantissa_bits == 2) return Specials::kInfinities;
  if (exponent_bits == 4 && mantissa_bits == 3) return Specials::kOneNan;
  return Specials::kNone;
}

struct Named {
  std::string_view name;
  Member member;
};
constexpr std::array<Named, 4> kNamed = {{{"f64", {11, 52, Specials::kInfinities, 1023}},
                                          {"f32", {8, 23, Specials::kInfinities, 127}},
                                          {"f16", {5, 10, Specials::kInfinities, 15}},
                                          {"bf16", {8, 7, Specials::kInfinities, 127}}}};

// Reads digits from the front of `text`; nullopt where there are none, or too many.
std::optional<int> take_number(std::string_view& text) {
  std::size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  if (digits == 0 || digits > 4) return std::nullopt;
  const int number = static_cast<int>(parse_integer(text.substr(0, digits), "a width"));
  text.remove_prefix(digits);
  return number;
}
bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// Limits that keep every value within the normal range of f64.
void check(const Member& m, std::string_view name) {
  if (m.exponent_bits < 1 || m.bits() < 3 || m.bits() > 16 || m.exponent_bits > 8)
    throw Error("format ", name,
                ": floating point has 1 to 8 bits of exponent, and with sign and "
                "mantissa 3 to 16 bits");
  if (m.specials == Specials::kInfinities && (m.exponent_bits < 2 || m.mantissa_bits < 1))
    throw Error("format ", name,
                ": infinities and NaN need two bits of exponent and one of "
                "mantissa; use the suffix fn or finite");
  if (m.exponent_bits == 8 && m.mantissa_bits == 0)
    throw Error("format ", name, ": e8m0 is the format of shared scales alone");
  if (std::abs(m.bias) > 512) throw Error("format ", name, ": the bias is -512 to 512");
}

// "e4m3", "e4m3ieee", "e3m4b5", "e4m3b11fnuz".
std::optional<Member> parse_member(std::string_view text) {
  const std::string_view name = text;
  if (name == "e8m0") return std::nullopt;  // the format of shared scales, without a sign
  if (!take(text, "e")) return std::nullopt;
  const auto exponent = take_number(text);
  if (!exponent || !take(text, "m")) return std::nullopt;
  const auto mantissa = take_number(text);
  if (!mantissa) return std::nullopt;
  std::optional<int> bias;
  if (take(text, "b")) {
    const bool negative = take(text, "-");
    bias = take_number(text);
    if (!bias) return std::nullopt;
    if (negative) bias = -*bias;
  }
  Specials specials = usual_specials(*exponent, *mantissa);
  if (!text.empty()) {
    const auto found = std::find_if(kSpecials.begin(), kSpecials.end(),
                                    [&](const SpecialsName& one) { return one.suffix == text; });
    if (found == kSpecials.end()) return std::nullopt;
    specials = found->specials;
  }
  Member member{*exponent, *mantissa, specials, 0};
  if (*exponent >= 1 && *exponent <= 8) member.bias = usual_bias(*exponent, specials);
  if (bias) member.bias = *bias;
  check(member, name);
  return member;
}

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
    for (const Named& named : kNamed)
      if (text == named.name) return parameters(named.member);
    const auto member = parse_member(text);
    return member ? std::optional(parameters(*member)) : std::nullopt;
  }
  std::string name(const Parameters& p) const override { return name_of(member(p)); }
  std::vector<std::string> examples() const override {
    return {"f64",      "f32",  "f16",  "bf16", "e5m2", "e4m3",     "e4m3fnuz",
            "e5m2fnuz", "e3m4", "e3m2", "e2m3", "e2m1", "e4m3ieee", "e4m3b11fnuz"};
  }
  int bits(const Parameters& p) const override { return member(p).bits(); }
  Storage storage(const Parameters& p) const override {
    const int bits = member(p).bits();
    if (bits > 16) return bits == 64 ? Storage::kF64 : Storage::kF32;
    return bits > 8 ? Storage::kU16 : Storage::kU8;
  }
  bool is_float() const override { return true; }
  bool is_signed(const Parameters&) const override { return true; }

  std::uint64_t encode(const Parameters& p, double value, Rounding rounding,
                       Overflow overflow) const override {
    const Member m = member(p);
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
    throw Error(shortest(value), " is outside format ", name_of(m),
                ", and overflow 'wrap' has no meaning there; use a saturating overflow");
  }

  ExactValue exact(const Parameters& p, std::uint64_t code) const override {
    const Member m = member(p);
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
  static Parameters parameters(const Member& m) {
    return {static_cast<std::int16_t>(m.exponent_bits), static_cast<std::int16_t>(m.mantissa_bits),
            static_cast<std::int16_t>(m.specials), static_cast<std::int16_t>(m.bias)};
  }
  static Member member(const Parameters& p) {
    return {p[0], p[1], static_cast<Specials>(p[2]), p[3]};
  }

  static std::string name_of(const Member& m) {
    for (const Named& named : kNamed)
      if (named.member == m) return std::string(named.name);
    std::string text = concat("e", m.exponent_bits, "m", m.mantissa_bits);
    if (m.bias != usual_bias(m.exponent_bits, m.specials)) text += concat("b", m.bias);
    if (m.specials != usual_specials(m.exponent_bits, m.mantissa_bits))
      for (const SpecialsName& one : kSpecials)
        if (one.specials == m.specials) text += one.suffix;
    return text;
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
    throw Error("NaN has no code in format ", name_of(m),
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
  static int smallest_exponent(const Member& m) { return 1 - m.bias - m.mantissa_bits; }

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

std::optional<FloatShape> float_shape(const Format& format) {
  if (!format.is_float()) return std::nullopt;
  const std::string name = format.name();
  const auto named =
      std::ranges::find_if(kNamed, [&](const Named& one) { return one.name == name; });
  const Member member = named == kNamed.end() ? *parse_member(name) : named->member;
  const bool has_infinities = member.specials == Specials::kInfinities;
  const double infinity = std::numeric_limits<double>::infinity();
  return FloatShape{
      member.exponent_bits,
      member.mantissa_bits,
      member.bias,
      has_infinities,
      member.specials != Specials::kNone,
      member.specials != Specials::kNoZeroSign,
      format.decode(format.encode(has_infinities ? 0x1p1023 : infinity, Rounding::kTowardZero,
                                  Overflow::kSaturateSymmetric))};
}

std::optional<Format> float_format(const FloatShape& shape) {
  for (const SpecialsName& one : kSpecials) {
    std::string name =
        concat("e", shape.exponent_bits, "m", shape.mantissa_bits, "b", shape.bias, one.suffix);
    const auto takes = [&] {
      try {
        return parse_member(name).has_value();
      } catch (const Error&) {
        return false;  // out of the family's bounds
      }
    };
    if (!takes()) continue;
    const Format format = Format::parse(name);
    const FloatShape found = *float_shape(format);
    if (found.greatest == shape.greatest && found.has_infinities == shape.has_infinities &&
        found.has_nan == shape.has_nan && found.has_negative_zero == shape.has_negative_zero)
      return format;
  }
  return std::nullopt;
}

const FormatFamily& float_family() {
  static const FloatFamily kFamily;
  return kFamily;
}

}  // namespace tandem
