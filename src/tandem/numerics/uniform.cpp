#include "tandem/numerics/uniform.h"

#include <algorithm>
#include <cmath>

#include "tandem/base/error.h"

namespace tandem {
namespace {

// Stands for every number far outside 64 bits: its low 64 bits are zero, as those of any such
// double are.
Int128 far_outside(bool negative) { return negative ? -(Int128{1} << 120) : Int128{1} << 120; }

}  // namespace

std::uint64_t encode_uniform(const FormatFamily& family, const FormatFamily::Parameters& parameters,
                             double value, Rounding rounding, Overflow overflow) {
  if (std::isnan(value)) throw Error("NaN has no code in format ", family.name(parameters));
  if (std::isinf(value) && overflow == Overflow::kWrap)
    throw Error("an infinity has no code in format ", family.name(parameters),
                " under overflow 'wrap'; use a saturating overflow");
  const int bits = family.bits(parameters);
  Int128 integer = far_outside(value < 0);
  if (std::isfinite(value)) {
    int binary_exponent = 0;
    const double fraction = std::frexp(value, &binary_exponent);
    const auto significand = static_cast<std::int64_t>(std::ldexp(fraction, 53));
    const int shift = family.exponent(parameters) - (binary_exponent - 53);
    // Shifted right by 60 or more, 53 bits lie strictly between 0 and one half; shifted left by 70
    // or more, they lie outside every range with the low 64 bits zero.
    if (shift >= 0)
      integer = round_shift(significand, std::min(shift, 60), rounding);
    else if (shift > -70)
      integer = static_cast<Int128>(significand) << -shift;
  }
  const auto word = static_cast<std::uint64_t>(
      apply_overflow(integer, bits, family.is_signed(parameters), overflow));
  return low_bits(word, bits);
}

Storage integer_storage(int bits, bool is_signed) {
  if (bits <= 8) return is_signed ? Storage::kI8 : Storage::kU8;
  if (bits <= 16) return is_signed ? Storage::kI16 : Storage::kU16;
  if (bits <= 32) return is_signed ? Storage::kI32 : Storage::kU32;
  return is_signed ? Storage::kI64 : Storage::kU64;
}

std::int64_t extend(std::uint64_t code, int bits, bool is_signed) {
  const int unused = 64 - bits;
  if (is_signed) return static_cast<std::int64_t>(code << unused) >> unused;
  return static_cast<std::int64_t>(code << unused >> unused);
}

std::uint64_t low_bits(std::uint64_t word, int bits) { return word << (64 - bits) >> (64 - bits); }

}  // namespace tandem
