// TensorFlow Lite's own rescaling of sums to codes, integer by integer.
#include <algorithm>
#include <cmath>

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
    channels.list.push_back({whole_units(offsets.real(i), scales.real(i)),
                             quantize_multiplier(
                                 std::ldexp(scales.real(i) / units.real(i), -target.left_shift)),
                             whole_units(zeros.real(i), 1.0)});
  }
  return channels;
}

// (x * multiplier + addend) / 2^shift of each channel, as one Rescale.
struct Dyadics {
  std::vector<std::int64_t> multipliers, addends, shifts;

  void add(std::int64_t multiplier, std::int64_t addend, int shift) {
    // A negative shift is part of the multiplier.
    const int left = std::max(-shift, 0);
    if (left > 31 || std::abs(static_cast<double>(addend)) > 0x1p60)
      throw Error("a scale ratio is too large for a rescaling in 62 bits");
    multipliers.push_back(multiplier << left);
    addends.push_back(addend << left);
    shifts.push_back(std::max(shift, 0));
  }
};

ValueId per_channel_constant(LoweringSite& site, const Shape& shape,
                             const std::vector<std::int64_t>& values, const std::string& name) {
  const bool same = std::ranges::all_of(values, [&](auto v) { return v == values[0]; });
  if (same) return integer_constant(site.builder, Shape(shape.size(), 1), {values[0]}, name);
  return integer_constant(site.builder, shape, values, name);
}

ValueId rescaled(LoweringSite& site, ValueId integer, const Shape& shape, const Dyadics& dyadics,
                 const Format& format, Rounding rounding) {
  return add_folded(site.builder, "Rescale",
                    {integer, per_channel_constant(site, shape, dyadics.multipliers, "multiplier"),
                     per_channel_constant(site, shape, dyadics.addends, "addend"),
                     per_channel_constant(site, shape, dyadics.shifts, "shift")},
                    {{"format", format},
                     {"rounding", std::string(name(rounding))},
                     {"overflow", std::string(name(Overflow::kSaturate))}},
                    site.node.node.name);
}

IntegerRange limits_of(const QuantizeTarget& target) {
  const IntegerRange range = kept_range(target.format.integer_range(), target.overflow);
  if (target.limits.empty()) return range;
  return {std::max(range.min, target.limits[0]), std::min(range.max, target.limits[1])};
}

ValueId limited_to(LoweringSite& site, ValueId integer, const Format& format, IntegerRange limits) {
  const TensorType& type = site.builder.type(integer);
  if (type.format == format && limits == format.integer_range()) return integer;
  return add_folded(site.builder, "Clamp", {integer},
                    {{"format", format}, {"min", limits.min}, {"max", limits.max}},
                    site.node.node.name);
}

// Rounded once: sum, multiplier, shift and zero are one Rescale.
ValueId rounded_once(LoweringSite& site, ValueId integer, const Channels& channels,
                     const QuantizeTarget& target) {
  Dyadics dyadics;
  for (const Channel& channel : channels.list) {
    std::int64_t multiplier = channel.multiplier.multiplier;
    int shift = 31 - channel.multiplier.shift;
    if (target.rescaling == Rescaling::kReducedMultiplier) {
      multiplier = multiplier < 0x7FFF0000 ? (multiplier + (1 << 15)) >> 16 : 0x7FFF;
      shift -= 16;
    }
    if (shift > 62) throw Error("a scale ratio is below 2^-31; its output is a constant");
    const std::int64_t zero =
        shift >= 0 ? channel.zero * (std::int64_t{1} << std::min(shift, 50)) : channel.zero;
    if (shift > 50 && channel.zero != 0)
      throw Error("a scale ratio is below 2^-19, too small beside a zero point");
    dyadics.add(multiplier, channel.addend * multiplier + zero, shift);
  }
  const ValueId codes =
      rescaled(site, integer, channels.shape, dyadics, target.format, Rounding::kHalfUp);
  return limited_to(site, codes, target.format, limits_of(target));
}

// The first of two roundings leaves y, the second divides it by 2^right: floor((y + 2^(right - 1)) /
// 2^right) for results that are not negative. Where limits keep every code from the zero point on,
// the others do not matter and both roundings are one floor of the exact product:
//   y >= n  <=>  product + 2^30 >= n * 2^31.
ValueId rounded_twice_above_zero(LoweringSite& site, ValueId integer, const Channels& channels,
                                 const QuantizeTarget& target) {
  Dyadics dyadics;
  for (const Channel& channel : channels.list) {
    const std::int64_t multiplier = channel.multiplier.multiplier;
    const int up = target.left_shift + std::max(channel.multiplier.shift, 0);
    const int right = std::max(-channel.multiplier.shift, 0);
    const std::int64_t half = right > 0 ? std::int64_t{1} << (right - 1) : 0;
    const std::int64_t steps = channel.zero * (std::int64_t{1} << right) + half;
    // In units of 2^(up - 31): the halves of both roundings and the zero point.
    const int unit = 31 - up;
    const std::int64_t addend = steps * (std::int64_t{1} << unit) + (std::int64_t{1} << unit) / 2;
    dyadics.add(multiplier, channel.addend * multiplier + addend, unit + right);
  }
  const ValueId codes =
      rescaled(site, integer, channels.shape, dyadics, target.format, Rounding::kFloor);
  return limited_to(site, codes, target.format, limits_of(target));
}

ValueId rounded_twice(LoweringSite& site, ValueId integer, const Channels& channels,
                      const QuantizeTarget& target) {
  Dyadics products, shifts;
  std::vector<std::int64_t> zeros;
  for (const Channel& channel : channels.list) {
    const std::int64_t multiplier = channel.multiplier.multiplier;
    products.add(multiplier, channel.addend * multiplier,
                 31 - target.left_shift - std::max(channel.multiplier.shift, 0));
    shifts.add(1, 0, std::max(-channel.multiplier.shift, 0));
    zeros.push_back(channel.zero);
  }
  const Format word = Format::integer(32, true);
  ValueId result = rescaled(site, integer, channels.shape, products, word, Rounding::kHalfUp);
  const auto [least, most] = std::minmax_element(zeros.begin(), zeros.end());
  const IntegerRange limits = limits_of(target);
  const Format centred = Format::holding({limits.min - *most, limits.max - *least});
  result = rescaled(site, result, channels.shape, shifts, centred, Rounding::kHalfAwayFromZero);
  const ValueId zero = per_channel_constant(site, channels.shape, zeros, "zero");
  result = add_exact_folded(site.builder, "IntAdd", {result, zero});
  return limited_to(site, result, target.format, limits);
}

bool limits_keep_above_zero(const Channels& channels, IntegerRange limits, int left_shift) {
  constexpr int kWidest = 20;  // bits of a shift that the exact product still leaves room for
  return std::ranges::all_of(channels.list, [&](const Channel& channel) {
    return limits.min >= channel.zero && channel.multiplier.shift >= -kWidest &&
           left_shift + channel.multiplier.shift <= 30;
  });
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
  ValueId codes = kNone;
  if (target.rescaling != Rescaling::kDoubleRounding) {
    codes = rounded_once(site, value.integer, channels, target);
  } else if (limits_keep_above_zero(channels, limits_of(target), target.left_shift)) {
    codes = rounded_twice_above_zero(site, value.integer, channels, target);
  } else {
    codes = rounded_twice(site, value.integer, channels, target);
  }
  return coded_integer(site.builder, codes);
}

}  // namespace tandem
