#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tandem {

// Dynamic fixed point (Das et al., "Mixed Precision Training of CNNs using Integer Operations",
// ICLR 2018): integers of up to 16 bits that share one power of two, real = integer * 2^exponent.
struct DynamicFixed {
  std::vector<std::int16_t> integers;
  int exponent = 0;
  int most = 0;  // greatest magnitude of an integer

  double real(std::size_t index) const;
};

// `bits` from 2 to 16. The exponent is that of the greatest magnitude less bits - 2; integers are
// rounded to nearest, ties to even, and end at +-(2^(bits - 1) - 1). All zeros have the exponent 0.
// Error where x is not finite.
DynamicFixed to_dynamic_fixed(std::span<const float> x, int bits);

// Sums of 32 bits with their exponent as integers of 16: shifted right by as many bits as the
// greatest asks for, rounded to nearest, ties to even.
DynamicFixed narrowed(std::span<const std::int32_t> sums, int exponent);

}  // namespace tandem
