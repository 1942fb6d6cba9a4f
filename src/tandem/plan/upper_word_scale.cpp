#include "tandem/plan/upper_word_scale.h"

#include <algorithm>
#include <bit>

#include "tandem/numerics/rounding.h"
#include "tandem/plan/loop_program.h"

namespace tandem {
namespace {

constexpr std::int64_t kMostShift = 62;

// What is looked for: one kind, and one number of halves.
struct Kind {
  bool doubled = false, whole = false;
  std::int64_t halves = 0;
  std::int64_t left = 0;

  std::int64_t least_shift() const { return whole ? 31 - left : doubled ? 32 : 33; }
  // What x and the bias are multiplied by before the multiplier.
  std::int64_t factor() const { return (doubled ? std::int64_t{2} : 1) << left; }
};

// A point in that form.
struct Form {
  std::int64_t bias = 0, multiplier = 0, shift = 0;
};

bool is_word(Int128 value) {
  const IntegerRange word = range_of(Storage::kI32);
  return value >= word.min && value <= word.max;
}

std::int64_t result_of(const ScalePoint& point, std::int64_t x) {
  return static_cast<std::int64_t>((Int128{x} * point.multiplier + point.addend) >> point.shift);
}

// The form of a point that takes at most two values for all x, high - 1 and high from `first` on: a
// channel that training switched off. Its multiplier is free, so 2^30 does: the upper word is then
// (x + bias) / 4, or (x + bias + 1) / 2, and steps to 2 high - halves where x reaches `first`.
std::optional<Form> step_form(const ScalePoint& point, const Kind& kind, IntegerRange x) {
  const std::int64_t high = result_of(point, x.max);
  std::int64_t below = x.min - 1, first = x.max;
  while (below + 1 < first) {
    const std::int64_t middle = below + (first - below) / 2;
    (result_of(point, middle) < high ? below : first) = middle;
  }
  const auto width =
      static_cast<std::int64_t>(std::bit_width(static_cast<std::uint64_t>(x.max - x.min)));
  const std::int64_t factor = kind.factor(), shift = std::max<std::int64_t>(width, 2);
  const Int128 bias =
      (Int128{2} * high - kind.halves) * (Int128{1} << shift) - (kind.doubled ? 1 : 0) - first;
  if (!is_word(factor * bias) || !is_word(factor * (x.min + bias)) ||
      !is_word(factor * (x.max + bias)))
    return std::nullopt;
  return Form{static_cast<std::int64_t>(bias), std::int64_t{1} << 30,
              shift - (kind.doubled ? 1 : 2) + kind.least_shift()};
}

std::optional<Form> form_of(const ScalePoint& point, const Kind& kind, IntegerRange x) {
  if (!kind.whole && point.multiplier >= 0 &&
      result_of(point, x.max) - result_of(point, x.min) <= 1)
    return step_form(point, kind, x);
  if (point.multiplier == 0) return std::nullopt;
  // The same scale with a greater multiplier and shift, as far as the multiplier is a word.
  for (std::int64_t more = 0; is_word(Int128{point.multiplier} << more); ++more) {
    const std::int64_t shift = point.shift + more;
    if (shift > kMostShift || more > 31) return std::nullopt;
    if (kind.whole ? shift != kind.least_shift() : shift < kind.least_shift()) continue;
    const Int128 multiplier = Int128{point.multiplier} << more;
    Int128 rest = Int128{point.addend} * (Int128{1} << more);
    if (kind.doubled) rest -= Int128{1} << (30 - kind.left);
    if (!kind.whole) rest -= kind.halves * (Int128{1} << (shift - 1));
    if (rest % multiplier != 0) continue;
    const Int128 bias = rest / multiplier, factor = kind.factor();
    if (!is_word(factor * bias) || !is_word(factor * (x.min + bias)) ||
        !is_word(factor * (x.max + bias)) || !is_word(factor * x.min) || !is_word(factor * x.max))
      continue;
    return Form{static_cast<std::int64_t>(bias), static_cast<std::int64_t>(multiplier), shift};
  }
  return std::nullopt;
}

std::int64_t upper_word(const Form& form, const Kind& kind, std::int64_t x) {
  const Int128 product = (Int128{x + form.bias} << kind.left) * form.multiplier;
  return static_cast<std::int64_t>(kind.doubled ? (2 * product + (Int128{1} << 31)) >> 32
                                                : product >> 32);
}

std::optional<UpperWordScale> scale_of(std::span<const ScalePoint> points, const Kind& kind,
                                       IntegerRange x) {
  UpperWordScale result;
  result.doubled = kind.doubled;
  result.whole = kind.whole;
  result.halves = kind.halves;
  result.left = kind.left;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const std::optional<Form> form = form_of(points[i], kind, x);
    if (!form) return std::nullopt;
    result.biases.push_back(form->bias);
    result.multipliers.push_back(form->multiplier);
    result.shifts.push_back(form->shift - kind.least_shift());
    const std::int64_t a = upper_word(*form, kind, x.min), b = upper_word(*form, kind, x.max);
    const IntegerRange ends = {std::min(a, b), std::max(a, b)};
    result.high = i == 0 ? ends : cover(result.high, ends);
  }
  const bool fits =
      is_word(result.high.min + kind.halves) && is_word(result.high.max + kind.halves);
  return fits ? std::optional(std::move(result)) : std::nullopt;
}

}  // namespace

std::optional<UpperWordScale> upper_word_scale(std::span<const ScalePoint> points, IntegerRange x,
                                               IntegerRange results) {
  if (!is_word(x.min) || !is_word(x.max) || points.empty()) return std::nullopt;
  for (std::int64_t left = 0; left <= 30; ++left)
    if (form_of(points[0], {true, true, 0, left}, x))
      if (auto whole = scale_of(points, {true, true, 0, left}, x)) return whole;
  for (const bool doubled : {false, true})
    for (std::int64_t halves = 2 * results.min; halves <= 2 * results.max + 1; ++halves)
      // Most numbers fail at the first point.
      if (form_of(points[0], {doubled, false, halves, 0}, x))
        if (auto scale = scale_of(points, {doubled, false, halves, 0}, x)) return scale;
  return std::nullopt;
}

}  // namespace tandem
