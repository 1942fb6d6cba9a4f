#include "tandem/kernels/integer_lanes.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tandem/base/error.h"
#include "tandem/kernels/instruction_set.h"
#include "tandem/numerics/overflow.h"
#include "tandem/tensor/tensor.h"

namespace tandem {
namespace {

#define TANDEM_INLINE [[gnu::always_inline]] inline

struct Convert {
  template <typename From, typename To>
  TANDEM_INLINE static void run(const From* from, std::int64_t count, To* to) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<To>(from[i]);
  }
};

struct Add {
  template <typename Lane>
  TANDEM_INLINE static Lane of(Lane a, Lane b) {
    return a + b;
  }
};
struct Subtract {
  template <typename Lane>
  TANDEM_INLINE static Lane of(Lane a, Lane b) {
    return a - b;
  }
};
struct Multiply {
  template <typename Lane>
  TANDEM_INLINE static Lane of(Lane a, Lane b) {
    return a * b;
  }
};
struct Greater {
  template <typename Lane>
  TANDEM_INLINE static Lane of(Lane a, Lane b) {
    return a > b ? a : b;
  }
};
struct Lesser {
  template <typename Lane>
  TANDEM_INLINE static Lane of(Lane a, Lane b) {
    return a < b ? a : b;
  }
};

template <typename Op>
struct Combine {
  template <typename Lane>
  TANDEM_INLINE static void run(const Lane* a, const Lane* b, std::int64_t count, Lane* to) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = Op::of(a[i], b[i]);
  }
};

template <typename Op>
struct Reduce {
  template <typename Lane>
  TANDEM_INLINE static void run(const Lane* x, std::int64_t count, Lane* result) {
    Lane joined = *result;
    for (std::int64_t i = 0; i < count; ++i) joined = Op::of(joined, x[i]);
    *result = joined;
  }
};

struct MultiplyAdd {
  template <typename Lane>
  TANDEM_INLINE static void run(const Lane* a, const Lane* b, std::int64_t count, Lane* sum) {
    for (std::int64_t i = 0; i < count; ++i) sum[i] += a[i] * b[i];
  }
};

struct Clamp {
  template <typename Lane>
  TANDEM_INLINE static void run(Lane low, Lane high, std::int64_t count, Lane* x) {
    for (std::int64_t i = 0; i < count; ++i) x[i] = x[i] < low ? low : x[i] > high ? high : x[i];
  }
};

// Shifts by a variable amount as unsigned numbers, which every vector unit can: 2^62 is a multiple
// of every 2^s here and makes the sum non-negative.
TANDEM_INLINE std::int64_t floor_shift(std::int64_t value, std::int64_t shift) {
  constexpr std::uint64_t kBias = std::uint64_t{1} << 62;
  const std::uint64_t biased = static_cast<std::uint64_t>(value) + kBias;
  return static_cast<std::int64_t>((biased >> shift) - (kBias >> shift));
}

template <CorrectionWhere kWhere, Overflow kOverflow>
struct RescaleKernel {
  template <typename Lane>
  TANDEM_INLINE static void run(RescaleMode mode, IntegerRange range, RescaleLanes<Lane> constants,
                                std::int64_t count, Lane* x) {
    const std::uint64_t mask = ~std::uint64_t{0} >> (64 - mode.bits);
    const std::uint64_t middle = mode.is_signed ? std::uint64_t{1} << (mode.bits - 1) : 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t shift = constants.shift[i];
      const std::int64_t sum =
          std::int64_t{x[i]} * std::int64_t{constants.multiplier[i]} + constants.addend[i];
      std::int64_t value = sum + constants.plain[i];
      if constexpr (kWhere == CorrectionWhere::kNegative)
        value += sum < 0 ? constants.correction[i] : 0;
      if constexpr (kWhere == CorrectionWhere::kOdd)
        value += floor_shift(sum, shift) & constants.correction[i];
      value = floor_shift(value, shift);
      if constexpr (kOverflow == Overflow::kWrap) {
        value = static_cast<std::int64_t>(((static_cast<std::uint64_t>(value) + middle) & mask) -
                                          middle);
      } else if constexpr (kOverflow == Overflow::kSaturateZero) {
        value = value < range.min || value > range.max ? 0 : value;
      } else {
        value = value < range.min ? range.min : value > range.max ? range.max : value;
      }
      x[i] = static_cast<Lane>(value);
    }
  }
};

struct TableKernel {
  template <typename Lane>
  TANDEM_INLINE static void run(const Lane* table, std::int64_t least, std::int64_t count,
                                Lane* x) {
    for (std::int64_t i = 0; i < count; ++i) x[i] = table[x[i] - least];
  }
};

struct LevelCount {
  template <typename Lane>
  TANDEM_INLINE static void run(const Lane* thresholds, std::int64_t levels, std::int64_t pitch,
                                Lane base, Lane step, std::int64_t count, Lane* x) {
    constexpr std::int64_t kBlock = 64;
    Lane passed[kBlock];
    for (std::int64_t begin = 0; begin < count; begin += kBlock) {
      const std::int64_t size = std::min(kBlock, count - begin);
      for (std::int64_t i = 0; i < size; ++i) passed[i] = base;
      for (std::int64_t level = 0; level < levels; ++level) {
        const Lane* of_level = thresholds + level * pitch + begin;
        for (std::int64_t i = 0; i < size; ++i)
          passed[i] += of_level[i] <= x[begin + i] ? step : Lane{0};
      }
      for (std::int64_t i = 0; i < size; ++i) x[begin + i] = passed[i];
    }
  }
};

template <CorrectionWhere kWhere, typename Lane>
void rescale_with(const RescaleMode& mode, IntegerRange range, const RescaleLanes<Lane>& constants,
                  std::int64_t count, Lane* x) {
  switch (mode.overflow) {
    case Overflow::kWrap:
      return run_kernel<RescaleKernel<kWhere, Overflow::kWrap>>(mode, range, constants, count, x);
    case Overflow::kSaturateZero:
      return run_kernel<RescaleKernel<kWhere, Overflow::kSaturateZero>>(mode, range, constants,
                                                                        count, x);
    case Overflow::kSaturate:
    case Overflow::kSaturateSymmetric:
      return run_kernel<RescaleKernel<kWhere, Overflow::kSaturate>>(mode, range, constants, count,
                                                                    x);
  }
  throw InternalError("unknown overflow");
}

}  // namespace

template <typename Lane>
void load_lanes(Storage storage, const void* from, std::int64_t count, Lane* to) {
  visit_storage(storage, [&]<typename Stored>() {
    if constexpr (std::is_integral_v<Stored>) {
      run_kernel<Convert>(static_cast<const Stored*>(from), count, to);
    } else {
      throw InternalError("lanes are integers");
    }
  });
}

template <typename Lane>
void store_lanes(const Lane* from, std::int64_t count, Storage storage, void* to) {
  visit_storage(storage, [&]<typename Stored>() {
    if constexpr (std::is_integral_v<Stored>) {
      run_kernel<Convert>(from, count, static_cast<Stored*>(to));
    } else {
      throw InternalError("lanes are integers");
    }
  });
}

template <typename Lane>
void combine_lanes(LaneOp op, const Lane* a, const Lane* b, std::int64_t count, Lane* to) {
  switch (op) {
    case LaneOp::kAdd: return run_kernel<Combine<Add>>(a, b, count, to);
    case LaneOp::kSubtract: return run_kernel<Combine<Subtract>>(a, b, count, to);
    case LaneOp::kMultiply: return run_kernel<Combine<Multiply>>(a, b, count, to);
    case LaneOp::kMax: return run_kernel<Combine<Greater>>(a, b, count, to);
    case LaneOp::kMin: return run_kernel<Combine<Lesser>>(a, b, count, to);
  }
  throw InternalError("unknown operation on lanes");
}

namespace {

// round_divide() by the processor's own division: |a| and |b| are at most 2^62, b is not 0.
template <Rounding rounding>
std::int64_t rounded_quotient(std::int64_t a, std::int64_t b) {
  const std::int64_t quotient = a / b, remainder = a % b;
  if (remainder == 0) return quotient;
  const bool negative = (a < 0) != (b < 0);
  const std::int64_t part = std::abs(remainder), rest = std::abs(b) - part;
  const bool beyond = part > rest, tie = part == rest;
  bool away = false;  // from zero
  switch (rounding) {
    case Rounding::kFloor: away = negative; break;
    case Rounding::kTowardZero: break;
    case Rounding::kHalfUp: away = beyond || (tie && !negative); break;
    case Rounding::kHalfTowardZero: away = beyond; break;
    case Rounding::kHalfDown: away = beyond || (tie && negative); break;
    case Rounding::kHalfAwayFromZero: away = beyond || tie; break;
    case Rounding::kHalfEven: away = beyond || (tie && quotient % 2 != 0); break;
    case Rounding::kCeiling: away = !negative; break;
    case Rounding::kAwayFromZero: away = true; break;
  }
  return away ? quotient + (negative ? -1 : 1) : quotient;
}

template <Rounding rounding, typename Lane>
void divide_with(const Lane* a, const Lane* b, std::int64_t count, Lane* to) {
  constexpr std::int64_t kMost = std::int64_t{1} << 62;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t x = a[i], y = b[i];
    if (y == 0) {
      to[i] = 0;
    } else if (std::min(x, y) >= -kMost && std::max(x, y) <= kMost) {
      to[i] = static_cast<Lane>(rounded_quotient<rounding>(x, y));
    } else {
      to[i] = static_cast<Lane>(round_divide(x, y, rounding));
    }
  }
}

}  // namespace

template <typename Lane>
void divide_lanes(const Lane* a, const Lane* b, std::int64_t count, Rounding rounding, Lane* to) {
  switch (rounding) {
    case Rounding::kFloor: return divide_with<Rounding::kFloor>(a, b, count, to);
    case Rounding::kTowardZero: return divide_with<Rounding::kTowardZero>(a, b, count, to);
    case Rounding::kHalfUp: return divide_with<Rounding::kHalfUp>(a, b, count, to);
    case Rounding::kHalfTowardZero: return divide_with<Rounding::kHalfTowardZero>(a, b, count, to);
    case Rounding::kHalfDown: return divide_with<Rounding::kHalfDown>(a, b, count, to);
    case Rounding::kHalfAwayFromZero:
      return divide_with<Rounding::kHalfAwayFromZero>(a, b, count, to);
    case Rounding::kHalfEven: return divide_with<Rounding::kHalfEven>(a, b, count, to);
    case Rounding::kCeiling: return divide_with<Rounding::kCeiling>(a, b, count, to);
    case Rounding::kAwayFromZero: return divide_with<Rounding::kAwayFromZero>(a, b, count, to);
  }
}

template <typename Lane>
void square_root_lanes(std::int64_t count, Lane* x) {
  for (std::int64_t i = 0; i < count; ++i) {
    // Rounded to the nearest number of 53 bits, so one beside the floor at most.
    const auto value = static_cast<std::uint64_t>(x[i]);
    auto root = static_cast<std::uint64_t>(std::sqrt(static_cast<double>(value)));
    while (root * root > value) --root;
    while ((root + 1) * (root + 1) <= value) ++root;
    x[i] = static_cast<Lane>(root);
  }
}

template <typename Lane>
void multiply_add_lanes(const Lane* a, const Lane* b, std::int64_t count, Lane* sum) {
  run_kernel<MultiplyAdd>(a, b, count, sum);
}

template <typename Lane>
Lane reduce_lanes(LaneOp op, const Lane* x, std::int64_t count, Lane start) {
  ensure(op == LaneOp::kAdd || op == LaneOp::kMax, "reduce_lanes adds or takes the maximum");
  Lane result = start;
  if (op == LaneOp::kAdd) {
    run_kernel<Reduce<Add>>(x, count, &result);
  } else {
    run_kernel<Reduce<Greater>>(x, count, &result);
  }
  return result;
}

template <typename Lane>
void clamp_lanes(std::int64_t low, std::int64_t high, std::int64_t count, Lane* x) {
  using Limits = std::numeric_limits<Lane>;
  const auto within = [](std::int64_t value) {
    return static_cast<Lane>(std::clamp<std::int64_t>(value, Limits::min(), Limits::max()));
  };
  run_kernel<Clamp>(within(low), within(high), count, x);
}

CorrectionWhere correction_where(Rounding rounding) {
  switch (rounding) {
    case Rounding::kFloor:
    case Rounding::kCeiling:
    case Rounding::kHalfUp:
    case Rounding::kHalfDown: return CorrectionWhere::kNever;
    case Rounding::kTowardZero:
    case Rounding::kAwayFromZero:
    case Rounding::kHalfTowardZero:
    case Rounding::kHalfAwayFromZero: return CorrectionWhere::kNegative;
    case Rounding::kHalfEven: return CorrectionWhere::kOdd;
  }
  throw InternalError("unknown rounding");
}

RoundingTerms rounding_terms(Rounding rounding, int shift) {
  if (shift == 0) return {};
  const std::int64_t rest = (std::int64_t{1} << shift) - 1, half = std::int64_t{1} << (shift - 1);
  switch (rounding) {
    case Rounding::kFloor: return {0, 0};
    case Rounding::kTowardZero: return {0, rest};
    case Rounding::kHalfUp: return {half, 0};
    case Rounding::kHalfTowardZero: return {half - 1, 1};
    case Rounding::kHalfDown: return {half - 1, 0};
    case Rounding::kHalfAwayFromZero: return {half, -1};
    case Rounding::kHalfEven: return {half - 1, 1};
    case Rounding::kCeiling: return {rest, 0};
    case Rounding::kAwayFromZero: return {rest, -rest};
  }
  throw InternalError("unknown rounding");
}

template <typename Lane>
void rescale_lanes(const RescaleMode& mode, const RescaleLanes<Lane>& constants, std::int64_t count,
                   Lane* x) {
  const IntegerRange range = kept_range(integer_range(mode.bits, mode.is_signed), mode.overflow);
  switch (correction_where(mode.rounding)) {
    case CorrectionWhere::kNever:
      return rescale_with<CorrectionWhere::kNever>(mode, range, constants, count, x);
    case CorrectionWhere::kNegative:
      return rescale_with<CorrectionWhere::kNegative>(mode, range, constants, count, x);
    case CorrectionWhere::kOdd:
      return rescale_with<CorrectionWhere::kOdd>(mode, range, constants, count, x);
  }
}

template <typename Lane>
void table_lanes(const Lane* table, const std::int64_t* row, std::int64_t least, std::int64_t count,
                 Lane* x) {
  if (row == nullptr) return run_kernel<TableKernel>(table, least, count, x);
  for (std::int64_t i = 0; i < count; ++i) x[i] = table[row[i] + x[i] - least];
}

template <typename Lane>
void count_levels(const Lane* thresholds, std::int64_t levels, std::int64_t pitch,
                  std::int64_t base, std::int64_t step, std::int64_t count, Lane* x) {
  run_kernel<LevelCount>(thresholds, levels, pitch, static_cast<Lane>(base),
                         static_cast<Lane>(step), count, x);
}

template <typename Lane>
void search_levels(const Lane* thresholds, const std::int64_t* row, std::int64_t levels,
                   std::int64_t base, std::int64_t step, std::int64_t count, Lane* x) {
  for (std::int64_t i = 0; i < count; ++i) {
    const Lane* first = thresholds + (row == nullptr ? 0 : row[i]);
    const std::int64_t passed = std::upper_bound(first, first + levels, x[i]) - first;
    x[i] = static_cast<Lane>(base + step * passed);
  }
}

// NOLINTBEGIN(bugprone-macro-parentheses): Lane is a type
#define TANDEM_LANES(Lane)                                                                        \
  template void load_lanes<Lane>(Storage, const void*, std::int64_t, Lane*);                      \
  template void store_lanes<Lane>(const Lane*, std::int64_t, Storage, void*);                     \
  template void combine_lanes<Lane>(LaneOp, const Lane*, const Lane*, std::int64_t, Lane*);       \
  template void divide_lanes<Lane>(const Lane*, const Lane*, std::int64_t, Rounding, Lane*);      \
  template void square_root_lanes<Lane>(std::int64_t, Lane*);                                     \
  template void multiply_add_lanes<Lane>(const Lane*, const Lane*, std::int64_t, Lane*);          \
  template Lane reduce_lanes<Lane>(LaneOp, const Lane*, std::int64_t, Lane);                      \
  template void clamp_lanes<Lane>(std::int64_t, std::int64_t, std::int64_t, Lane*);               \
  template void rescale_lanes<Lane>(const RescaleMode&, const RescaleLanes<Lane>&, std::int64_t,  \
                                    Lane*);                                                       \
  template void table_lanes<Lane>(const Lane*, const std::int64_t*, std::int64_t, std::int64_t,   \
                                  Lane*);                                                         \
  template void count_levels<Lane>(const Lane*, std::int64_t, std::int64_t, std::int64_t,         \
                                   std::int64_t, std::int64_t, Lane*);                            \
  template void search_levels<Lane>(const Lane*, const std::int64_t*, std::int64_t, std::int64_t, \
                                    std::int64_t, std::int64_t, Lane*);
// NOLINTEND(bugprone-macro-parentheses)
TANDEM_LANES(std::int32_t)
TANDEM_LANES(std::int64_t)

}  // namespace tandem
