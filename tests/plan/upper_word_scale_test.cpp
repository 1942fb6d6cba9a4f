#include "tandem/plan/upper_word_scale.h"

#include <gtest/gtest.h>

#include "tandem/base/random.h"
#include "tandem/numerics/rounding.h"
#include "tandem/plan/loop_program.h"

namespace tandem {
namespace {

std::int64_t exact(const ScalePoint& point, std::int64_t x) {
  const Int128 sum = Int128{x} * point.multiplier + point.addend;
  return static_cast<std::int64_t>(sum >> point.shift);
}

std::int64_t by_upper_word(const UpperWordScale& scale, std::size_t i, std::int64_t x) {
  const std::int64_t product = ((x + scale.biases[i]) << scale.left) * scale.multipliers[i];
  const std::int64_t high =
      scale.doubled ? (2 * product + (std::int64_t{1} << 31)) >> 32 : product >> 32;
  EXPECT_GE(high, scale.high.min);
  EXPECT_LE(high, scale.high.max);
  if (scale.whole) return high;
  return ((high >> scale.shifts[i]) + scale.halves) >> 1;
}

TEST(UpperWordScale, EqualsTheScaleThatItWasMadeOf) {
  RandomSequence random(CounterRandom(1, "upper word"));
  for (int round = 0; round < 200; ++round) {
    const std::int64_t left = random.chance(0.5) ? random.integer(0, 20) : 0;
    const std::int64_t most = left == 0 ? 1 << 22 : 1 << 8;
    const IntegerRange x = {-random.integer(1, most), random.integer(1, most)};
    const std::int64_t zero = random.integer(-128, 127), half = random.integer(0, 1);
    const bool doubled = random.chance(0.5), whole = doubled && random.chance(0.2);
    std::vector<ScalePoint> points;
    for (std::int64_t i = random.integer(1, 5); i > 0; --i) {
      ScalePoint point{random.integer(1 << 29, INT32_MAX), 0,
                       whole ? 31 - left : random.integer(33, 44)};
      const std::int64_t bias = random.integer(-100000, 100000) >> (whole ? left / 2 : 0);
      point.addend =
          bias * point.multiplier + (2 * zero + half) * (std::int64_t{1} << (point.shift - 1));
      if (!whole && random.chance(0.3)) {
        // One or two values: a channel that is switched off.
        const std::int64_t first = random.integer(x.min - 1, x.max + 1);
        const std::int64_t high = zero + random.integer(-3, 3);
        point = {1, 0, 30};
        point.addend = high * (std::int64_t{1} << 30) - first;
        if (first <= x.min || first > x.max) point = {0, high, 0};
        points.push_back(point);
        continue;
      }
      if (whole) point.addend = bias * point.multiplier;
      if (doubled) point.addend += 1 << (whole ? 30 - left : 30);
      points.push_back(point);
    }
    const auto scale = upper_word_scale(points, x, {-128, 127});
    ASSERT_TRUE(scale) << round;
    for (std::size_t i = 0; i < points.size(); ++i)
      for (int sample = 0; sample < 200; ++sample) {
        const std::int64_t value = sample == 0   ? x.min
                                   : sample == 1 ? x.max
                                                 : random.integer(x.min, x.max);
        ASSERT_EQ(by_upper_word(*scale, i, value), exact(points[i], value));
      }
  }
}

TEST(UpperWordScale, NeedsAddendsOfABiasAndAZeroPoint) {
  const std::int64_t multiplier = 1'500'000'001;
  EXPECT_FALSE(upper_word_scale(std::vector<ScalePoint>{{multiplier, 12345, 36}}, {-1000, 1000},
                                {-128, 127}));
  EXPECT_FALSE(upper_word_scale(std::vector<ScalePoint>{{(std::int64_t{1} << 40) + 1, 0, 50}},
                                {-1000000, 1000000}, {-128, 127}));
  EXPECT_FALSE(
      upper_word_scale(std::vector<ScalePoint>{{multiplier, 0, 31}}, {-1000, 1000}, {-128, 127}));
}

}  // namespace
}  // namespace tandem
