#include "tandem/base/random.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using Counter = std::array<std::uint32_t, 4>;

// The known answers of the Random123 distribution.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(CounterRandom, SeedsStreamsAndSubstreamsDiffer) {
  std::set<std::uint64_t> seen;
  for (const std::uint64_t seed : {0u, 1u}) {
    for (const std::uint64_t stream : {0u, 1u}) {
      const CounterRandom random(seed, stream);
      seen.insert(random.bits(0));
      seen.insert(random.bits(1));
      seen.insert(random.substream(0).bits(0));
      seen.insert(random.substream(1).bits(0));
    }
  }
  seen.insert(CounterRandom(0, "a").bits(0));
  seen.insert(CounterRandom(0, "b").bits(0));
  EXPECT_EQ(seen.size(), 18u);
  EXPECT_EQ(CounterRandom(5, "a").bits(7), CounterRandom(5, "a").bits(7));
}

TEST(CounterRandom, UniformFillsTheUnitInterval) {
  const CounterRandom random(1, "uniform");
  constexpr int kCount = 20'000;
  std::array<int, 10> bins{};
  for (int i = 0; i < kCount; ++i) {
    const double value = random.uniform(static_cast<std::uint64_t>(i));
    ASSERT_GE(value, 0);
    ASSERT_LT(value, 1);
    ++bins.at(static_cast<std::size_t>(value * 10));
  }
  constexpr double kExpected = kCount / 10.0;
  double chi_squared = 0;
  for (const int bin : bins) chi_squared += std::pow(bin - kExpected, 2) / kExpected;
  EXPECT_LT(chi_squared, 27.9);  // 9 degrees of freedom, p = 0.001
}

TEST(CounterRandom, IntegersStayInTheirRangeWithoutBias) {
  const CounterRandom random(2, "integer");
  std::array<int, 7> bins{};
  for (std::uint64_t i = 0; i < 14'000; ++i)
    ++bins.at(static_cast<std::size_t>(random.integer(i, -3, 3) + 3));
  double chi_squared = 0;
  for (const int bin : bins) chi_squared += std::pow(bin - 2000, 2) / 2000.0;
  EXPECT_LT(chi_squared, 22.5);  // 6 degrees of freedom, p = 0.001

  // Of 3 * 2^62 values the modulo method would draw the lowest 2^62 twice as often as the others.
  constexpr std::int64_t kLow = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t kThird = std::int64_t{1} << 62;
  int lowest_third = 0;
  for (std::uint64_t i = 0; i < 9000; ++i)
    lowest_third += random.integer(i, kLow, kThird - 1) < kLow + kThird;
  EXPECT_NEAR(lowest_third, 3000, 180);  // four standard deviations

  EXPECT_EQ(random.integer(0, 5, 5), 5);
  EXPECT_NO_THROW(random.integer(0, kLow, std::numeric_limits<std::int64_t>::max()));
  EXPECT_THROW(random.integer(0, 1, 0), InternalError);
}

TEST(CounterRandom, NormalHasTheMomentsOfANormal) {
  const CounterRandom random(3, "normal");
  constexpr std::uint64_t kCount = 50'000;
  double sum = 0;
  double squares = 0;
  double fourth = 0;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    const double value = random.normal(i);
    sum += value;
    squares += value * value;
    fourth += std::pow(value, 4);
  }
  const double n = static_cast<double>(kCount);
  EXPECT_NEAR(sum / n, 0, 4 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1, 4 * std::sqrt(2 / n));
  EXPECT_NEAR(fourth / n, 3, 4 * std::sqrt(96 / n));
}

// The logarithm and cosine of our own against those of the host, on the same draws.
TEST(CounterRandom, NormalIsBoxAndMullers) {
  const std::uint64_t seed = 0x123456789abcdef0;
  const CounterRandom random(seed, std::uint64_t{77});
  const auto derived = philox4x32({77, 0, 0, 1}, {0x9abcdef0, 0x12345678});
  for (std::uint32_t i = 0; i < 2000; ++i) {
    const auto words = philox4x32({i, 0, 0, 0}, {derived[0], derived[1]});
    const auto unit = [](std::uint32_t low, std::uint32_t high) {
      return std::ldexp(static_cast<double>((std::uint64_t{high} << 32 | low) >> 11), -53);
    };
    ASSERT_EQ(random.uniform(i), unit(words[0], words[1]));
    const double radius = std::sqrt(-2 * std::log(unit(words[0], words[1]) + 0x1p-53));
    const double angle = 2 * std::numbers::pi * unit(words[2], words[3]);
    ASSERT_NEAR(random.normal(i), radius * std::cos(angle), 4e-15);
  }
}

TEST(CounterRandom, NormalIsFixedForAllMachines) {
  const CounterRandom random(0, "normal");
  std::uint64_t hash = 0;
  for (std::uint64_t i = 0; i < 1000; ++i)
    hash = hash * 0x9E3779B97F4A7C15 + std::bit_cast<std::uint64_t>(random.normal(i));
  EXPECT_EQ(hash, 4715220804459740328u);
}

TEST(RandomSequence, CountsTheIndexUp) {
  const CounterRandom random(4, "sequence");
  RandomSequence sequence(random);
  EXPECT_EQ(sequence.bits(), random.bits(0));
  EXPECT_EQ(sequence.uniform(), random.uniform(1));
  EXPECT_EQ(sequence.integer(0, 99), random.integer(2, 0, 99));
  EXPECT_EQ(sequence.normal(), random.normal(3));
}

TEST(RandomPermutation, HoldsEveryNumberOnceAndReachesEveryOrder) {
  std::vector<std::int64_t> order = random_permutation(1000, CounterRandom(1, "order"));
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  for (std::size_t i = 0; i < order.size(); ++i) ASSERT_EQ(order[i], static_cast<std::int64_t>(i));
  std::set<std::vector<std::int64_t>> orders;
  for (std::uint64_t i = 0; i < 200; ++i)
    orders.insert(random_permutation(3, CounterRandom(i, "order")));
  EXPECT_EQ(orders.size(), 6u);
  EXPECT_TRUE(random_permutation(0, CounterRandom(1, "order")).empty());
}

}  // namespace
}  // namespace tandem
