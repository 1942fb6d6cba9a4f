#include "tandem/compress/mac_gates.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "tandem/numerics/code_grid.h"
#include "tandem/numerics/float_shape.h"

namespace tandem {
namespace {

struct Operand {
  double significand = 0;  // bits
  double exponent = 0;     // bits
  double magnitude = 0;    // bits of the greatest number in units of the least
};

std::optional<Operand> operand_of(const Format& format) {
  if (format == Format::parse("ternary") || format == Format::parse("bipolar"))
    return Operand{1, 0, 1};
  if (format.is_uniform()) {
    const double magnitude = format.bits() - (format.is_signed() ? 1 : 0);
    return Operand{static_cast<double>(format.bits()), 0, magnitude};
  }
  const CodeGrid& grid = CodeGrid::of(format);
  double least = grid.greatest();
  for (const double value : grid.values())
    if (value > 0) least = std::min(least, value);
  const double magnitude = std::ceil(std::log2(grid.greatest() / least + 1));
  const std::string name = format.name();
  if (const auto shape = float_shape(format))
    return Operand{shape->mantissa_bits + 1.0, static_cast<double>(shape->exponent_bits),
                   magnitude};
  if (name.starts_with("pow2") || name.starts_with("log2"))
    return Operand{1, static_cast<double>(format.bits() - (format.is_signed() ? 1 : 0)), magnitude};
  return std::nullopt;
}

}  // namespace

std::optional<double> multiply_add_gates(const Format& a, const Format& b, double products) {
  constexpr double kAdder = 5, kShifter = 4;
  const auto x = operand_of(a), y = operand_of(b);
  if (!x || !y) return std::nullopt;
  const double narrow = std::min(x->significand, y->significand),
               wide = std::max(x->significand, y->significand);
  const double exponent = std::max(x->exponent, y->exponent);
  const double product = x->magnitude + y->magnitude;
  double gates = narrow * wide + kAdder * (narrow - 1) * wide;
  if (exponent > 0) gates += kAdder * exponent + kShifter * product;
  return gates + kAdder * (product + std::ceil(std::log2(products)) + 1);
}

}  // namespace tandem
