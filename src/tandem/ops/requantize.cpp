// Deferred reals to codes: the one place where lowering rounds.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tandem/base/error.h"
#include "tandem/numerics/code_grid.h"
#include "tandem/numerics/overflow.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/coded.h"
#include "tandem/ops/integer.h"

namespace tandem {
namespace {

constexpr int kThresholdBits = 3;  // codes of at most so many bits are found by comparison
constexpr std::int64_t kMostSearchedCodes = 4096;

// code(q) = overflow(round(min(max(ratio * q + offset, low), high))) for one channel.
struct Line {
  double ratio = 1, offset = 0;
  double low = 0, high = 0;  // in codes; infinite where open
};

struct Plane {
  Shape shape;  // of the channels, broadcastable to the value
  std::vector<Line> lines;
  IntegerRange input;
};

Plane plane_of(const LoweringSite& site, const CodedValue& value, const Tensor& scale,
               const Tensor& zero) {
  const std::size_t rank = value.scale.shape().size();
  const Tensor unit = with_rank(scale, rank), shift = with_rank(zero, rank);
  const Tensor ratio = combine(value.scale, unit, std::divides());
  const Tensor offset = combine(combine(value.offset, unit, std::divides()), shift, std::plus());
  const Tensor low = combine(combine(value.low, unit, std::divides()), shift, std::plus());
  const Tensor high = combine(combine(value.high, unit, std::divides()), shift, std::plus());
  Plane plane;
  plane.shape = broadcast_shapes(broadcast_shapes(ratio.shape(), offset.shape()),
                                 broadcast_shapes(low.shape(), high.shape()));
  const Tensor ratios = expanded(ratio, plane.shape), offsets = expanded(offset, plane.shape),
               lows = expanded(low, plane.shape), highs = expanded(high, plane.shape);
  for (std::int64_t i = 0; i < ratios.size(); ++i)
    plane.lines.push_back({ratios.real(i), offsets.real(i), lows.real(i), highs.real(i)});
  plane.input = site.integer_format(value).integer_range();
  return plane;
}

// The rounded real without overflow; bipolar codes are -1 below zero and +1 from zero on.
struct Rounder {
  Rounding rounding;
  bool bipolar;

  Int128 operator()(double real) const {
    if (bipolar) return real >= 0 ? 1 : -1;
    return round_real(on_half(std::clamp(real, -0x1p100, 0x1p100)), rounding);
  }
  // A real that is a half is found some ulps beside it, since ratios of scales are rounded.
  static double on_half(double real) {
    constexpr double kSlack = 1e-11;
    const double half = std::nearbyint(2 * real) / 2;
    return std::abs(real - half) <= kSlack * std::max(1.0, std::abs(half)) ? half : real;
  }
  Int128 at(const Line& line, Int128 q) const {
    return (*this)(
        std::clamp(line.ratio * static_cast<double>(q) + line.offset, line.low, line.high));
  }
};

// The least q in [input.min, input.max + 1] from which on code(q) >= code, for ratio > 0.
std::int64_t first_reaching(const Line& line, const Rounder& round, Int128 code,
                            IntegerRange input) {
  Int128 below = input.min, reached = Int128{input.max} + 1;
  // It lies beside where the line itself passes the border of the code.
  const double guess = (static_cast<double>(code) - 0.5 - line.offset) / line.ratio;
  constexpr double kMostInteger = 0x1p52, kNear = 2;
  if (std::abs(guess) < kMostInteger) {
    const auto near = [&](double q) {
      return std::clamp<Int128>(static_cast<std::int64_t>(std::floor(q)), below, reached);
    };
    const Int128 low = near(guess - kNear), high = near(guess + kNear);
    if (low > below && round.at(line, low - 1) < code) below = low;
    if (high < reached && round.at(line, high) >= code) reached = high;
  }
  while (below < reached) {
    const Int128 middle = below + (reached - below) / 2;
    if (round.at(line, middle) >= code)
      reached = middle;
    else
      below = middle + 1;
  }
  return static_cast<std::int64_t>(reached);
}

struct Codes {
  std::int64_t min = 0, max = 0;
};

Codes code_limits(const QuantizeTarget& target) {
  const IntegerRange range = kept_range(target.format.integer_range(), target.overflow);
  Codes codes{range.min, range.max};
  if (!target.limits.empty()) {
    codes.min = std::max(codes.min, target.limits[0]);
    codes.max = std::min(codes.max, target.limits[1]);
  }
  return codes;
}

ValueId by_thresholds(LoweringSite& site, ValueId integer, const Plane& plane,
                      const QuantizeTarget& target, const Rounder& round, const Format& format) {
  const Codes codes = code_limits(target);
  const std::int64_t step = round.bipolar ? 2 : 1;
  std::vector<std::int64_t> thresholds;
  for (const Line& line : plane.lines) {
    for (std::int64_t code = codes.min + step; code <= codes.max; code += step)
      thresholds.push_back(first_reaching(line, round, code, plane.input));
  }
  Shape shape = plane.shape;
  shape.push_back((codes.max - codes.min) / step);
  const ValueId constant = integer_constant(site.builder, shape, thresholds, "thresholds");
  return add_folded(site.builder, "Threshold", {integer, constant},
                    {{"format", format}, {"base", codes.min}, {"step", step}}, site.node.node.name);
}

// (q * multiplier + addend) / 2^shift for one channel.
struct Dyadic {
  std::int64_t multiplier = 0, addend = 0;
  int shift = 0;

  Int128 at(Int128 q, Rounding rounding) const {
    const Int128 sum = q * multiplier + addend;
    const auto word = static_cast<std::int64_t>(sum);
    if (word != sum || shift < 1 || shift > 62 || rounding != Rounding::kHalfEven)
      return round_shift(sum, shift, rounding);
    const std::int64_t floor = word >> shift, rest = word - (floor << shift),
                       half = std::int64_t{1} << (shift - 1);
    return floor + (rest > half || (rest == half && floor % 2 != 0) ? 1 : 0);
  }
};

// nullopt when the multiplier or the sum would be too wide.
std::optional<Dyadic> dyadic(const Line& line, int shift, int multiplier_bits, IntegerRange input) {
  const double multiplier = std::ldexp(line.ratio, shift), addend = std::ldexp(line.offset, shift);
  const double most =
      std::max(std::abs(static_cast<double>(input.min)), std::abs(static_cast<double>(input.max)));
  if (std::abs(multiplier) >= std::ldexp(1.0, multiplier_bits) ||
      std::abs(multiplier) * most + std::abs(addend) >= 0x1p60) {
    return std::nullopt;
  }
  return Dyadic{static_cast<std::int64_t>(std::nearbyint(multiplier)),
                static_cast<std::int64_t>(std::nearbyint(addend)), shift};
}

// Where the codes of one channel step: with falling lines mirrored (q -> -q), the first q of each
// code above the least.
struct Steps {
  std::vector<std::int64_t> first;
  IntegerRange input;
  std::int64_t sign = 1;
};

Steps steps_of(const Line& line, const Rounder& round, const Codes& codes, IntegerRange input) {
  Steps steps;
  const bool falling = line.ratio < 0;
  steps.sign = falling ? -1 : 1;
  steps.input = falling ? IntegerRange{-input.max, -input.min} : input;
  const double infinity = std::numeric_limits<double>::infinity();
  const Line open{std::abs(line.ratio), line.offset, -infinity, infinity};
  for (std::int64_t code = codes.min + 1; code <= codes.max; ++code)
    steps.first.push_back(first_reaching(open, round, code, steps.input));
  return steps;
}

// Whether the dyadic form gives every integer of the input the code of the line. Both are
// monotone, so it is enough to look at both sides of each step.
bool equals_line(const Dyadic& form, const Steps& steps, Rounding rounding, const Codes& codes) {
  std::int64_t code = codes.min;
  for (const std::int64_t first : steps.first) {
    ++code;
    if (first <= steps.input.max && form.at(Int128{steps.sign} * first, rounding) < code)
      return false;
    if (first > steps.input.min && form.at(Int128{steps.sign} * (first - 1), rounding) >= code)
      return false;
  }
  return true;
}

// The least common shift that gives every integer of every channel its exact code.
std::optional<std::vector<Dyadic>> exact_dyadics(const LoweringSite& site, const Plane& plane,
                                                 const Rounder& round, const Codes& codes) {
  std::vector<Steps> steps;
  for (const Line& line : plane.lines) steps.push_back(steps_of(line, round, codes, plane.input));
  for (int shift = 0; shift <= 60; ++shift) {
    std::vector<Dyadic> forms;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const auto form = dyadic(plane.lines[i], shift, site.options.multiplier_bits, plane.input);
      if (!form) return std::nullopt;
      if (!equals_line(*form, steps[i], round.rounding, codes)) break;
      forms.push_back(*form);
    }
    if (forms.size() == steps.size()) return forms;
  }
  return std::nullopt;
}

// A multiplier and addend beside the nearest ones that give every integer its exact code: each step
// bounds the addend from both sides. nullopt where no addend is left, or the sums would be too
// wide.
std::optional<Dyadic> fitted(const Dyadic& nearest, const Steps& steps, Rounding rounding,
                             const Codes& codes, int multiplier_bits) {
  if (nearest.shift < 1 || (rounding != Rounding::kHalfEven && rounding != Rounding::kFloor))
    return std::nullopt;
  const Int128 half = rounding == Rounding::kFloor ? 0 : Int128{1} << (nearest.shift - 1);
  const Int128 widest = Int128{1} << multiplier_bits, most_sum = Int128{1} << 60;
  const Int128 reach = std::max<Int128>(-Int128{steps.input.min}, steps.input.max);
  for (const int change : {0, 1, -1, 2, -2}) {
    const Int128 multiplier = Int128{steps.sign} * nearest.multiplier + change;
    Int128 low = -most_sum, high = most_sum, code = codes.min;
    for (const std::int64_t first : steps.first) {
      const Int128 bound = (++code << nearest.shift) - half - multiplier * first;
      // One more than it takes, so that no step begins at a tie.
      if (first <= steps.input.max) low = std::max(low, bound + 1);
      if (first > steps.input.min) high = std::min(high, bound + multiplier - 1);
    }
    if (low > high || multiplier <= 0 || multiplier >= widest) continue;
    const Int128 addend = std::clamp<Int128>(nearest.addend, low, high);
    if (multiplier * reach + (addend < 0 ? -addend : addend) >= most_sum) continue;
    const Dyadic form{static_cast<std::int64_t>(steps.sign * multiplier),
                      static_cast<std::int64_t>(addend), nearest.shift};
    if (equals_line(form, steps, rounding, codes)) return form;
  }
  return std::nullopt;
}

// Exact where that can be had, with a common shift or one for each channel; otherwise the widest
// multipliers.
std::vector<Dyadic> dyadics(const LoweringSite& site, const Plane& plane, const Rounder& round,
                            const Codes& codes) {
  if (codes.max - codes.min <= kMostSearchedCodes) {
    if (auto exact = exact_dyadics(site, plane, round, codes)) return *exact;
  }
  std::vector<Dyadic> forms;
  for (const Line& line : plane.lines) {
    std::optional<Dyadic> best;
    for (int shift = 0; shift <= 60; ++shift) {
      const auto form = dyadic(line, shift, site.options.multiplier_bits, plane.input);
      if (!form) break;
      best = form;
    }
    if (!best) {
      throw Error("a scale ratio of ", line.ratio, " needs more than ",
                  site.options.multiplier_bits, " multiplier bits; the scales are too far apart");
    }
    if (codes.max - codes.min <= kMostSearchedCodes) {
      const Steps steps = steps_of(line, round, codes, plane.input);
      if (const auto exact =
              fitted(*best, steps, round.rounding, codes, site.options.multiplier_bits)) {
        forms.push_back(*exact);
        continue;
      }
    }
    while (best->shift > 0 && best->multiplier % 2 == 0 && best->addend % 2 == 0)
      best = Dyadic{best->multiplier / 2, best->addend / 2, best->shift - 1};
    forms.push_back(*best);
  }
  return forms;
}

// A list of equal numbers needs one element only.
ValueId compact_constant(LoweringSite& site, const Shape& shape,
                         const std::vector<std::int64_t>& values, const std::string& name) {
  const bool same =
      std::all_of(values.begin(), values.end(), [&](auto v) { return v == values[0]; });
  if (same) return integer_constant(site.builder, Shape(shape.size(), 1), {values[0]}, name);
  return integer_constant(site.builder, shape, values, name);
}

ValueId rescale(LoweringSite& site, ValueId integer, const Plane& plane,
                const std::vector<Dyadic>& forms, const Format& format, Rounding rounding,
                Overflow overflow) {
  std::vector<std::int64_t> multipliers, addends, shifts;
  for (const Dyadic& form : forms) {
    multipliers.push_back(form.multiplier);
    addends.push_back(form.addend);
    shifts.push_back(form.shift);
  }
  return add_folded(site.builder, "Rescale",
                    {integer, compact_constant(site, plane.shape, multipliers, "multiplier"),
                     compact_constant(site, plane.shape, addends, "addend"),
                     compact_constant(site, plane.shape, shifts, "shift")},
                    {{"format", format},
                     {"rounding", std::string(name(rounding))},
                     {"overflow", std::string(name(overflow))}},
                    site.node.node.name);
}

// min and max of codes per channel as one Clamp, or as constants where channels differ.
ValueId limited(LoweringSite& site, ValueId integer, const Plane& plane, const Rounder& round,
                const Codes& codes) {
  const IntegerRange range = site.builder.type(integer).format.integer_range();
  std::vector<std::int64_t> low, high;
  for (const Line& line : plane.lines) {
    const auto bound = [&](double code) {
      return static_cast<std::int64_t>(std::clamp<Int128>(round(code), codes.min, codes.max));
    };
    low.push_back(std::isinf(line.low) ? codes.min : bound(line.low));
    high.push_back(std::isinf(line.high) ? codes.max : bound(line.high));
  }
  const auto same = [](const std::vector<std::int64_t>& list) {
    return std::all_of(list.begin(), list.end(), [&](auto v) { return v == list[0]; });
  };
  if (same(low) && same(high)) {
    if (low[0] <= range.min && high[0] >= range.max) return integer;
    // The format stays: it is the one that the network names.
    return add_folded(
        site.builder, "Clamp", {integer},
        {{"format", site.builder.type(integer).format}, {"min", low[0]}, {"max", high[0]}});
  }
  const Format format = site.builder.type(integer).format;
  integer = add_folded(site.builder, "IntMax",
                       {integer, integer_constant(site.builder, plane.shape, low, "low")},
                       {{"format", format}});
  return add_folded(site.builder, "IntMin",
                    {integer, integer_constant(site.builder, plane.shape, high, "high")},
                    {{"format", format}});
}

ValueId by_rescale(LoweringSite& site, ValueId integer, const Plane& plane,
                   const QuantizeTarget& target, const Rounder& round, const Format& format) {
  const bool saturates =
      target.overflow == Overflow::kSaturate || target.overflow == Overflow::kSaturateSymmetric;
  Codes codes = code_limits(target);
  const bool has_clamp = std::any_of(plane.lines.begin(), plane.lines.end(), [](const Line& l) {
    return !std::isinf(l.low) || !std::isinf(l.high);
  });
  if (saturates) {
    const ValueId result = rescale(site, integer, plane, dyadics(site, plane, round, codes), format,
                                   target.rounding, target.overflow);
    return limited(site, result, plane, round, codes);
  }
  // Wrapping sees the real as it is, so every code of the open line must be right.
  double least = 0, most = 0;
  for (const Line& line : plane.lines) {
    for (const std::int64_t q : {plane.input.min, plane.input.max}) {
      const double code = line.ratio * static_cast<double>(q) + line.offset;
      least = std::min(least, code - 1);
      most = std::max(most, code + 1);
    }
  }
  if (std::max(-least, most) > 0x1p60) throw Error("codes before wrapping leave 60 bits");
  const Codes open{static_cast<std::int64_t>(std::floor(least)),
                   static_cast<std::int64_t>(std::ceil(most))};
  const auto forms = dyadics(site, plane, round, open);
  if (!has_clamp) {
    ValueId result = rescale(site, integer, plane, forms, format, target.rounding, target.overflow);
    return target.limits.empty() ? result : limited(site, result, plane, round, codes);
  }
  ValueId wide = rescale(site, integer, plane, forms, Format::holding({open.min, open.max}),
                         target.rounding, Overflow::kSaturate);
  wide = limited(site, wide, plane, round, open);
  Plane identity{Shape(plane.shape.size(), 1), {Line{}}, {}};
  return rescale(site, wide, identity, {Dyadic{1, 0, 0}}, format, Rounding::kFloor,
                 target.overflow);
}

ValueId by_table(LoweringSite& site, const CodedValue& value, const Tensor& table,
                 const QuantizeTarget& target, const Format& format) {
  const std::size_t rank = value.scale.shape().size();
  Shape beside = with_rank(target.scale, rank).shape();
  beside.push_back(1);
  Shape zero_shape = with_rank(target.zero, rank).shape();
  zero_shape.push_back(1);
  // In f32, as Quantize itself computes.
  Tensor scaled = combine(table, target.scale.reshaped(beside), [](double a, double b) {
    return static_cast<double>(static_cast<float>(a) / static_cast<float>(b));
  });
  scaled = combine(scaled, target.zero.reshaped(zero_shape), [](double a, double b) {
    return static_cast<double>(static_cast<float>(a) + static_cast<float>(b));
  });
  const Tensor codes = Tensor::from_reals(target.format, scaled.shape(), scaled.to_reals(),
                                          target.rounding, target.overflow);
  auto integers = codes.to_integers();
  if (!target.limits.empty())
    for (auto& v : integers) v = std::clamp(v, target.limits[0], target.limits[1]);
  const ValueId constant =
      site.builder.constant(Tensor::from_integers(format, codes.shape(), integers), "table");
  return add_folded(site.builder, "Table", {value.integer, constant}, {{"format", format}},
                    site.node.node.name);
}

// Whether a whole zero may be added before the rounding as well as after it.
bool moves_with(Rounding rounding, const Tensor& zero) {
  switch (rounding) {
    case Rounding::kFloor:
    case Rounding::kCeiling:
    case Rounding::kHalfUp:
    case Rounding::kHalfDown: return true;
    case Rounding::kHalfEven: return all_of(zero, [](double z) { return std::fmod(z, 2) == 0; });
    default: return all_of(zero, [](double z) { return z == 0; });
  }
}

// Codes without their zero in a format that holds them, then the zero as an integer sum.
CodedValue requantize_before_zero(LoweringSite& site, const CodedValue& value,
                                  const QuantizeTarget& target) {
  if (target.overflow != Overflow::kSaturate && target.overflow != Overflow::kSaturateSymmetric) {
    throw Error("a zero added after rounding needs a saturating overflow, not ",
                name(target.overflow));
  }
  const Codes codes = code_limits(target);
  std::vector<std::int64_t> zeros;
  for (const double zero : target.zero.to_reals()) zeros.push_back(std::llround(zero));
  const auto [least, most] = std::minmax_element(zeros.begin(), zeros.end());
  QuantizeTarget centred = target;
  centred.zero_after_rounding = false;
  centred.zero = Tensor::scalar(0, f64());
  centred.limits = {codes.min - *most, codes.max - *least};
  centred.format = Format::holding({centred.limits[0], centred.limits[1]});
  centred.overflow = Overflow::kSaturate;
  const CodedValue before = requantize(site, value, centred);
  const std::size_t rank = value.scale.shape().size();
  const ValueId zero =
      integer_constant(site.builder, with_rank(target.zero, rank).shape(), zeros, "zero");
  const ValueId sum = add_exact_folded(site.builder, "IntAdd", {before.integer, zero});
  return coded_integer(
      site.builder, add_folded(site.builder, "Clamp", {sum},
                               {{"format", target.format}, {"min", codes.min}, {"max", codes.max}},
                               site.node.node.name));
}

// Whether every integer of the value is its own code, apart from limits.
bool is_identity(const Plane& plane) {
  return std::ranges::all_of(plane.lines,
                             [](const Line& line) { return line.ratio == 1 && line.offset == 0; });
}

// Scale and zero in units of the integers of the target's format.
Plane plane_of_target(const LoweringSite& site, const CodedValue& value,
                      const QuantizeTarget& target) {
  const double unit = std::ldexp(1.0, target.format.exponent());
  return plane_of(site, value, map(target.scale, [&](double s) { return s * unit; }),
                  map(target.zero, [&](double z) { return z / unit; }));
}

Rounder rounder_of(const QuantizeTarget& target) {
  return {target.rounding, target.format == Format::parse("bipolar")};
}

ValueId by_arithmetic(LoweringSite& site, const CodedValue& value, const QuantizeTarget& target,
                      const Format& format) {
  const Rounder round = rounder_of(target);
  const bool saturates =
      target.overflow == Overflow::kSaturate || target.overflow == Overflow::kSaturateSymmetric;
  if (round.bipolar || (saturates && target.format.bits() <= kThresholdBits)) {
    const CodedValue rising = with_positive_scale(site, value);
    return by_thresholds(site, rising.integer, plane_of_target(site, rising, target), target, round,
                         format);
  }
  return by_rescale(site, value.integer, plane_of_target(site, value, target), target, round,
                    format);
}

// The value's own integers where they are the codes, but for limits; else nullopt.
std::optional<ValueId> unchanged(LoweringSite& site, const CodedValue& value,
                                 const QuantizeTarget& target, const Format& format) {
  if (value.table || site.integer_format(value) != format) return std::nullopt;
  const Plane plane = plane_of_target(site, value, target);
  if (!is_identity(plane)) return std::nullopt;
  return limited(site, value.integer, plane, rounder_of(target), code_limits(target));
}

// ---- Formats whose codes are not evenly spaced -------------------------------------------------

constexpr int kMostRankBits = 8;

// The real numbers of the codes by rank, as long as the format of ranks, which has as many bits.
Tensor reals_of_ranks(const CodeGrid& grid, const Format& ranks, std::size_t rank) {
  std::vector<double> reals = grid.values();
  reals.resize(static_cast<std::size_t>(ranks.integer_range().max) + 1, reals.back());
  Shape shape(rank, 1);
  shape.push_back(static_cast<std::int64_t>(reals.size()));
  return Tensor::from_reals(f64(), shape, reals);
}

// Where the rank of a channel's code steps: for each rank but the least the first integer that
// reaches it. Lines rise.
std::vector<std::int64_t> rank_thresholds(const Plane& plane, const CodeGrid& grid,
                                          Rounding rounding) {
  std::vector<std::int64_t> thresholds;
  for (const Line& line : plane.lines) {
    const auto rank_at = [&](Int128 q) {
      return grid.rank(
          std::clamp(line.ratio * static_cast<double>(q) + line.offset, line.low, line.high),
          rounding);
    };
    Int128 from = plane.input.min;
    for (std::size_t rank = 1; rank < grid.values().size(); ++rank) {
      Int128 below = from, reached = Int128{plane.input.max} + 1;
      while (below < reached) {
        const Int128 middle = below + (reached - below) / 2;
        if (rank_at(middle) >= rank)
          reached = middle;
        else
          below = middle + 1;
      }
      from = reached;
      thresholds.push_back(static_cast<std::int64_t>(reached));
    }
  }
  return thresholds;
}

// Codes by their rank among the format's numbers, found by comparison, with the numbers as a table.
CodedValue requantize_to_ranks(LoweringSite& site, const CodedValue& value,
                               const QuantizeTarget& target) {
  const Format& format = target.format;
  if (format.bits() > kMostRankBits)
    throw Error("codes of ", format.name(), " are found by comparison, which needs at most ",
                kMostRankBits, " bits; quantize to a narrower format or to integers");
  if (target.overflow == Overflow::kWrap || target.overflow == Overflow::kSaturateZero)
    throw Error("overflow = ", name(target.overflow), " of ", format.name(),
                " has no integer form; use saturate_symmetric");
  const CodeGrid& grid = CodeGrid::of(format);
  const Format ranks = Format::integer(format.bits(), false);
  const std::size_t rank = value.scale.shape().size();
  CodedValue result;
  if (value.table) {
    Shape beside = with_rank(target.scale, rank).shape();
    beside.push_back(1);
    const Tensor scaled = combine(*value.table, target.scale.reshaped(beside), std::divides());
    const Tensor codes =
        map(scaled, [&](double v) { return static_cast<double>(grid.rank(v, target.rounding)); });
    const ValueId table =
        site.builder.constant(Tensor::from_reals(ranks, codes.shape(), codes.to_reals()), "table");
    result = coded_integer(site.builder, add_folded(site.builder, "Table", {value.integer, table},
                                                    {{"format", ranks}}, site.node.node.name));
  } else {
    const CodedValue rising = with_positive_scale(site, value);
    const Plane plane = plane_of(site, rising, target.scale, target.zero);
    Shape shape = plane.shape;
    shape.push_back(static_cast<std::int64_t>(grid.values().size()) - 1);
    const ValueId thresholds = integer_constant(
        site.builder, shape, rank_thresholds(plane, grid, target.rounding), "thresholds");
    result = coded_integer(
        site.builder,
        add_folded(site.builder, "Threshold", {rising.integer, thresholds},
                   {{"format", ranks}, {"base", std::int64_t{0}}, {"step", std::int64_t{1}}},
                   site.node.node.name));
  }
  result.table = reals_of_ranks(grid, ranks, rank);
  return result;
}

}  // namespace

CodedValue requantize(LoweringSite& site, const CodedValue& value, const QuantizeTarget& target) {
  if (!target.format.is_uniform()) return requantize_to_ranks(site, value, target);
  constexpr int kMostBits = 62;  // of integers, so that a zero can be added
  if (target.format.bits() > kMostBits)
    throw Error("codes of ", target.format.name(), " are too wide; quantize to a narrower format");
  const Format format = target.format.is_integer()
                            ? target.format
                            : Format::integer(target.format.bits(), target.format.is_signed());
  ValueId integer = kNone;
  if (const auto same = unchanged(site, value, target, format)) {
    integer = *same;
  } else if (target.rescaling != Rescaling::kDyadic) {
    return requantize_as_tflite(site, value, target);
  } else if (target.zero_after_rounding && !moves_with(target.rounding, target.zero)) {
    return requantize_before_zero(site, value, target);
  } else if (value.table) {
    integer = by_table(site, value, *value.table, target, format);
  } else {
    integer = by_arithmetic(site, value, target, format);
  }
  const double unit = std::ldexp(1.0, target.format.exponent());
  CodedValue codes = coded_integer(site.builder, integer);
  return multiplied(codes, Tensor::scalar(unit, f64()));
}

}  // namespace tandem
