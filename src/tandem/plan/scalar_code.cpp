#include "tandem/plan/scalar_code.h"

#include <algorithm>
#include <bit>

#include "tandem/base/error.h"
#include "tandem/numerics/overflow.h"

namespace tandem {
namespace {

Expr operator>>(Expr a, int shift) {
  Expr count = constant_expr(shift, a.type);
  return binary_expr(ExprOp::kShiftRight, std::move(a), std::move(count));
}

Expr equal(Expr a, Expr b) { return binary_expr(ExprOp::kEqual, std::move(a), std::move(b)); }
Expr both(Expr a, Expr b) { return binary_expr(ExprOp::kAnd, std::move(a), std::move(b)); }

// 1 where the value is negative, in the value's type.
Expr sign_bit(const Expr& value) {
  return convert_expr(less_expr(value, constant_expr(0, value.type)), value.type);
}

std::int64_t half_of(int shift) { return shift == 0 ? 0 : std::int64_t{1} << (shift - 1); }

std::int64_t narrow(Int128 value) { return static_cast<std::int64_t>(value); }

}  // namespace

std::int64_t folded_addend(int shift, Rounding rounding) {
  if (shift == 0) return 0;
  switch (rounding) {
    case Rounding::kHalfUp: return half_of(shift);
    case Rounding::kHalfDown: return half_of(shift) - 1;
    case Rounding::kCeiling: return (std::int64_t{1} << shift) - 1;
    default: return 0;
  }
}

std::int64_t rounding_margin(int shift, Rounding rounding) {
  if (shift == 0 || rounding == Rounding::kFloor) return 0;
  return folded_addend(shift, rounding) != 0 ? 0 : std::int64_t{1} << shift;
}

Expr ScalarCode::local(Expr value, const std::string& stem) {
  if (value.op == ExprOp::kVariable || value.op == ExprOp::kConstant) return value;
  const std::string name = program_.fresh(stem);
  const Storage type = value.type;
  const int lanes = value.lanes;
  body_.push_back(let_statement(name, std::move(value)));
  return variable_expr(name, type, lanes);
}

Expr ScalarCode::variable(Expr value, const std::string& stem) {
  const std::string name = program_.fresh(stem);
  const Storage type = value.type;
  body_.push_back(variable_statement(name, std::move(value)));
  return variable_expr(name, type);
}

Ranged ScalarCode::in_type(Ranged value, Storage type) {
  const IntegerRange held = range_of(type);
  ensure(value.range.min >= held.min && value.range.max <= held.max,
         "a scalar does not fit the type chosen for it");
  value.value = convert_expr(std::move(value.value), type);
  return value;
}

Ranged ScalarCode::clamp(Ranged value, std::int64_t low, std::int64_t high) {
  const Storage type = value.value.type;
  const IntegerRange range = value.range;
  if (low > range.max) return {constant_expr(low, type), {low, low}};
  if (high < range.min) return {constant_expr(high, type), {high, high}};
  if (value.value.lanes > 1) return clamp_lanes(std::move(value), low, high);
  const bool is_signed = low < 0;
  const IntegerRange byte = integer_range(8, is_signed);
  if (type == Storage::kI32 && low == byte.min && high == byte.max && low > range.min &&
      high < range.max)
    return {saturate_expr(std::move(value.value), is_signed), byte};
  if (low > range.min) {
    const Expr v = local(std::move(value.value));
    value.value = select_expr(less_expr(v, constant_expr(low, type)), constant_expr(low, type), v);
    value.range.min = low;
  }
  if (high < range.max) {
    const Expr v = local(std::move(value.value));
    value.value =
        select_expr(less_expr(constant_expr(high, type), v), constant_expr(high, type), v);
    value.range.max = high;
  }
  return value;
}

Ranged ScalarCode::clamp_lanes(Ranged value, std::int64_t low, std::int64_t high) {
  const auto limit = [&](ExprOp op, std::int64_t bound) {
    value.value = binary_expr(op, std::move(value.value), constant_expr(bound));
  };
  if (low > value.range.min) limit(ExprOp::kMaximum, low);
  if (high < value.range.max) limit(ExprOp::kMinimum, high);
  return {std::move(value.value),
          {std::max(low, value.range.min), std::min(high, value.range.max)}};
}

bool ScalarCode::shifts_lanes(Rounding rounding) {
  return rounding == Rounding::kHalfAwayFromZero || rounding_margin(1, rounding) == 0;
}

Ranged ScalarCode::round_shift(Ranged sum, int shift, Rounding rounding) {
  if (shift == 0) return sum;
  const Storage type = sum.value.type;
  const auto number = [&](std::int64_t n) { return constant_expr(n, type); };
  const std::int64_t half = half_of(shift);
  Expr value = sum.value;
  const bool looks_at_value = rounding_margin(shift, rounding) != 0;
  if (looks_at_value) value = local(value);
  const Rounding rest = looks_at_value ? rounding : Rounding::kFloor;
  const IntegerRange shifted = {narrow(tandem::round_shift(sum.range.min, shift, rest)),
                                narrow(tandem::round_shift(sum.range.max, shift, rest))};
  if (looks_at_value && value.lanes > 1) {
    ensure(rounding == Rounding::kHalfAwayFromZero, "a rounding that quads lack");
    // One less where negative, then halves rounded up.
    return {binary_expr(ExprOp::kScaleByPower, value + (value >> 31), constant_expr(-shift)),
            shifted};
  }
  switch (rounding) {
    case Rounding::kFloor:
    case Rounding::kHalfUp:
    case Rounding::kHalfDown:
    case Rounding::kCeiling: break;
    case Rounding::kTowardZero:  // + 2^shift - 1 where negative
      value = value + both(value >> (8 * storage_bytes(type) - 1), number(2 * half - 1));
      break;
    case Rounding::kAwayFromZero:  // + 2^shift - 1 where positive: all bits of -value's sign
      value =
          value + both((number(0) - value) >> (8 * storage_bytes(type) - 1), number(2 * half - 1));
      break;
    case Rounding::kHalfAwayFromZero: value = value + number(half) - sign_bit(value); break;
    case Rounding::kHalfTowardZero: value = value + number(half - 1) + sign_bit(value); break;
    case Rounding::kHalfEven:
      value = value + number(half - 1) + both(value >> shift, number(1));
      break;
  }
  return {value >> shift, shifted};
}

Ranged ScalarCode::round_variable_shift(const Ranged& value, Expr shift, IntegerRange result,
                                        Rounding rounding) {
  const Storage type = value.value.type;
  const auto number = [&](std::int64_t n) { return constant_expr(n, type); };
  const auto shifted = [&](Expr v) {
    return binary_expr(ExprOp::kShiftRight, std::move(v), shift);
  };
  const Expr v = local(value.value);
  // 2^shift, and half of it, or 0 where the shift is 0.
  const Expr whole = local(binary_expr(ExprOp::kShiftLeft, number(1), shift));
  const Expr half = local(whole >> 1);
  const Expr some =
      local(convert_expr(less_expr(number(1), whole), type));  // 1 where the shift is not 0
  Expr addend = number(0);
  switch (rounding) {
    case Rounding::kFloor: break;
    case Rounding::kTowardZero: addend = sign_bit(v) * (whole - number(1)); break;
    case Rounding::kHalfUp: addend = half; break;
    case Rounding::kHalfDown: addend = half - some; break;
    case Rounding::kHalfTowardZero: addend = half - some + both(some, sign_bit(v)); break;
    case Rounding::kHalfAwayFromZero: addend = half - both(some, sign_bit(v)); break;
    case Rounding::kHalfEven: addend = half - some + both(some, shifted(v)); break;
    case Rounding::kCeiling: addend = whole - number(1); break;
    case Rounding::kAwayFromZero: addend = sign_bit(number(0) - v) * (whole - number(1)); break;
  }
  return {shifted(v + addend), result};
}

Ranged ScalarCode::apply_overflow(Ranged value, int bits, bool is_signed, Overflow overflow) {
  const IntegerRange held = kept_range(integer_range(bits, is_signed), overflow);
  const bool fits = value.range.min >= held.min && value.range.max <= held.max;
  const Storage type = value.value.type;
  const auto number = [&](std::int64_t n) { return constant_expr(n, type); };
  switch (overflow) {
    case Overflow::kSaturate:
    case Overflow::kSaturateSymmetric: return clamp(std::move(value), held.min, held.max);
    case Overflow::kSaturateZero: {
      if (fits) return value;
      const Expr v = local(std::move(value.value));
      Expr result = v;
      if (value.range.min < held.min)
        result = select_expr(less_expr(v, number(held.min)), number(0), std::move(result));
      if (value.range.max > held.max)
        result = select_expr(less_expr(number(held.max), v), number(0), std::move(result));
      return {std::move(result), held};
    }
    case Overflow::kWrap: {
      if (fits) return value;
      const std::int64_t mask = narrow((Int128{1} << bits) - 1);
      Expr low = both(std::move(value.value), number(mask));
      if (!is_signed) return {std::move(low), held};
      // Flipping the sign bit and subtracting it extends the sign.
      const std::int64_t sign = std::int64_t{1} << (bits - 1);
      return {binary_expr(ExprOp::kXor, std::move(low), number(sign)) - number(sign), held};
    }
  }
  throw InternalError("unknown overflow");
}

// The same where neither operand is ever negative.
Expr ScalarCode::round_up_positive(const Expr& quotient, const Expr& remainder, const Expr& divisor,
                                   Rounding rounding) {
  const Expr zero = constant_expr(0, quotient.type);
  switch (rounding) {
    case Rounding::kTowardZero:
    case Rounding::kFloor: return constant_expr(0);
    case Rounding::kCeiling:
    case Rounding::kAwayFromZero: return less_expr(zero, remainder);
    default: break;
  }
  const Expr left = local(divisor - remainder);
  if (rounding == Rounding::kHalfUp || rounding == Rounding::kHalfAwayFromZero)
    return binary_expr(ExprOp::kLessEqual, left, remainder);
  Expr beyond = less_expr(left, remainder);
  if (rounding != Rounding::kHalfEven) return beyond;
  const Expr odd = convert_expr(both(quotient, constant_expr(1, quotient.type)), Storage::kI32);
  return beyond + both(equal(left, remainder), odd);
}

// What is added to the quotient's magnitude: 1 where the exact quotient rounds away from zero.
Expr ScalarCode::round_up(const Expr& quotient, const Expr& remainder, const Expr& divisor,
                          const Expr& negative, Rounding rounding) {
  const Storage type = quotient.type;
  const auto number = [&](std::int64_t n) { return constant_expr(n, type); };
  if (negative.op == ExprOp::kConstant)
    return round_up_positive(quotient, remainder, divisor, rounding);
  const Expr not_negative = binary_expr(ExprOp::kXor, negative, constant_expr(1));
  Expr inexact = binary_expr(ExprOp::kXor, equal(remainder, number(0)), constant_expr(1));
  switch (rounding) {
    case Rounding::kTowardZero: return constant_expr(0);
    case Rounding::kFloor: return both(inexact, negative);
    case Rounding::kCeiling: return both(inexact, not_negative);
    case Rounding::kAwayFromZero: return inexact;
    default: break;
  }
  // -|remainder| against what is left of -|divisor|: negative numbers have the larger range.
  const auto minus_magnitude = [&](const Expr& v) {
    return local(select_expr(less_expr(v, number(0)), v, number(0) - v));
  };
  const Expr part = minus_magnitude(remainder);
  const Expr rest = local(minus_magnitude(divisor) - part);
  Expr beyond = less_expr(part, rest), tie = equal(part, rest);
  Expr up = constant_expr(1);
  if (rounding == Rounding::kHalfUp) up = not_negative;
  if (rounding == Rounding::kHalfDown) up = negative;
  if (rounding == Rounding::kHalfTowardZero) up = constant_expr(0);
  if (rounding == Rounding::kHalfEven)
    up = binary_expr(ExprOp::kXor, equal(both(quotient, number(1)), number(0)), constant_expr(1));
  // A tie excludes being beyond, so the two never add up to 2.
  return beyond + both(tie, up);
}

Ranged ScalarCode::divide(Ranged a, Ranged b, IntegerRange result, Rounding rounding) {
  const Storage type = a.value.type;
  const auto number = [&](std::int64_t n) { return constant_expr(n, type); };
  const bool by_zero = b.range.min <= 0 && b.range.max >= 0;
  const Expr numerator = local(std::move(a.value));
  const Expr given = local(std::move(b.value));
  const Expr divisor =
      by_zero ? local(select_expr(equal(given, number(0)), number(1), given)) : given;
  const Expr quotient = local(binary_expr(ExprOp::kDivide, numerator, divisor));
  const Expr remainder = local(numerator - quotient * divisor);
  const bool positive = a.range.min >= 0 && b.range.min >= 0;
  const Expr negative =
      positive ? constant_expr(0)
               : local(less_expr(binary_expr(ExprOp::kXor, numerator, divisor), number(0)));
  const Expr up = round_up(quotient, remainder, divisor, negative, rounding);
  Expr rounded = quotient;
  if (up.op != ExprOp::kConstant) {
    const Expr step = convert_expr(local(up), type);
    rounded = quotient + (positive ? step : select_expr(negative, number(0) - step, step));
  }
  if (by_zero) rounded = select_expr(equal(given, number(0)), number(0), local(std::move(rounded)));
  return {std::move(rounded), result};
}

// Digit by digit: `root` holds the root's bits so far, `bit` two places further down in each round.
Ranged ScalarCode::square_root(Ranged x, IntegerRange result) {
  const Storage type = x.value.type;
  const auto number = [&](std::int64_t n) { return constant_expr(n, type); };
  const auto digits =
      static_cast<std::int64_t>((std::bit_width(static_cast<std::uint64_t>(x.range.max)) + 1) / 2);
  const Expr rest = variable(std::move(x.value), "rest");
  const Expr root = variable(number(0), "root");
  if (digits > 0) {
    const Expr bit = variable(number(std::int64_t{1} << (2 * (digits - 1))), "bit");
    Statements round;
    ScalarCode code(round, program_);
    const Expr trial = code.local(root + bit, "trial");
    const Expr fits = code.local(binary_expr(ExprOp::kLessEqual, trial, rest), "fits");
    code.append(assign_statement(rest.name, select_expr(fits, rest - trial, rest)));
    code.append(assign_statement(root.name, select_expr(fits, (root >> 1) + bit, root >> 1)));
    code.append(assign_statement(bit.name, bit >> 2));
    append(for_statement(program_.fresh("digit"), digits, std::move(round)));
  }
  return {root, result};
}

}  // namespace tandem
