#include "tandem/plan/upper_word_scale.h"

#include <algorithm>

#include "tandem/numerics/rounding.h"
#include "tandem/plan/loop_program.h"

namespace tandem {
namespace {

constexpr std::int64_t kMostShift = 62;

// What is looked for: one kind, and one number of halves.
struct Kind {
  bool doubled = false, whole = false;
  std::int64_t halves = 0;

  std::int64_t least_shift() const { return whole ? 31 : doubled ? 32 : 33; }
};

// A point in that form.
struct Form {
  std::int64_t bias = 0, multiplier = 0, shift = 0;
};

bool is_word(Int128 value) {
  const IntegerRange word = range_of(Storage::kI32);
  return value >= word.min && value <= word.max;
}

std::optional<Form> form_of(const ScalePoint& point, const Kind& kind, IntegerRange x) {
  // The same scale with a greater multiplier and shift, as far as the multiplier is a word.
  for (std::int64_t more = 0; is_word(Int128{point.multiplier} << more); ++more) {
    const std::int64_t shift = point.shift + more;
    if (shift > kMostShift || more > 31) return std::nullopt;
    if (kind.whole ? shift != kind.least_shift() : shift < kind.least_shift()) continue;
    const Int128 multiplier = Int128{point.multiplier} << more;
    Int128 rest = Int128{point.addend} * (Int128{1} << more);
    if (kind.doubled) rest -= Int128{1} << 30;
    rest -= kind.halves * (Int128{1} << (shift - 1));
    if (rest % multiplier != 0) continue;
    const Int128 bias = rest / multiplier, factor = kind.doubled ? 2 : 1;
    if (!is_word(factor * bias) || !is_word(factor * (x.min + bias)) ||
        !is_word(factor * (x.max + bias)) || !is_word(factor * x.min) || !is_word(factor * x.max))
      continue;
    return Form{static_cast<std::int64_t>(bias), static_cast<std::int64_t>(multiplier), shift};
  }
  return std::nullopt;
}

std::int64_t upper_word(const Form& form, const Kind& kind, std::int64_t x) {
  const Int128 product = Int128{x + form.bias} * form.multiplier;
  return static_cast<std::int64_t>(kind.doubled ? (2 * product + (Int128{1} << 31)) >> 32
                                                : product >> 32);
}

std::optional<UpperWordScale> scale_of(std::span<const ScalePoint> points, const Kind& kind,
                                       IntegerRange x) {
  UpperWordScale result;
  result.doubled = kind.doubled;
  result.whole = kind.whole;
  result.halves = kind.halves;
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
  if (std::ranges::any_of(points, [](const ScalePoint& p) { return p.multiplier == 0; }))
    return std::nullopt;
  if (auto whole = scale_of(points, {true, true, 0}, x)) return whole;
  for (const bool doubled : {false, true})
    for (std::int64_t halves = 2 * results.min; halves <= 2 * results.max + 1; ++halves)
      // Most numbers fail at the first point.
      if (form_of(points[0], {doubled, false, halves}, x))
        if (auto scale = scale_of(points, {doubled, false, halves}, x)) return scale;
  return std::nullopt;
}

}  // namespace tandem
