#include "tandem/files/tflite_softmax.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "tandem/numerics/fixed_point.h"

namespace tandem {
namespace {

constexpr int kArgumentIntegerBits = 5;
constexpr int kSumIntegerBits = 12;  // of the sum of exponentials
constexpr std::int64_t kWord = (std::int64_t{1} << 31) - 1;

// Builds the primitives of one softmax over x [..., classes].
class FixedPointSoftmax {
 public:
  FixedPointSoftmax(TfliteNode& node, double beta)
      : node_(node), rank_(node.input(0).shape.size()), classes_(node.input(0).shape.back()) {
    const double unit = std::ldexp(beta * node.scale(node.input(0)), 31 - kArgumentIntegerBits);
    multiplier_ = quantize_multiplier(std::min(unit, static_cast<double>(kWord)));
    farthest_ = input_radius(kArgumentIntegerBits, multiplier_.shift);
    // The greatest of the exponentials is one.
    least_bits_ = 32 - kSumIntegerBits;
    most_bits_ =
        least_bits_ + static_cast<int>(std::bit_width(static_cast<std::uint64_t>(classes_ - 1)));
    if (most_bits_ > 31) {
      TfliteNode::refuse(concat("it has ", classes_, " classes, more than ", 1 << 11),
                         "leave the softmax out: the greatest logit is the greatest share");
    }
  }

  ValueId build() {
    const ValueId below = distances();
    const ValueId exponentials = table(below, exponential_table(0), Format::integer(31, false));
    const ValueId parts = table(below, exponential_table(kSumIntegerBits),
                                Format::integer(32 - kSumIntegerBits, false));
    const ValueId sum = node_.add_integer("IntSum", {parts}, {{"axes", last_axis()}});
    const ValueId bits = bit_length(sum);
    const ValueId reciprocal = reciprocal_of(sum, bits);
    const ValueId product = rescaled(node_.add_integer("IntMul", {exponentials, reciprocal}), 1, 0,
                                     31, Rounding::kHalfUp, Format::integer(31, false));
    // Divided by 2^(bits + 3), which differs from row to row.
    const int most_shift = most_bits_ + 3;
    const ValueId power = table(bits, powers(most_bits_), Format::integer(12, false));
    const Format format = *node_.output().format;
    return rescaled(node_.add_integer("IntMul", {product, power}), 1,
                    format.integer_range().min * (std::int64_t{1} << most_shift), most_shift,
                    Rounding::kHalfUp, format);
  }

 private:
  std::vector<std::int64_t> last_axis() const { return {static_cast<std::int64_t>(rank_) - 1}; }

  ValueId number(std::int64_t value) {
    return integer_constant(node_.builder(), Shape(rank_, 1), {value}, node_.name() + ".c");
  }

  ValueId table(ValueId x, const std::vector<std::int64_t>& entries, const Format& format) {
    const ValueId constant =
        integer_constant(node_.builder(), {static_cast<std::int64_t>(entries.size())}, entries,
                         node_.name() + ".table");
    return node_.add("Table", {x, constant}, {{"format", format}});
  }

  ValueId rescaled(ValueId x, std::int64_t multiplier, std::int64_t addend, int shift,
                   Rounding rounding, const Format& format) {
    return node_.add("Rescale", {x, number(multiplier), number(addend), number(shift)},
                     {{"format", format}, {"rounding", std::string(name(rounding))}});
  }

  ValueId limited(ValueId x, const Format& format) {
    const IntegerRange range = format.integer_range();
    return node_.add("Clamp", {x}, {{"format", format}, {"min", range.min}, {"max", range.max}});
  }

  // How far each code lies below the greatest of its row.
  ValueId distances() {
    const ValueId x = node_.value(0);
    const ValueId most = node_.add_integer("IntReduceMax", {x}, {{"axes", last_axis()}});
    return limited(node_.add_integer("IntSub", {most, x}), Format::integer(8, false));
  }

  // e^(-distance) as fractions of 31 bits, or with integer bits in front of them.
  std::vector<std::int64_t> exponential_table(int integer_bits) const {
    std::vector<std::int64_t> entries;
    for (std::int32_t distance = 0; distance < 256; ++distance) {
      if (distance > farthest_) {
        entries.push_back(0);
        continue;
      }
      const std::int32_t argument = multiply_rounding_twice(-distance, multiplier_);
      entries.push_back(rounding_divide_by_power_of_two(
          exponential_of_negative(argument, kArgumentIntegerBits), integer_bits));
    }
    return entries;
  }

  // The number of bits of a sum: as many powers of two are not greater.
  ValueId bit_length(ValueId sum) {
    std::vector<std::int64_t> thresholds;
    for (int bit = 0; bit < 31; ++bit) thresholds.push_back(std::int64_t{1} << bit);
    const ValueId constant =
        integer_constant(node_.builder(), {31}, thresholds, node_.name() + ".powers");
    return node_.add("Threshold", {sum, constant}, {{"format", Format::integer(5, false)}});
  }

  // 2^(from - bits) by the number of bits, for those that a sum can have.
  std::vector<std::int64_t> powers(int from) const {
    std::vector<std::int64_t> entries;
    for (int bits = 0; bits < 32; ++bits)
      entries.push_back(std::int64_t{1} << (from - std::clamp(bits, least_bits_, most_bits_)));
    return entries;
  }

  // 2^62 / m for the sum scaled to m = sum * 2^(31 - bits) in [2^30, 2^31), which is (1 + x) / 2 of
  // one_minus_over_one_plus's x: the same steps as there.
  ValueId reciprocal_of(ValueId sum, ValueId bits) {
    constexpr std::int64_t k48Over17 = 1515870810, k32Over17 = 1010580540;
    constexpr std::int64_t kOne = std::int64_t{1} << 29;
    const Format word = Format::integer(32, true), positive = Format::integer(31, false);
    const ValueId power = table(bits, powers(31), Format::integer(12, false));
    const ValueId half = limited(node_.add_integer("IntMul", {sum, power}), positive);
    ValueId y = rescaled(half, -k32Over17, k48Over17 << 31, 31, Rounding::kHalfUp, positive);
    for (int step = 0; step < 3; ++step) {
      // one - round(half * y): the difference rounds ties the other way.
      const ValueId error = rescaled(node_.add_integer("IntMul", {half, y}), -1, kOne << 31, 31,
                                     Rounding::kHalfDown, word);
      const ValueId change = rescaled(node_.add_integer("IntMul", {y, error}), 1, 0, 31,
                                      Rounding::kHalfUp, Format::integer(30, true));
      const ValueId fourfold = node_.add_integer("IntMul", {change, number(4)});
      y = limited(node_.add_integer("IntAdd", {y, fourfold}), positive);
    }
    return rescaled(y, 2, 0, 0, Rounding::kFloor, positive);
  }

  TfliteNode& node_;
  std::size_t rank_;
  std::int64_t classes_;
  QuantizedMultiplier multiplier_;
  std::int64_t farthest_ = 0;
  int least_bits_ = 0, most_bits_ = 0;
};

}  // namespace

ValueId softmax_of_codes(TfliteNode& node, double beta) {
  const Format int8 = Format::integer(8, true);
  if (node.input(0).format != int8 || node.output().format != int8 || node.input(0).shape.empty()) {
    TfliteNode::refuse("its codes are not int8", "convert the model with int8 activations");
  }
  if (!(beta > 0)) TfliteNode::refuse(concat("beta is ", beta), "give it a positive beta");
  const bool is_share = node.scale(node.output()) == 1.0 / 256 && node.zero(node.output()) == -128;
  if (!is_share) {
    TfliteNode::refuse("its result has not the scale 1/256 and the zero point -128",
                       "convert the model again");
  }
  return FixedPointSoftmax(node, beta).build();
}

}  // namespace tandem
