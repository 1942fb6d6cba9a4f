#pragma once

#include <cstdint>

#include "tandem/numerics/format.h"
#include "tandem/numerics/rounding.h"

namespace tandem {

// Blocks of integers on their way from one storage to another: loaded as int32 or int64 lanes,
// computed on, and stored. Lane is std::int32_t or std::int64_t throughout; callers choose it so
// that nothing overflows. Constants come as one entry per lane.

// Elements of a storage as lanes and back; stored integers must fit the storage.
template <typename Lane>
void load_lanes(Storage storage, const void* from, std::int64_t count, Lane* to);
template <typename Lane>
void store_lanes(const Lane* from, std::int64_t count, Storage storage, void* to);

enum class LaneOp { kAdd, kSubtract, kMultiply, kMax, kMin };

// to[i] = a[i] op b[i]; `to` may be a or b.
template <typename Lane>
void combine_lanes(LaneOp op, const Lane* a, const Lane* b, std::int64_t count, Lane* to);

// to[i] = a[i] / b[i] rounded, 0 where b[i] is 0.
template <typename Lane>
void divide_lanes(const Lane* a, const Lane* b, std::int64_t count, Rounding rounding, Lane* to);

// The floor of the square root of each lane, which is not negative.
template <typename Lane>
void square_root_lanes(std::int64_t count, Lane* x);

// sum[i] += a[i] * b[i]
template <typename Lane>
void multiply_add_lanes(const Lane* a, const Lane* b, std::int64_t count, Lane* sum);

// The sum (kAdd) or maximum (kMax) of all lanes, joined to `start`.
template <typename Lane>
Lane reduce_lanes(LaneOp op, const Lane* x, std::int64_t count, Lane start);

template <typename Lane>
void clamp_lanes(std::int64_t low, std::int64_t high, std::int64_t count, Lane* x);

// What a rounded shift adds before it floors:
//   round(t / 2^s) = floor((t + plain + correction) / 2^s)
// where the correction counts always, for negative t, or for odd floor(t / 2^s).
enum class CorrectionWhere { kNever, kNegative, kOdd };
CorrectionWhere correction_where(Rounding rounding);
struct RoundingTerms {
  std::int64_t plain = 0, correction = 0;
};
RoundingTerms rounding_terms(Rounding rounding, int shift);

// x = overflow(round((x * multiplier + addend) / 2^shift)) in a format of so many bits.
struct RescaleMode {
  Rounding rounding = Rounding::kHalfEven;
  Overflow overflow = Overflow::kSaturate;
  int bits = 8;
  bool is_signed = true;
};
template <typename Lane>
struct RescaleLanes {
  const Lane* multiplier = nullptr;
  const std::int64_t* addend = nullptr;
  const std::int64_t* shift = nullptr;                         // 0 to 62
  const std::int64_t *plain = nullptr, *correction = nullptr;  // RoundingTerms
};
template <typename Lane>
void rescale_lanes(const RescaleMode& mode, const RescaleLanes<Lane>& constants, std::int64_t count,
                   Lane* x);

// x = table[row[i] + x - least]; `row` is null where all lanes use the first row.
template <typename Lane>
void table_lanes(const Lane* table, const std::int64_t* row, std::int64_t least, std::int64_t count,
                 Lane* x);

// x = base + step * number of thresholds <= x. Few thresholds: `levels` of them, each an array of
// one entry per lane, `pitch` elements apart. Many: the ascending thresholds of lane i start at
// thresholds + row[i] (row null: at the first).
template <typename Lane>
void count_levels(const Lane* thresholds, std::int64_t levels, std::int64_t pitch,
                  std::int64_t base, std::int64_t step, std::int64_t count, Lane* x);
template <typename Lane>
void search_levels(const Lane* thresholds, const std::int64_t* row, std::int64_t levels,
                   std::int64_t base, std::int64_t step, std::int64_t count, Lane* x);

}  // namespace tandem
