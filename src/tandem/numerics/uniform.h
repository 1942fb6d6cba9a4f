#pragma once

#include <cstdint>

#include "tandem/numerics/format_family.h"

namespace tandem {

// The code of a real number in a uniform format whose codes are two's complement (or unsigned)
// integers: value / 2^exponent is rounded once, exactly, then brought into range. Throws Error on
// NaN, and on an infinity that would wrap.
std::uint64_t encode_uniform(const FormatFamily& family, const FormatFamily::Parameters& parameters,
                             double value, Rounding rounding, Overflow overflow);

// The storage of the narrowest machine integer that holds so many bits.
Storage integer_storage(int bits, bool is_signed);

// The low `bits` of a word as an integer: sign-extended or not.
std::int64_t extend(std::uint64_t code, int bits, bool is_signed);

// A word with only the low `bits` kept.
std::uint64_t low_bits(std::uint64_t word, int bits);

}  // namespace tandem
