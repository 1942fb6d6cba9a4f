#include "tandem/numerics/dynamic_fixed.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>

#include "tandem/base/error.h"

namespace tandem {
namespace {

void measure(DynamicFixed& fixed) {
  for (const std::int16_t integer : fixed.integers)
    fixed.most = std::max(fixed.most, std::abs(int{integer}));
}

}  // namespace

double DynamicFixed::real(std::size_t index) const {
  return std::ldexp(static_cast<double>(integers[index]), exponent);
}

DynamicFixed to_dynamic_fixed(std::span<const float> x, int bits) {
  ensure(bits >= 2 && bits <= 16, "dynamic fixed point of fewer than 2 or more than 16 bits");
  float most = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!std::isfinite(x[i]))
      throw Error("element ", i, " is ", static_cast<double>(x[i]),
                  ", which has no dynamic fixed point; clean the values");
    most = std::max(most, std::abs(x[i]));
  }
  DynamicFixed fixed;
  fixed.integers.resize(x.size());
  if (most == 0) return fixed;
  fixed.exponent = std::ilogb(most) - (bits - 2);
  const double end = std::ldexp(1.0, bits - 1) - 1;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double scaled = std::nearbyint(std::ldexp(static_cast<double>(x[i]), -fixed.exponent));
    fixed.integers[i] = static_cast<std::int16_t>(std::clamp(scaled, -end, end));
  }
  measure(fixed);
  return fixed;
}

DynamicFixed narrowed(std::span<const std::int32_t> sums, int exponent) {
  std::uint32_t most = 0;
  for (const std::int32_t sum : sums)
    most = std::max(most, static_cast<std::uint32_t>(std::llabs(std::int64_t{sum})));
  const int shift = std::max(0, static_cast<int>(std::bit_width(most)) - 15);
  DynamicFixed fixed;
  fixed.exponent = exponent + shift;
  fixed.integers.reserve(sums.size());
  for (const std::int32_t sum : sums) {
    const double rounded = std::nearbyint(std::ldexp(static_cast<double>(sum), -shift));
    fixed.integers.push_back(static_cast<std::int16_t>(std::clamp(rounded, -32767.0, 32767.0)));
  }
  measure(fixed);
  return fixed;
}

}  // namespace tandem
