#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/numerics/rounding.h"

namespace tandem {

class FormatFamily;

// What a code stands for, exactly: significand * 2^exponent, or one of the specials.
struct ExactValue {
  enum class Kind : std::uint8_t { kFinite, kPositiveInfinity, kNegativeInfinity, kNan };
  Kind kind = Kind::kFinite;
  Int128 significand = 0;
  int exponent = 0;
  bool negative_zero = false;
};

// How a tensor of this format lies in host memory. Integer-like formats store the exact integer
// (a bipolar code is stored as -1 or +1), narrow floats store their bit pattern.
enum class Storage : std::uint8_t { kU8, kU16, kU32, kU64, kI8, kI16, kI32, kI64, kF32, kF64 };
int storage_bytes(Storage storage);

// A number format: the only element type of the system. A small value, compared by meaning.
// A code is a bit pattern in the low bits() of a 64-bit word.
class Format {
 public:
  Format();  // f32

  // "f64", "f32", "f16", "bf16"; floating point of 3 to 16 bits, "e<exponent>m<mantissa>" with the
  // specials of the OCP specifications or, behind it, a bias ("e4m3b11") and other specials (ieee,
  // fn, fnuz, finite); "bool", "int1".."int64", "uint1".."uint63", "bipolar", "ternary",
  // "fixed<w,f>", "ufixed<w,f>", "nf4", "bnb_fp4", "bnb_dynamic8", "pow2<b>", "log2<b>",
  // "logsqrt2<b>", "twin<b,m>", "split<b,m>", "khot<w,k>", "e8m0".
  // Throws Error naming the nearest format.
  static Format parse(std::string_view text);

  static Format integer(int bits, bool is_signed);  // int<bits> / uint<bits>
  static Format fixed(int bits, int fraction_bits, bool is_signed = true);
  static Format holding(IntegerRange range);  // the narrowest int/uint for a range

  std::string name() const;  // parse(name()) == *this
  int bits() const;          // width of a code, 1..64
  Storage storage() const;

  bool is_float() const;  // f64, f32, f16, bf16, e5m2, ...: spaced by exponent
  bool is_boolean() const;
  // Integer-like: every code is an integer times the same power of two (int, uint, bipolar,
  // bool, fixed). Such a format has an integer_range() and an exponent().
  bool is_uniform() const;
  bool is_integer() const;  // uniform with exponent 0 and not boolean: int, uint, bipolar
  bool is_signed() const;
  IntegerRange integer_range() const;  // of the exact integers; InternalError unless uniform
  int exponent() const;                // value = integer * 2^exponent; InternalError unless uniform

  // Real number to code. NaN: float formats (but e2m1) have one code for it, the others throw
  // Error. Infinities: float formats have codes for them, the others (and the narrow floats
  // without) apply `overflow` (wrap throws Error). Float formats follow IEEE 754 under kSaturate
  // (beyond the largest code lies infinity or the largest code, as the rounding says), end at the
  // largest code under kSaturateSymmetric, and throw Error where kWrap would have to act.
  std::uint64_t encode(double value, Rounding rounding = Rounding::kHalfEven,
                       Overflow overflow = Overflow::kSaturate) const;
  double decode(std::uint64_t code) const;  // correctly rounded to double (exact to 53 bits)
  ExactValue exact(std::uint64_t code) const;

  // Uniform formats: the exact integer of a code and back. code_of throws Error out of range.
  std::int64_t integer_of(std::uint64_t code) const;
  std::uint64_t code_of(std::int64_t integer) const;

  // All codes of a format of at most 24 bits in increasing order of their bit pattern.
  std::vector<std::uint64_t> codes() const;

  friend bool operator==(const Format&, const Format&) = default;

 private:
  friend class FormatFamily;
  Format(const FormatFamily* family, std::array<std::int16_t, 4> parameters)
      : family_(family), parameters_(parameters) {}
  const FormatFamily* family_;
  std::array<std::int16_t, 4> parameters_{};
};

}  // namespace tandem
