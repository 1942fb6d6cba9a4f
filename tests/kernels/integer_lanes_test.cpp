#include "tandem/kernels/integer_lanes.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/random.h"
#include "tandem/kernels/instruction_set.h"
#include "tandem/numerics/square_root.h"
#include "tandem/tensor/tensor.h"

namespace tandem {
namespace {

// Every test runs with the portable code and with the best of this processor.
class IntegerLanes : public ::testing::TestWithParam<InstructionSet> {
 protected:
  void SetUp() override {
    if (!processor_has(GetParam())) GTEST_SKIP() << "this processor lacks the instruction set";
    before_ = instruction_set();
    set_instruction_set(GetParam());
  }
  void TearDown() override { set_instruction_set(before_); }
  InstructionSet before_ = instruction_set();
};

INSTANTIATE_TEST_SUITE_P(Sets, IntegerLanes,
                         ::testing::Values(InstructionSet::kPortable, InstructionSet::kAvx2));

template <typename Lane>
std::vector<Lane> random_lanes(std::uint64_t seed, std::size_t count, std::int64_t low,
                               std::int64_t high) {
  RandomSequence random(seed, "lanes");
  std::vector<Lane> lanes;
  for (std::size_t i = 0; i < count; ++i)
    lanes.push_back(static_cast<Lane>(random.integer(low, high)));
  return lanes;
}

constexpr std::size_t kCount = 67;  // no multiple of any vector

template <typename Lane>
void expect_loads_and_stores(Storage storage, std::int64_t low, std::int64_t high) {
  const auto lanes = random_lanes<Lane>(1, kCount, low, high);
  std::vector<std::byte> stored(kCount * 8);
  store_lanes(lanes.data(), kCount, storage, stored.data());
  std::vector<Lane> loaded(kCount);
  load_lanes(storage, stored.data(), kCount, loaded.data());
  EXPECT_EQ(loaded, lanes);
}

TEST_P(IntegerLanes, LoadsWhatItStored) {
  expect_loads_and_stores<std::int32_t>(Storage::kI8, -128, 127);
  expect_loads_and_stores<std::int32_t>(Storage::kU8, 0, 255);
  expect_loads_and_stores<std::int32_t>(Storage::kI16, -32768, 32767);
  expect_loads_and_stores<std::int32_t>(Storage::kU16, 0, 65535);
  expect_loads_and_stores<std::int32_t>(Storage::kI32, INT32_MIN, INT32_MAX);
  expect_loads_and_stores<std::int64_t>(Storage::kU32, 0, UINT32_MAX);
  expect_loads_and_stores<std::int64_t>(Storage::kI64, INT64_MIN, INT64_MAX);
  expect_loads_and_stores<std::int64_t>(Storage::kU64, 0, INT64_MAX);
}

TEST_P(IntegerLanes, RefusesFloatStorage) {
  std::int32_t lane = 0;
  float stored = 0;
  EXPECT_THROW(load_lanes(Storage::kF32, &stored, 1, &lane), InternalError);
}

TEST_P(IntegerLanes, CombinesLaneByLane) {
  const auto a = random_lanes<std::int32_t>(2, kCount, -30000, 30000);
  const auto b = random_lanes<std::int32_t>(3, kCount, -30000, 30000);
  std::vector<std::int32_t> sum(kCount), difference(kCount), product(kCount), most(kCount),
      least(kCount), accumulated = a;
  combine_lanes(LaneOp::kAdd, a.data(), b.data(), kCount, sum.data());
  combine_lanes(LaneOp::kSubtract, a.data(), b.data(), kCount, difference.data());
  combine_lanes(LaneOp::kMultiply, a.data(), b.data(), kCount, product.data());
  combine_lanes(LaneOp::kMax, a.data(), b.data(), kCount, most.data());
  combine_lanes(LaneOp::kMin, a.data(), b.data(), kCount, least.data());
  multiply_add_lanes(a.data(), b.data(), kCount, accumulated.data());
  for (std::size_t i = 0; i < kCount; ++i) {
    EXPECT_EQ(sum[i], a[i] + b[i]);
    EXPECT_EQ(difference[i], a[i] - b[i]);
    EXPECT_EQ(product[i], a[i] * b[i]);
    EXPECT_EQ(most[i], std::max(a[i], b[i]));
    EXPECT_EQ(least[i], std::min(a[i], b[i]));
    EXPECT_EQ(accumulated[i], a[i] + a[i] * b[i]);
  }
}

TEST_P(IntegerLanes, DividesWithEveryRounding) {
  const auto small = random_lanes<std::int64_t>(4, kCount, -50, 50);
  auto wide =
      random_lanes<std::int64_t>(5, kCount, -(std::int64_t{1} << 62), std::int64_t{1} << 62);
  wide[0] = INT64_MAX;
  wide[1] = INT64_MIN;
  wide[2] = INT64_MIN + 1;
  for (const auto& a : {small, wide}) {
    for (const std::int64_t most : {std::int64_t{7}, std::int64_t{1} << 40}) {
      auto b = random_lanes<std::int64_t>(6, kCount, -most, most);
      b[1] = 2;
      b[2] = -1;
      b[3] = 0;
      for (const Rounding rounding : kAllRoundings) {
        std::vector<std::int64_t> quotient(kCount);
        divide_lanes(a.data(), b.data(), kCount, rounding, quotient.data());
        for (std::size_t i = 0; i < kCount; ++i) {
          const Int128 expected = b[i] == 0 ? 0 : round_divide(a[i], b[i], rounding);
          EXPECT_EQ(quotient[i], static_cast<std::int64_t>(expected)) << name(rounding);
        }
      }
    }
  }
}

TEST_P(IntegerLanes, SquareRootsAreFloored) {
  auto narrow = random_lanes<std::int32_t>(9, kCount, 0, INT32_MAX);
  auto wide = random_lanes<std::int64_t>(10, kCount, 0, std::int64_t{1} << 62);
  // Beside squares the nearest number of 53 bits is that of the next root.
  for (std::size_t i = 0; i + 2 < kCount; i += 3) {
    const std::int64_t root = (std::int64_t{1} << 31) - 1 - static_cast<std::int64_t>(i);
    for (std::size_t k = 0; k < 3; ++k)
      wide[i + k] = root * root - 1 + static_cast<std::int64_t>(k);
  }
  const auto expect_floors = [](auto lanes) {
    const auto before = lanes;
    square_root_lanes(static_cast<std::int64_t>(lanes.size()), lanes.data());
    for (std::size_t i = 0; i < lanes.size(); ++i)
      EXPECT_EQ(lanes[i], floor_square_root(before[i])) << before[i];
  };
  expect_floors(narrow);
  expect_floors(wide);
}

TEST_P(IntegerLanes, Reduces) {
  const auto x = random_lanes<std::int32_t>(6, kCount, -1000, 1000);
  std::int32_t sum = 5;
  for (const std::int32_t value : x) sum += value;
  EXPECT_EQ(reduce_lanes(LaneOp::kAdd, x.data(), kCount, 5), sum);
  EXPECT_EQ(reduce_lanes(LaneOp::kMax, x.data(), kCount, -2000),
            *std::max_element(x.begin(), x.end()));
  EXPECT_EQ(reduce_lanes(LaneOp::kMax, x.data(), 0, -2000), -2000);
  EXPECT_THROW(reduce_lanes(LaneOp::kMin, x.data(), kCount, 0), InternalError);
}

TEST_P(IntegerLanes, ClampsAlsoToLimitsBeyondTheLanes) {
  auto x = random_lanes<std::int32_t>(7, kCount, -300, 300);
  const auto before = x;
  clamp_lanes(INT64_MIN, 100, kCount, x.data());
  for (std::size_t i = 0; i < kCount; ++i) EXPECT_EQ(x[i], std::min(before[i], 100));
  clamp_lanes(-50, INT64_MAX, kCount, x.data());
  for (std::size_t i = 0; i < kCount; ++i) EXPECT_EQ(x[i], std::clamp(before[i], -50, 100));
}

struct RescaleCase {
  std::vector<std::int64_t> multiplier, addend, shift, plain, correction;
};

RescaleCase rescale_case(Rounding rounding, std::int64_t most_multiplier, std::int64_t most_addend,
                         std::uint64_t seed) {
  RescaleCase constants;
  constants.multiplier =
      random_lanes<std::int64_t>(seed, kCount, -most_multiplier, most_multiplier);
  constants.addend = random_lanes<std::int64_t>(seed + 1, kCount, -most_addend, most_addend);
  constants.shift = random_lanes<std::int64_t>(seed + 2, kCount, 0, 12);
  constants.shift[0] = 0;
  constants.shift[1] = 62;
  for (const std::int64_t shift : constants.shift) {
    const RoundingTerms terms = rounding_terms(rounding, static_cast<int>(shift));
    constants.plain.push_back(terms.plain);
    constants.correction.push_back(terms.correction);
  }
  return constants;
}

// x = overflow(round((x * multiplier + addend) / 2^shift)), by the definition in numerics.
template <typename Lane>
void expect_rescaled(const RescaleMode& mode, std::int64_t most_x, std::int64_t most_multiplier,
                     std::int64_t most_addend, std::uint64_t seed) {
  const RescaleCase constants = rescale_case(mode.rounding, most_multiplier, most_addend, seed);
  const std::vector<Lane> multiplier(constants.multiplier.begin(), constants.multiplier.end());
  auto x = random_lanes<Lane>(seed + 3, kCount, -most_x, most_x);
  const auto before = x;
  rescale_lanes(
      mode,
      RescaleLanes<Lane>{multiplier.data(), constants.addend.data(), constants.shift.data(),
                         constants.plain.data(), constants.correction.data()},
      kCount, x.data());
  for (std::size_t i = 0; i < kCount; ++i) {
    const Int128 sum = Int128{before[i]} * constants.multiplier[i] + constants.addend[i];
    const Int128 rounded = round_shift(sum, static_cast<int>(constants.shift[i]), mode.rounding);
    ASSERT_EQ(x[i], apply_overflow(rounded, mode.bits, mode.is_signed, mode.overflow))
        << name(mode.rounding) << " " << name(mode.overflow) << " bits " << mode.bits << " x "
        << before[i] << " multiplier " << constants.multiplier[i] << " addend "
        << constants.addend[i] << " shift " << constants.shift[i];
  }
}

TEST_P(IntegerLanes, RescalesInEveryModeAsNumericsDefines) {
  std::uint64_t seed = 100;
  for (const Rounding rounding : kAllRoundings) {
    for (const Overflow overflow : kAllOverflows) {
      for (const bool is_signed : {false, true}) {
        for (const int bits : {1, 4, 8, 16, 31}) {
          const RescaleMode mode{rounding, overflow, bits, is_signed};
          expect_rescaled<std::int32_t>(mode, 40, 60, 500, seed += 10);
          expect_rescaled<std::int32_t>(mode, INT32_MAX, INT32_MAX - 1, 1000, seed += 10);
        }
        expect_rescaled<std::int64_t>({rounding, overflow, 40, is_signed}, std::int64_t{1} << 40,
                                      std::int64_t{1} << 20, std::int64_t{1} << 60, seed += 10);
        expect_rescaled<std::int64_t>({rounding, overflow, 62, is_signed}, std::int64_t{1} << 20,
                                      std::int64_t{1} << 40, std::int64_t{1} << 61, seed += 10);
      }
      expect_rescaled<std::int64_t>({rounding, overflow, 64, true}, 1 << 20, 1 << 20, 1 << 20,
                                    seed += 10);
    }
  }
}

TEST_P(IntegerLanes, LooksUpTables) {
  std::vector<std::int32_t> table;
  for (std::int32_t i = 0; i < 32; ++i) table.push_back(1000 - 7 * i);
  auto x = random_lanes<std::int32_t>(8, kCount, -8, 7);
  const auto before = x;
  table_lanes<std::int32_t>(table.data(), nullptr, -8, kCount, x.data());
  for (std::size_t i = 0; i < kCount; ++i) EXPECT_EQ(x[i], 1000 - 7 * (before[i] + 8));
  x = before;
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < kCount; ++i) rows.push_back(i % 2 == 0 ? 0 : 16);
  table_lanes(table.data(), rows.data(), -8, kCount, x.data());
  for (std::size_t i = 0; i < kCount; ++i)
    EXPECT_EQ(x[i], 1000 - 7 * (before[i] + 8 + (i % 2 == 0 ? 0 : 16)));
}

TEST_P(IntegerLanes, CountsAndSearchesThresholdsAlike) {
  constexpr std::int64_t kLevels = 7;
  // One row of ascending thresholds per lane, with equal neighbours among them.
  std::vector<std::int32_t> by_row, by_level(kCount * kLevels);
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < kCount; ++i) {
    auto row = random_lanes<std::int32_t>(20 + i, kLevels, -20, 20);
    std::sort(row.begin(), row.end());
    rows.push_back(static_cast<std::int64_t>(i) * kLevels);
    for (std::size_t level = 0; level < kLevels; ++level) by_level[level * kCount + i] = row[level];
    by_row.insert(by_row.end(), row.begin(), row.end());
  }
  auto counted = random_lanes<std::int32_t>(9, kCount, -25, 25);
  auto searched = counted;
  const auto before = counted;
  count_levels(by_level.data(), kLevels, kCount, -3, 2, kCount, counted.data());
  search_levels(by_row.data(), rows.data(), kLevels, -3, 2, kCount, searched.data());
  EXPECT_EQ(counted, searched);
  for (std::size_t i = 0; i < kCount; ++i) {
    std::int32_t passed = 0;
    for (std::size_t level = 0; level < kLevels; ++level)
      passed += by_row[i * kLevels + level] <= before[i] ? 1 : 0;
    EXPECT_EQ(counted[i], -3 + 2 * passed);
  }
}

TEST(InstructionSet, RefusesWhatTheProcessorLacks) {
  EXPECT_TRUE(processor_has(InstructionSet::kPortable));
  if (processor_has(InstructionSet::kAvx2)) GTEST_SKIP() << "this processor has them all";
  EXPECT_THROW(set_instruction_set(InstructionSet::kAvx2), InternalError);
}

}  // namespace
}  // namespace tandem
