#include "tandem/numerics/accumulator_bounds.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "tandem/base/error.h"

namespace tandem {
namespace {

constexpr int kWidestFormat = 16;
constexpr int kNoStep = std::numeric_limits<int>::max();

// An exact number as mantissa * 2^exponent with an odd mantissa, or zero.
struct ExactNumber {
  Int128 mantissa = 0;
  int exponent = 0;
};

ExactNumber reduced(Int128 mantissa, int exponent) {
  if (mantissa == 0) return {};
  for (; mantissa % 2 == 0; mantissa /= 2) ++exponent;
  return {mantissa, exponent};
}

// Bits of the magnitude.
int bit_length(Int128 value) {
  int bits = 0;
  for (; value != 0; value /= 2) ++bits;
  return bits;
}

bool is_less(const ExactNumber& a, const ExactNumber& b) {
  if ((a.mantissa < 0) != (b.mantissa < 0)) return a.mantissa < 0;
  if (a.mantissa == 0 || b.mantissa == 0) return a.mantissa < b.mantissa;
  const int high_a = bit_length(a.mantissa) + a.exponent;
  const int high_b = bit_length(b.mantissa) + b.exponent;
  if (high_a != high_b) return (high_a < high_b) == (a.mantissa > 0);
  // Of equal magnitude by their bits, the mantissas differ by fewer places than they have.
  const int low = std::min(a.exponent, b.exponent);
  return a.mantissa * (Int128{1} << (a.exponent - low)) <
         b.mantissa * (Int128{1} << (b.exponent - low));
}

// The ends of a format's finite numbers, and the greatest power of two that divides all.
struct Extent {
  ExactNumber least, greatest;
  int step = kNoStep;

  void add(const ExactNumber& number) {
    if (number.mantissa != 0) step = std::min(step, number.exponent);
    if (is_less(number, least)) least = number;
    if (is_less(greatest, number)) greatest = number;
  }
};

Extent extent_of(const Format& format) {
  if (format.bits() > kWidestFormat)
    throw Error("exact accumulators are for formats of at most ", kWidestFormat, " bits; ",
                format.name(), " has ", format.bits());
  Extent extent;
  for (const std::uint64_t code : format.codes()) {
    const ExactValue value = format.exact(code);
    if (value.kind == ExactValue::Kind::kFinite)
      extent.add(reduced(value.significand, value.exponent));
  }
  return extent;
}

// The greatest of the products of two ranges' ends, and the least.
struct Products {
  ExactNumber least, greatest;
};

Products products_of(const Extent& a, const Extent& b) {
  Products all;
  for (const ExactNumber& x : {a.least, a.greatest})
    for (const ExactNumber& y : {b.least, b.greatest}) {
      const ExactNumber product = reduced(x.mantissa * y.mantissa, x.exponent + y.exponent);
      if (is_less(product, all.least)) all.least = product;
      if (is_less(all.greatest, product)) all.greatest = product;
    }
  return all;
}

// Bits of two's complement for number * 2^-step.
int signed_bits(const ExactNumber& number, int step) {
  if (number.mantissa == 0) return 1;
  const int magnitude = bit_length(number.mantissa) + number.exponent - step;
  // -2^n is the one number that needs no bit more than its magnitude has.
  return magnitude + (number.mantissa == -1 ? 0 : 1);
}

// Few enough bits that a sum of millions of them, times a value, stays below 127.
Int128 in_steps(const ExactNumber& number, int step, const Format& format) {
  if (number.mantissa == 0) return 0;
  constexpr int kMostBits = 50;
  if (bit_length(number.mantissa) + number.exponent - step > kMostBits)
    throw Error("numbers of ", format.name(), " span more than ", kMostBits,
                " bits; an exact accumulator of them has no sense");
  return number.mantissa * (Int128{1} << (number.exponent - step));
}

ExactNumber times(const ExactNumber& number, std::int64_t count) {
  return reduced(number.mantissa * count, number.exponent);
}

}  // namespace

ExactAccumulator exact_accumulator(const Format& a, const Format& b, std::int64_t terms) {
  if (terms < 1) throw Error("a sum has at least one product, not ", terms);
  const Extent of_a = extent_of(a), of_b = extent_of(b);
  const Products ends = products_of(of_a, of_b);
  ExactAccumulator accumulator;
  accumulator.exponent = of_a.step + of_b.step;
  accumulator.bits = std::max(signed_bits(times(ends.least, terms), accumulator.exponent),
                              signed_bits(times(ends.greatest, terms), accumulator.exponent));
  return accumulator;
}

ExactAccumulator exact_accumulator(std::span<const std::uint64_t> weights, const Format& format,
                                   const Format& values) {
  Extent of_weights;
  std::vector<ExactNumber> numbers;
  for (const std::uint64_t code : weights) {
    const ExactValue value = format.exact(code);
    if (value.kind != ExactValue::Kind::kFinite)
      throw Error("a weight of ", format.name(), " is infinite or NaN, so no sum is exact");
    numbers.push_back(reduced(value.significand, value.exponent));
    of_weights.add(numbers.back());
  }
  const Extent of_values = extent_of(values);
  if (of_weights.step == kNoStep) return {};  // every weight is zero
  Int128 positive = 0, negative = 0;
  for (const ExactNumber& number : numbers) {
    const Int128 steps = in_steps(number, of_weights.step, format);
    (steps > 0 ? positive : negative) += steps;
  }
  const Int128 least = in_steps(of_values.least, of_values.step, values);
  const Int128 greatest = in_steps(of_values.greatest, of_values.step, values);
  ExactAccumulator accumulator;
  accumulator.exponent = of_weights.step + of_values.step;
  accumulator.bits = std::max(signed_bits(reduced(positive * greatest + negative * least, 0), 0),
                              signed_bits(reduced(positive * least + negative * greatest, 0), 0));
  return accumulator;
}

}  // namespace tandem
