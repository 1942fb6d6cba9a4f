#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/numerics/overflow.h"
#include "tandem/plan/element_program.h"

// How an element program computes a Rescale.

namespace tandem {
namespace {

constexpr Int128 kLimit = Int128{1} << 62;

// (x m + b) / 2^s is the same when m, b and 2^s lose a common factor of 2.
void reduce(ScalePoint& point) {
  while (point.shift > 0 && point.multiplier % 2 == 0 && point.addend % 2 == 0) {
    point.multiplier /= 2;
    point.addend /= 2;
    --point.shift;
  }
}

// The ends of x * multiplier + addend, times 2^more.
std::pair<Int128, Int128> sum_of(const ScalePoint& point, IntegerRange x, std::int64_t more) {
  const Int128 a = Int128{point.multiplier} * x.min + point.addend;
  const Int128 b = Int128{point.multiplier} * x.max + point.addend;
  const Int128 factor = Int128{1} << more;
  return {std::min(a, b) * factor, std::max(a, b) * factor};
}

bool multipliers_fit(const std::vector<ScalePoint>& points, std::int64_t shift, Int128 limit) {
  return std::ranges::all_of(points, [&](const ScalePoint& point) {
    const Int128 factor = Int128{point.multiplier} * (Int128{1} << (shift - point.shift));
    return factor >= -limit && factor < limit;
  });
}

// Whether a common shift for all points keeps the sums and the rounding within `limit`.
bool shift_fits(const std::vector<ScalePoint>& points, IntegerRange x, std::int64_t shift,
                Rounding rounding, Int128 limit) {
  const Int128 extra = Int128{folded_addend(static_cast<int>(shift), rounding)} +
                       rounding_margin(static_cast<int>(shift), rounding);
  for (const ScalePoint& point : points) {
    const std::int64_t more = shift - point.shift;
    const auto [low, high] = sum_of(point, x, more);
    const auto [least, most] = sum_of({point.multiplier, 0, 0}, x, more);
    const Int128 addend = Int128{point.addend} * (Int128{1} << more);
    if (std::min({low - extra, least, addend}) < -limit) return false;
    if (std::max({high, most, addend}) + extra > limit - 1) return false;
  }
  return multipliers_fit(points, shift, limit);
}

}  // namespace

void ElementProgram::prepare_rescale(Link& link, IntegerRange x) {
  const Node& node = *link.node;
  const NodeView view{module_, graph_, node};
  const Rounding rounding = parse_rounding(view.string("rounding"));
  const std::size_t inputs[] = {1, 2, 3};
  const Pattern pattern = pattern_of(node, inputs, 0);
  std::vector<ScalePoint> points;
  std::int64_t shift = 0;
  for (std::size_t i = 0; i < pattern.points[0].size(); ++i) {
    points.push_back({view.constant(1)->integer(pattern.points[0][i]),
                      view.constant(2)->integer(pattern.points[1][i]),
                      view.constant(3)->integer(pattern.points[2][i])});
    reduce(points.back());
    shift = std::max(shift, points.back().shift);
  }
  Scaling& scaling = link.scaling;
  scaling.folded = shift_fits(points, x, shift, rounding, kLimit);
  const bool narrow = scaling.folded && shift_fits(points, x, shift, rounding, Int128{1} << 31);
  // With a shift of 32 the upper word is the result.
  if (scaling.folded && !narrow && shift < 32 && shift_fits(points, x, 32, rounding, kLimit) &&
      multipliers_fit(points, 32, Int128{1} << 31))
    shift = 32;
  scaling.type = narrow ? Storage::kI32 : Storage::kI64;
  if (!narrow && scaling.folded &&
      (rounding == Rounding::kHalfUp || rounding == Rounding::kFloor)) {
    std::vector<ScalePoint> rounded = points;
    for (ScalePoint& point : rounded)
      point.addend += folded_addend(static_cast<int>(point.shift), rounding);
    // Zero points are those of codes.
    const IntegerRange results = view.format("format").integer_range();
    const bool are_codes = results.max - results.min < 1 << 16;
    scaling.upper = upper_word_scale(rounded, x, are_codes ? results : IntegerRange{0, 0});
  }

  std::vector<std::int64_t> multipliers, addends, shifts;
  Int128 low = kLimit, high = -kLimit, first = kLimit, last = -kLimit;
  for (const ScalePoint& point : points) {
    const std::int64_t more = scaling.folded ? shift - point.shift : 0;
    const int by = static_cast<int>(scaling.folded ? shift : point.shift);
    const std::int64_t rounding_addend = scaling.folded ? folded_addend(by, rounding) : 0;
    multipliers.push_back(point.multiplier * (std::int64_t{1} << more));
    addends.push_back(point.addend * (std::int64_t{1} << more) + rounding_addend);
    shifts.push_back(by);
    const auto [from, to] = sum_of(point, x, more);
    low = std::min(low, from + rounding_addend);
    high = std::max(high, to + rounding_addend);
    first = std::min(first, round_shift(from, by, rounding));
    last = std::max(last, round_shift(to, by, rounding));
  }
  scaling.sum = {static_cast<std::int64_t>(low), static_cast<std::int64_t>(high)};
  scaling.rounded = {static_cast<std::int64_t>(first), static_cast<std::int64_t>(last)};
  if (scaling.upper) {
    multipliers = scaling.upper->multipliers;
    addends = scaling.upper->biases;
    shifts = scaling.upper->shifts;
    for (std::int64_t& bias : addends) bias *= factor_of(*scaling.upper);
    if (shifts_by_power(*scaling.upper))
      for (std::int64_t& count : shifts) count = -(count + 1);
  }
  scaling.multiplier =
      compacted(pattern, std::move(multipliers), 1, "multipliers", ArrayRole::kTable);
  scaling.addend = compacted(pattern, std::move(addends), 1, scaling.upper ? "biases" : "addends",
                             ArrayRole::kTable);
  scaling.shift = compacted(pattern, std::move(shifts), 1, "shifts", ArrayRole::kTable);
  limit_rescaled(link);
}

// floor((floor(high / 2^n) + 2 z + 1) / 2) is high / 2^(n + 1), halves rounded up, plus z.
bool ElementProgram::shifts_by_power(const UpperWordScale& scale) const {
  return for_quads_ && !scale.whole && scale.halves % 2 != 0;
}

// By what x and its bias, which is held so, are multiplied before they are added. Helium doubles
// products itself.
std::int64_t ElementProgram::factor_of(const UpperWordScale& scale) const {
  return (scale.doubled && !for_quads_ ? std::int64_t{2} : 1) << scale.left;
}

void ElementProgram::limit_rescaled(Link& link) {
  const NodeView view{module_, graph_, *link.node};
  const Scaling& scaling = link.scaling;
  const Format format = view.format("format");
  const IntegerRange held = format.integer_range();
  link.range = {std::max(held.min, scaling.rounded.min), std::min(held.max, scaling.rounded.max)};
  const Overflow overflow = parse_overflow(view.string("overflow"));
  const IntegerRange kept = kept_range(held, overflow);
  const bool fits = scaling.rounded.min >= kept.min && scaling.rounded.max <= kept.max;
  const bool narrowed = overflow == Overflow::kSaturate && link.range.min <= link.range.max;
  if (!fits && !narrowed) link.range = held;
}

Ranged ElementProgram::apply_rescale(ScalarCode& code, const Link& link, Ranged x,
                                     std::span<const Expr> position) {
  const Scaling& scaling = link.scaling;
  const NodeView view{module_, graph_, *link.node};
  const Rounding rounding = parse_rounding(view.string("rounding"));
  const auto number = [&](const Operand& operand) {
    return convert_expr(fetch(operand, position).value, scaling.type);
  };
  const Format format = view.format("format");
  const Overflow overflow = parse_overflow(view.string("overflow"));
  if (scaling.upper)
    return code.apply_overflow(apply_upper_word(link, std::move(x), position), format.bits(),
                               format.is_signed(), overflow);
  // Where the multiplier is 0 the product is right although x may lose bits.
  Ranged result{convert_expr(std::move(x.value), scaling.type) * number(scaling.multiplier) +
                    number(scaling.addend),
                scaling.sum};
  if (scaling.folded) {
    result =
        code.round_shift(std::move(result), static_cast<int>(scaling.shift.values[0]), rounding);
    result.range = scaling.rounded;
  } else {
    const Expr shift = code.local(number(scaling.shift));
    result = code.round_variable_shift(result, shift, scaling.rounded, rounding);
  }
  if (arithmetic_for(scaling.rounded) == Storage::kI32)
    result.value = convert_expr(std::move(result.value), Storage::kI32);
  result = code.apply_overflow(std::move(result), format.bits(), format.is_signed(), overflow);
  if (arithmetic_for(link.range) == Storage::kI32)
    result.value = convert_expr(std::move(result.value), Storage::kI32);
  return result;
}

Ranged ElementProgram::apply_upper_word(const Link& link, Ranged x,
                                        std::span<const Expr> position) {
  const Scaling& scaling = link.scaling;
  const auto word = [&](const Operand& operand) {
    return convert_expr(fetch(operand, position).value, Storage::kI32);
  };
  const auto wide = [](Expr value) { return convert_expr(std::move(value), Storage::kI64); };
  const UpperWordScale& scale = *scaling.upper;
  const Expr multiplier = word(scaling.multiplier), shift = word(scaling.shift);
  Expr sum = convert_expr(std::move(x.value), Storage::kI32);
  const bool quads = sum.lanes > 1;
  sum = sum * constant_expr(factor_of(scale)) + word(scaling.addend);
  if (scale.doubled && for_quads_ && !quads) sum = sum * constant_expr(2);
  Expr high;
  if (quads) {
    const UpperWord kind = scale.doubled ? UpperWord::kDoubled : UpperWord::kFloor;
    high = upper_word_expr(std::move(sum), multiplier, kind);
  } else if (scale.doubled) {
    high = upper_word_expr(std::move(sum), multiplier, UpperWord::kRounded);
  } else {
    const Expr product = wide(std::move(sum)) * wide(multiplier);
    high = convert_expr(binary_expr(ExprOp::kShiftRight, product, constant_expr(32, Storage::kI64)),
                        Storage::kI32);
  }
  if (scale.whole) return {std::move(high), scaling.rounded};
  const bool by_power = shifts_by_power(scale);
  if (quads && by_power)
    return {binary_expr(ExprOp::kScaleByPower, std::move(high), shift) +
                constant_expr((scale.halves - 1) / 2),
            scaling.rounded};
  const Expr count = by_power ? constant_expr(-1) - shift : shift;
  const Expr shifted = binary_expr(ExprOp::kShiftRight, std::move(high), count);
  return {binary_expr(ExprOp::kShiftRight, shifted + constant_expr(scale.halves), constant_expr(1)),
          scaling.rounded};
}

}  // namespace tandem
