// TensorFlow Lite's own rescaling of sums to codes, integer by integer.
#include <algorithm>
#include <cmath>
#include <optional>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/numerics/fixed_point.h"
#include "tandem/numerics/overflow.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/coded.h"
#include "tandem/ops/integer.h"

namespace tandem {
namespace {

constexpr std::string_view kNames[] = {"dyadic", "single_rounding", "double_rounding",
                                       "reduced_multiplier"};

// One channel: code = limit(round((sum + addend) * multiplier) + zero).
struct Channel {
  std::int64_t addend = 0;  // zero points and bias, in units of the sum
  QuantizedMultiplier multiplier;
  std::int64_t zero = 0;
};

struct Channels {
  Shape shape;  // broadcastable to the value
  std::vector<Channel> list;
};

// The offset of a sum is a whole number of its units, up to the rounding of its f64 arithmetic.
std::int64_t whole_units(double offset, double scale) {
  constexpr double kSlack = 1e-3;
  const double units = offset / scale, nearest = std::nearbyint(units);
  if (std::abs(units - nearest) > kSlack || std::abs(nearest) > 0x1p40) {
    throw Error("the offset of its input is ", units,
                " units of the sum, which is no whole number; a rescaling of TensorFlow Lite needs "
                "integer zero points and a bias in units of the sum (use rescale = dyadic)");
  }
  return static_cast<std::int64_t>(nearest);
}

Channels channels_of(const CodedValue& value, const QuantizeTarget& target) {
  const std::size_t rank = value.scale.shape().size();
  const Tensor unit = with_rank(target.scale, rank), zero = with_rank(target.zero, rank);
  Channels channels;
  channels.shape = broadcast_shapes(broadcast_shapes(value.scale.shape(), value.offset.shape()),
                                    broadcast_shapes(unit.shape(), zero.shape()));
  const Tensor scales = expanded(value.scale, channels.shape),
               offsets = expanded(value.offset, channels.shape),
               units = expanded(unit, channels.shape), zeros = expanded(zero, channels.shape);
  for (std::int64_t i = 0; i < scales.size(); ++i) {
    if (scales.real(i) <= 0)
      throw Error("a scale of its input is negative; TensorFlow Lite has positive ones only");
    channels.list.push_back(
        {whole_units(offsets.real(i), scales.real(i)),
         quantize_multiplier(std::ldexp(scales.real(i) / units.real(i), -target.left_shift)),
         whole_units(zeros.real(i), 1.0)});
  }
  return channels;
}

IntegerRange limits_of(const QuantizeTarget& target) {
  const IntegerRange range = kept_range(target.format.integer_range(), target.overflow);
  if (target.limits.empty()) return range;
  return {std::max(range.min, target.limits[0]), std::min(range.max, target.limits[1])};
}

std::int64_t reduced(std::int32_t multiplier) {
  return multiplier < 0x7FFF0000 ? (std::int64_t{multiplier} + (1 << 15)) >> 16 : 0x7FFF;
}

// What the kernel makes of a sum, by definition.
std::int64_t code_of(const Channel& channel, const QuantizeTarget& target, std::int64_t x) {
  const Int128 sum = Int128{x} + channel.addend;
  const auto [multiplier, shift] = channel.multiplier;
  Int128 result = 0;
  if (target.rescaling == Rescaling::kReducedMultiplier) {
    result = round_shift(sum * reduced(multiplier), 15 - shift, Rounding::kHalfUp);
  } else if (target.rescaling == Rescaling::kSingleRounding) {
    result = round_shift(sum * multiplier, 31 - shift, Rounding::kHalfUp);
  } else {
    const int left = target.left_shift + std::max(shift, 0);
    const Int128 product = round_shift(sum * multiplier, 31 - left, Rounding::kHalfUp);
    result = round_shift(apply_overflow(product, 32, true, Overflow::kSaturate),
                         std::max(-shift, 0), Rounding::kHalfAwayFromZero);
  }
  const IntegerRange limits = limits_of(target);
  return static_cast<std::int64_t>(
      std::clamp<Int128>(result + channel.zero, limits.min, limits.max));
}

// ---- One Rescale -------------------------------------------------------------------------------

// (x * multiplier + addend) / 2^shift, rounded as its Rescale says.
struct ShiftedProduct {
  std::int64_t multiplier = 0, addend = 0;
  int shift = 0;
};

// nullopt where the numbers leave 62 bits.
std::optional<ShiftedProduct> shifted_product(std::int64_t multiplier, Int128 addend, int shift) {
  // A negative shift is part of the multiplier.
  const int left = std::max(-shift, 0);
  constexpr Int128 kMost = Int128{1} << 61;
  if (left > 31 || shift > 62 || addend > (kMost >> left) || addend < -(kMost >> left))
    return std::nullopt;
  return ShiftedProduct{multiplier << left, static_cast<std::int64_t>(addend) << left,
                        std::max(shift, 0)};
}

// The codes of channels that hardly depend on the sum (switched off in training) take at most two
// values: k below x = first, k + 1 from there on.
std::optional<ShiftedProduct> one_step(const Channel& channel, const QuantizeTarget& target,
                                       IntegerRange input) {
  const std::int64_t low = code_of(channel, target, input.min),
                     high = code_of(channel, target, input.max);
  if (low == high) return ShiftedProduct{0, low, 0};
  if (high != low + 1) return std::nullopt;
  std::int64_t below = input.min, first = input.max;
  while (below + 1 < first) {
    const std::int64_t middle = below + (first - below) / 2;
    (code_of(channel, target, middle) == low ? below : first) = middle;
  }
  const int shift = bits_for({0, std::max(input.max - first, first - input.min)});
  return shifted_product(1, Int128{high} * (Int128{1} << shift) - first, shift);
}

std::optional<ShiftedProduct> rounded_once(const Channel& channel, const QuantizeTarget& target) {
  std::int64_t multiplier = channel.multiplier.multiplier;
  int shift = 31 - channel.multiplier.shift;
  if (target.rescaling == Rescaling::kReducedMultiplier) {
    multiplier = reduced(channel.multiplier.multiplier);
    shift -= 16;
  }
  // Where nothing is shifted out, nothing is rounded.
  const Int128 one = shift > 0 ? Int128{1} << shift : 1;
  if (shift < 0 && channel.zero != 0) return std::nullopt;  // the zero would be shifted too
  return shifted_product(multiplier,
                         Int128{channel.addend} * multiplier + channel.zero * one + one / 2, shift);
}

// The first of two roundings leaves y, the second divides it by 2^right: floor((y + 2^(right - 1))
// / 2^right) for results that are not negative. Where limits keep every code from the zero point
// on, the others do not matter and both roundings are one floor of the exact product:
//   y >= n  <=>  product + 2^30 >= n * 2^31.
std::optional<ShiftedProduct> rounded_twice_above_zero(const Channel& channel,
                                                       const QuantizeTarget& target) {
  const int left = target.left_shift + std::max(channel.multiplier.shift, 0);
  const int right = std::max(-channel.multiplier.shift, 0);
  if (limits_of(target).min < channel.zero || left > 30) return std::nullopt;
  const Int128 one = Int128{1} << right;
  // In units of 2^(left - 31): the halves of both roundings and the zero point.
  const Int128 unit = Int128{1} << (31 - left);
  const Int128 addend = (channel.zero * one + one / 2) * unit + unit / 2;
  const std::int64_t multiplier = channel.multiplier.multiplier;
  return shifted_product(multiplier, Int128{channel.addend} * multiplier + addend,
                         31 - left + right);
}

// One floor that gives the kernel's code for every integer of the input.
std::optional<ShiftedProduct> single_floor(const Channel& channel, const QuantizeTarget& target,
                                           IntegerRange input) {
  if (const auto form = one_step(channel, target, input)) return form;
  return target.rescaling == Rescaling::kDoubleRounding ? rounded_twice_above_zero(channel, target)
                                                        : rounded_once(channel, target);
}

// ---- Primitives --------------------------------------------------------------------------------

ValueId per_channel_constant(LoweringSite& site, const Shape& shape,
                             const std::vector<std::int64_t>& values, const std::string& name) {
  const bool same = std::ranges::all_of(values, [&](auto v) { return v == values[0]; });
  if (same) return integer_constant(site.builder, Shape(shape.size(), 1), {values[0]}, name);
  return integer_constant(site.builder, shape, values, name);
}

ValueId rescaled(LoweringSite& site, ValueId integer, const Shape& shape,
                 const std::vector<ShiftedProduct>& forms, const Format& format,
                 Rounding rounding) {
  std::vector<std::int64_t> multipliers, addends, shifts;
  for (const ShiftedProduct& form : forms) {
    multipliers.push_back(form.multiplier);
    addends.push_back(form.addend);
    shifts.push_back(form.shift);
  }
  return add_folded(site.builder, "Rescale",
                    {integer, per_channel_constant(site, shape, multipliers, "multiplier"),
                     per_channel_constant(site, shape, addends, "addend"),
                     per_channel_constant(site, shape, shifts, "shift")},
                    {{"format", format},
                     {"rounding", std::string(name(rounding))},
                     {"overflow", std::string(name(Overflow::kSaturate))}},
                    site.node.node.name);
}

ValueId limited_to(LoweringSite& site, ValueId integer, const Format& format, IntegerRange limits) {
  const TensorType& type = site.builder.type(integer);
  if (type.format == format && limits == format.integer_range()) return integer;
  return add_folded(site.builder, "Clamp", {integer},
                    {{"format", format}, {"min", limits.min}, {"max", limits.max}},
                    site.node.node.name);
}

std::optional<ValueId> by_one_rescale(LoweringSite& site, ValueId integer, const Channels& channels,
                                      const QuantizeTarget& target) {
  const IntegerRange input = site.builder.type(integer).format.integer_range();
  std::vector<ShiftedProduct> forms;
  for (const Channel& channel : channels.list) {
    const auto form = single_floor(channel, target, input);
    if (!form) return std::nullopt;
    forms.push_back(*form);
  }
  const ValueId codes =
      rescaled(site, integer, channels.shape, forms, target.format, Rounding::kFloor);
  return limited_to(site, codes, target.format, limits_of(target));
}

// As the kernel does it: a product, a shift to the right, the zero point, the limits.
ValueId by_two_rescales(LoweringSite& site, ValueId integer, const Channels& channels,
                        const QuantizeTarget& target) {
  std::vector<ShiftedProduct> products, shifts;
  std::vector<std::int64_t> zeros;
  for (const Channel& channel : channels.list) {
    const std::int64_t multiplier = channel.multiplier.multiplier;
    const auto product =
        shifted_product(multiplier, Int128{channel.addend} * multiplier,
                        31 - target.left_shift - std::max(channel.multiplier.shift, 0));
    if (!product) throw Error("a scale ratio is too large for a rescaling in 62 bits");
    products.push_back(*product);
    shifts.push_back({1, 0, std::max(-channel.multiplier.shift, 0)});
    zeros.push_back(channel.zero);
  }
  const auto [least, most] = std::ranges::minmax(zeros);
  const IntegerRange limits = limits_of(target);
  const Format centred = Format::holding({limits.min - most, limits.max - least});
  const bool shifts_nothing =
      std::ranges::all_of(shifts, [](const ShiftedProduct& form) { return form.shift == 0; });
  const Format word = shifts_nothing ? centred : Format::integer(32, true);
  ValueId result = rescaled(site, integer, channels.shape, products, word, Rounding::kHalfUp);
  if (!shifts_nothing) {
    result = rescaled(site, result, channels.shape, shifts, centred, Rounding::kHalfAwayFromZero);
  }
  if (least != 0 || most != 0) {
    const ValueId zero = per_channel_constant(site, channels.shape, zeros, "zero");
    result = add_exact_folded(site.builder, "IntAdd", {result, zero}, {}, site.node.node.name);
  }
  return limited_to(site, result, target.format, limits);
}

}  // namespace

std::string_view name(Rescaling rescaling) { return kNames[static_cast<std::size_t>(rescaling)]; }

Rescaling parse_rescaling(std::string_view text) {
  const auto found = std::ranges::find(kNames, text);
  if (found == std::end(kNames))
    throw Error("there is no rescaling '", text, "'", suggestion(text, rescaling_names()));
  return static_cast<Rescaling>(found - std::begin(kNames));
}

std::vector<std::string> rescaling_names() { return {std::begin(kNames), std::end(kNames)}; }

CodedValue requantize_as_tflite(LoweringSite& site, const CodedValue& value,
                                const QuantizeTarget& target) {
  if (value.table || is_clamped(value)) {
    throw Error("a rescaling of TensorFlow Lite takes sums, not ",
                value.table ? "a function by table" : "limited reals",
                "; use `limits`, or rescale = dyadic");
  }
  const Channels channels = channels_of(value, target);
  if (const auto codes = by_one_rescale(site, value.integer, channels, target))
    return coded_integer(site.builder, *codes);
  if (target.rescaling != Rescaling::kDoubleRounding)
    throw Error("a scale ratio is too far from 1 for a rescaling in 62 bits");
  return coded_integer(site.builder, by_two_rescales(site, value.integer, channels, target));
}

}  // namespace tandem
