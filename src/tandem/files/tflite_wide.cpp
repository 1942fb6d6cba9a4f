#include "tandem/files/tflite_wide.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>

#include "tandem/numerics/fixed_point.h"

namespace tandem {
namespace {

constexpr int kSegments = 256;  // of the table of sigmoids, from 0 on
const Format kInt16 = Format::integer(16, true);

// ---- Primitives --------------------------------------------------------------------------------

ValueId number(TfliteNode& node, std::int64_t value) {
  return integer_constant(node.builder(), {1}, {value}, node.name() + ".c");
}

ValueId table(TfliteNode& node, ValueId index, const std::vector<std::int64_t>& entries) {
  const auto [least, most] = std::ranges::minmax(entries);
  const ValueId constant = integer_constant(
      node.builder(), {static_cast<std::int64_t>(entries.size())}, entries, node.name() + ".table");
  return node.add("Table", {index, constant}, {{"format", Format::holding({least, most})}});
}

// floor((x * multiplier + addend) / 2^shift)
ValueId shifted(TfliteNode& node, ValueId x, std::int64_t multiplier, std::int64_t addend,
                int shift, const Format& format) {
  return node.add("Rescale",
                  {x, number(node, multiplier), number(node, addend), number(node, shift)},
                  {{"format", format}, {"rounding", std::string(tandem::name(Rounding::kFloor))}});
}

ValueId limited(TfliteNode& node, ValueId x, const Format& format, IntegerRange range) {
  return node.add("Clamp", {x}, {{"format", format}, {"min", range.min}, {"max", range.max}});
}

// The segment x / 2^bits and the place in it.
struct Place {
  ValueId segment, rest;
};

Place place_of(TfliteNode& node, ValueId x, int bits, const Format& segments) {
  const ValueId segment = shifted(node, x, 1, 0, bits, segments);
  const ValueId start =
      node.add_integer("IntMul", {segment, number(node, std::int64_t{1} << bits)});
  const ValueId rest = node.add_integer("IntSub", {x, start});
  return {segment, limited(node, rest, Format::integer(bits, false), {0, (1 << bits) - 1})};
}

// starts[segment] + slopes[segment] * rest
ValueId interpolated(TfliteNode& node, const Place& place, const std::vector<std::int64_t>& starts,
                     const std::vector<std::int64_t>& slopes) {
  const ValueId risen =
      node.add_integer("IntMul", {table(node, place.segment, slopes), place.rest});
  return node.add_integer("IntAdd", {table(node, place.segment, starts), risen});
}

// ---- Sigmoids ----------------------------------------------------------------------------------

// 1 / (1 + e^(-i / 24)) with 16 fraction bits, each raised by half of what the chord to the next
// entry lies too low in its middle.
std::array<std::int64_t, kSegments> sigmoids() {
  const auto exact = [](double i) { return 65536 / (1 + std::exp(-i / 24)); };
  std::array<std::int64_t, kSegments> table{};
  for (int i = 0; i < kSegments; ++i) {
    const double below = exact(i + 0.5) - (exact(i) + exact(i + 1)) / 2;
    table[static_cast<std::size_t>(i)] = std::llround(exact(i) + below / 2);
  }
  table.back() = 65535;
  return table;
}

// In the unit of the table, whose entries lie 2^bits apart.
ValueId in_table_unit(TfliteNode& node, ValueId codes, const WideArgument& argument, int bits) {
  const std::int64_t half = argument.shift > 0 ? std::int64_t{1} << (argument.shift - 1) : 0;
  const ValueId x =
      shifted(node, codes, argument.multiplier, half, argument.shift, Format::integer(32, true));
  const std::int64_t farthest = std::int64_t{kSegments - 1} << bits;
  return limited(node, x, Format::integer(18, true), {-farthest, farthest});
}

// How a sigmoid is found in the table.
struct SigmoidForm {
  int bits;           // the entries of the table lie 2^bits apart, and have as many more bits
  int dropped;        // bits that the result drops
  std::int64_t most;  // from the last entry on, with these bits
};

// Beyond the value at zero, where the function is odd: that of the magnitude, with the sign.
ValueId odd_function(TfliteNode& node, ValueId x, const SigmoidForm& form) {
  const auto table = sigmoids();
  const std::int64_t one = std::int64_t{1} << form.bits, middle = one << 15;
  const std::int64_t half = std::int64_t{1} << (form.dropped - 1);
  std::vector<std::int64_t> starts, slopes;
  for (std::size_t i = 0; i + 1 < kSegments; ++i) {
    starts.push_back(table[i] * one - middle + half);
    slopes.push_back(table[i + 1] - table[i]);
  }
  starts.push_back(form.most - middle + half);
  slopes.push_back(0);
  const ValueId opposite = node.add_integer("IntSub", {number(node, 0), x});
  const ValueId magnitude =
      limited(node, node.add_integer("IntMax", {x, opposite}),
              Format::integer(8 + form.bits, false), {0, std::int64_t{kSegments - 1} * one});
  const Place place = place_of(node, magnitude, form.bits, Format::integer(8, false));
  const ValueId size = shifted(node, interpolated(node, place, starts, slopes), 1, 0, form.dropped,
                               Format::integer(15, false));
  const ValueId sign = node.add("Threshold", {x, number(node, 0)},
                                {{"format", Format::integer(2, true)},
                                 {"base", std::int64_t{-1}},
                                 {"step", std::int64_t{2}}});
  return node.add_integer("IntMul", {size, sign});
}

// The kernels take scales that are powers of two as they are, and others by a multiplier of 15
// bits. `most_shift`: how far they shift codes of the former to the left.
WideArgument wide_argument(TfliteNode& node, int most_shift) {
  const double scale = node.scale(node.input(0));
  int exponent = 0;
  const bool is_power = std::frexp(scale, &exponent) == 0.5;
  const int left = 12 + exponent - 1;
  if (is_power && left >= 0 && left <= most_shift) return {std::int64_t{3} << left, 0};
  double multiplier = scale * 4096 * 3;
  WideArgument argument{0, 0};
  while (multiplier <= 32767.0 / 2 && argument.shift <= 30) {
    ++argument.shift;
    multiplier *= 2;
  }
  constexpr double kMost = 65535;  // beyond it the kernel's products leave 32 bits
  if (multiplier > kMost)
    TfliteNode::refuse(concat("the scale of its input is ", scale), "requantize it to [-8,8)");
  argument.multiplier = static_cast<std::int64_t>(multiplier);
  return argument;
}

void require_wide(const TfliteNode& node, double result_scale) {
  const TfliteTensor &x = node.input(0), &y = node.output();
  if (*x.format != kInt16 || *y.format != kInt16 || node.zero(x) != 0 || node.zero(y) != 0) {
    TfliteNode::refuse("it mixes codes of 8 and 16 bits, or has a zero point beside 16 bits",
                       "convert the model with int16 activations, whose zero point is 0");
  }
  constexpr double kSlack = 1e-3;  // the kernel's own
  if (result_scale != 0 && std::abs(node.scale(y) / result_scale - 1) > kSlack) {
    TfliteNode::refuse(concat("the scale of its result is ", node.scale(y), ", not 2^-15"),
                       "convert the model again");
  }
}

// ---- Softmax -----------------------------------------------------------------------------------

// A function over all codes of 16 bits by 512 segments whose ends are moved by half of what the
// middle is off, in f32 as the kernel computes it.
struct WideTable {
  std::vector<std::int64_t> starts, slopes;
};

WideTable wide_table(const std::function<float(float)>& function, float low, float high) {
  constexpr int kCount = 512;
  constexpr float kOne = 32768;
  const float step = (high - low) / kCount, half = step / 2;
  const auto code = [](float value) {
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(value), -32768, 32767);
  };
  std::vector<std::int64_t> ends;
  for (int i = 0; i < kCount; ++i) {
    const float at = low + static_cast<float>(i) * step;
    const float start = std::round(function(at) * kOne);
    const float next = function(low + static_cast<float>(i + 1) * step) * kOne;
    const float middle = std::round(function(at + half) * kOne);
    const float error = std::round((next + start) / 2) - middle;
    ends.push_back(code(start - std::round(error / 2)));
  }
  ends.push_back(code(std::round(function(high) * kOne)));
  WideTable result;
  for (std::size_t i = 0; i < kCount; ++i) {
    result.starts.push_back(ends[i]);
    result.slopes.push_back(ends[i + 1] - ends[i]);
  }
  return result;
}

ValueId looked_up(TfliteNode& node, ValueId x, const WideTable& table) {
  constexpr int kBits = 7;  // of the place in a segment
  WideTable fine = table;   // with the fraction bits of the product, and its half
  for (std::int64_t& start : fine.starts) start = start * (1 << kBits) + (1 << (kBits - 1));
  const Place place = place_of(node, x, kBits, Format::integer(9, true));
  return shifted(node, interpolated(node, place, fine.starts, fine.slopes), 1, 0, kBits, kInt16);
}

float exponential(float x) { return static_cast<float>(std::exp(static_cast<double>(x))); }

// Powers of two by the number of bits of a sum, which a table finds.
class WideSoftmax {
 public:
  WideSoftmax(TfliteNode& node, double beta) : node_(node), shape_(node.input(0).shape) {
    ratio_ = node.scale(node.input(0)) * beta * 65535.0 / 10.0;
  }

  ValueId build() {
    const std::vector<std::int64_t> axes = {static_cast<std::int64_t>(shape_.size()) - 1};
    const ValueId x = node_.value(0);
    const ValueId most = node_.add_integer("IntReduceMax", {x}, {{"axes", axes}});
    const ValueId below = node_.add_integer("IntSub", {x, most});
    const ValueId argument = rescaled_twice(node_, below, ratio_, kInt16, 32767);
    const WideTable exponentials = wide_table(exponential, -10, 0);
    ValueId powers = looked_up(node_, argument, exponentials);
    powers = limited(node_, powers, Format::integer(15, false), {0, 32767});
    const ValueId sum = node_.add_integer("IntSum", {powers}, {{"axes", axes}});
    const ValueId bits = bit_length(sum);
    const ValueId share = node_.add_integer("IntMul", {powers, reciprocal_of(sum, bits)});
    // Divided by 2^(bits - 1), which differs from row to row.
    const ValueId factor = table(node_, bits, powers_down_from(kMostBits));
    const ValueId product = node_.add_integer("IntMul", {share, factor});
    const ValueId codes =
        shifted(node_, product, 1, std::int64_t{1} << (kMostBits - 2), kMostBits - 1, kInt16);
    return limited(node_, codes, kInt16, {0, 32767});
  }

 private:
  static constexpr int kMostBits = 31;

  ValueId bit_length(ValueId sum) {
    std::vector<std::int64_t> thresholds;
    for (int bit = 0; bit < kMostBits; ++bit) thresholds.push_back(std::int64_t{1} << bit);
    const ValueId constant =
        integer_constant(node_.builder(), {kMostBits}, thresholds, node_.name() + ".powers");
    return node_.add("Threshold", {sum, constant}, {{"format", Format::integer(5, false)}});
  }

  // 2^(from - bits) by the number of bits; the greatest exponential alone has 15.
  static std::vector<std::int64_t> powers_down_from(int from) {
    std::vector<std::int64_t> entries;
    for (int bits = 0; bits <= kMostBits; ++bits)
      entries.push_back(std::int64_t{1} << (from - std::max(bits, 15)));
    return entries;
  }

  // The sum as m / 2^16 in [1,2): 2^15 / that.
  ValueId reciprocal_of(ValueId sum, ValueId bits) {
    const ValueId factor = table(node_, bits, powers_down_from(kMostBits));
    const ValueId wide = node_.add_integer("IntMul", {sum, factor});
    constexpr std::int64_t kRecentred = -((std::int64_t{1} << 15) + (std::int64_t{1} << 16));
    const ValueId x = shifted(node_, wide, 1, (1 << 13) + kRecentred * (1 << 14), 14, kInt16);
    return looked_up(node_, x, wide_table([](float v) { return 1.0F / (1.0F + v); }, 0, 1));
  }

  TfliteNode& node_;
  Shape shape_;
  double ratio_ = 0;
};

}  // namespace

// ---- Sums and ratios ---------------------------------------------------------------------------

ValueId rescaled_twice(TfliteNode& node, ValueId integer, double ratio, const Format& format,
                       std::int64_t zero) {
  const ValueId real =
      node.add("Dequantize", {integer, node.constant(Tensor::scalar(ratio, f64()))});
  return node.add("Quantize", {real, node.scalar(1), node.scalar(static_cast<double>(zero))},
                  {{"format", format},
                   {"rounding", std::string(name(Rounding::kHalfAwayFromZero))},
                   {"zero_added", std::string("after_rounding")},
                   {"rescale", std::string(name(Rescaling::kDoubleRounding))}});
}

ValueId saturated_sum(TfliteNode& node, ValueId a, ValueId b, const Format& format) {
  return limited(node, node.add_integer("IntAdd", {a, b}), format, format.integer_range());
}

// ---- Logistic and tanh -------------------------------------------------------------------------

WideArgument lstm_argument(int power) {
  const int left = 12 + power;
  return left < 0 ? WideArgument{3, -left} : WideArgument{std::int64_t{3} << left, 0};
}

ValueId wide_logistic(TfliteNode& node, ValueId codes, const WideArgument& argument) {
  constexpr int kBits = 9;
  constexpr std::int64_t kMost = std::int64_t{0x7FFF} * 1024, kHalf = 1 << 14;
  const ValueId x = in_table_unit(node, codes, argument, kBits);
  const ValueId beyond_half = odd_function(node, x, {kBits, 10, kMost});
  return limited(node, node.add_integer("IntAdd", {beyond_half, number(node, kHalf)}), kInt16,
                 {0, 32767});
}

// 2 * logistic(2x) - 1
ValueId wide_tanh(TfliteNode& node, ValueId codes, const WideArgument& argument) {
  constexpr int kBits = 8;
  constexpr std::int64_t kMost = std::int64_t{0xFFFF} * 256;
  const ValueId x = in_table_unit(node, codes, argument, kBits);
  return limited(node, odd_function(node, x, {kBits, 8, kMost}), kInt16, {-32767, 32767});
}

void set_wide_logistic(TfliteNode& node) {
  require_wide(node, 0x1p-15);
  node.set(wide_logistic(node, node.value(0), wide_argument(node, 0)));
}

void set_wide_tanh(TfliteNode& node) {
  require_wide(node, 0x1p-15);
  node.set(wide_tanh(node, node.value(0), wide_argument(node, 1)));
}

void set_wide_softmax(TfliteNode& node, double beta) {
  require_wide(node, 0x1p-15);
  constexpr std::int64_t kMostClasses = std::int64_t{1} << 16;  // their sum has 31 bits
  const Shape& shape = node.input(0).shape;
  if (shape.empty() || shape.back() >= kMostClasses)
    TfliteNode::refuse("it has 2^16 classes or more", "leave it out, or use fewer classes");
  node.set(WideSoftmax(node, beta).build());
}

void set_wide_leaky_relu(TfliteNode& node, double above, double below) {
  require_wide(node, 0);
  constexpr std::int64_t kLeast = -32768, kMost = 32767;
  const Format word = Format::integer(32, true);
  const ValueId x = node.value(0);
  const ValueId up = limited(node, x, kInt16, {0, kMost}),
                down = limited(node, x, kInt16, {kLeast, 0});
  node.set(saturated_sum(node, rescaled_twice(node, up, above, word),
                         rescaled_twice(node, down, below, word), kInt16));
}

}  // namespace tandem
