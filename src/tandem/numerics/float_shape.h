#pragma once

#include <optional>

#include "tandem/numerics/format.h"

namespace tandem {

// What a floating-point format is made of: a sign, an exponent, a mantissa.
// value = mantissa * 2^(max(exponent, 1) - bias - mantissa_bits), with the hidden bit above an
// exponent of zero.
struct FloatShape {
  int exponent_bits = 0, mantissa_bits = 0, bias = 0;
  bool has_infinities = false, has_nan = false, has_negative_zero = true;
  double greatest = 0;  // the greatest finite number
};

// nullopt for formats that are not floats.
std::optional<FloatShape> float_shape(const Format& format);

// The float of that shape whose greatest number and specials are those of `shape`; nullopt where
// there is none.
std::optional<Format> float_format(const FloatShape& shape);

}  // namespace tandem
