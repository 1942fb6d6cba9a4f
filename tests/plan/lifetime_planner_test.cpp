#include "tandem/plan/lifetime_planner.h"

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "tandem/base/random.h"

namespace tandem {
namespace {

bool overlap(const LifetimeBlock& a, const LifetimeBlock& b) {
  return a.first_step <= b.last_step && b.first_step <= a.last_step;
}

void expect_valid(const std::vector<LifetimeBlock>& blocks, const LifetimeLayout& layout) {
  ASSERT_EQ(layout.offsets.size(), blocks.size());
  std::int64_t peak = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    EXPECT_GE(layout.offsets[i], 0);
    EXPECT_EQ(layout.offsets[i] % blocks[i].alignment, 0);
    peak = std::max(peak, layout.offsets[i] + blocks[i].bytes);
    for (std::size_t j = 0; j < i; ++j) {
      const bool apart = layout.offsets[i] + blocks[i].bytes <= layout.offsets[j] ||
                         layout.offsets[j] + blocks[j].bytes <= layout.offsets[i];
      EXPECT_TRUE(apart || !overlap(blocks[i], blocks[j])) << i << " and " << j;
    }
  }
  EXPECT_EQ(layout.peak_bytes, peak);
  EXPECT_GE(layout.peak_bytes, layout.bound_bytes);
}

std::vector<LifetimeBlock> random_blocks(std::uint64_t seed, std::size_t count) {
  RandomSequence random(seed, "test/lifetimes");
  std::vector<LifetimeBlock> blocks;
  for (std::size_t i = 0; i < count; ++i) {
    const auto first = static_cast<std::size_t>(random.integer(0, 6));
    blocks.push_back({random.integer(1, 9), random.chance(0.3) ? 4 : 1, first,
                      first + static_cast<std::size_t>(random.integer(0, 3))});
  }
  return blocks;
}

// The least peak over every assignment of offsets: slow, and nothing like the planner.
std::int64_t brute_force(const std::vector<LifetimeBlock>& blocks, std::int64_t limit) {
  std::vector<std::int64_t> offsets(blocks.size(), 0);
  std::int64_t best = limit;
  const auto place = [&](const auto& self, std::size_t i, std::int64_t peak) -> void {
    if (peak >= best) return;
    if (i == blocks.size()) {
      best = peak;
      return;
    }
    for (std::int64_t at = 0; at + blocks[i].bytes < best; at += blocks[i].alignment) {
      bool fits = true;
      for (std::size_t j = 0; fits && j < i; ++j)
        fits = !overlap(blocks[i], blocks[j]) || at + blocks[i].bytes <= offsets[j] ||
               offsets[j] + blocks[j].bytes <= at;
      if (!fits) continue;
      offsets[i] = at;
      self(self, i + 1, std::max(peak, at + blocks[i].bytes));
    }
  };
  place(place, 0, 0);
  return best;
}

TEST(LifetimePlanner, SharesBytesBetweenBlocksThatAreNeverAliveTogether) {
  // A chain of layers: each value lives from its step to the next.
  const LifetimeLayout layout =
      plan_lifetimes({{100, 1, 0, 1}, {50, 1, 1, 2}, {80, 1, 2, 3}, {30, 1, 3, 4}});
  EXPECT_EQ(layout.bound_bytes, 150);
  EXPECT_EQ(layout.peak_bytes, 150);
  EXPECT_TRUE(layout.optimal);
}

TEST(LifetimePlanner, NothingTakesNothing) {
  const LifetimeLayout layout = plan_lifetimes({});
  EXPECT_EQ(layout.peak_bytes, 0);
  EXPECT_TRUE(layout.optimal);
}

TEST(LifetimePlanner, SmallLayoutsAreAsLowAsBruteForceFinds) {
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    const std::vector<LifetimeBlock> blocks = random_blocks(seed, 6);
    const LifetimeLayout layout = plan_lifetimes(blocks);
    expect_valid(blocks, layout);
    EXPECT_TRUE(layout.optimal);
    EXPECT_EQ(layout.peak_bytes, brute_force(blocks, layout.peak_bytes + 1)) << "seed " << seed;
  }
}

TEST(LifetimePlanner, LargeLayoutsAreValidAndNearTheBound) {
  double excess = 0;
  constexpr int kLayouts = 60;
  for (std::uint64_t seed = 0; seed < kLayouts; ++seed) {
    const std::vector<LifetimeBlock> blocks = random_blocks(seed, 40);
    const LifetimeLayout layout = plan_lifetimes(blocks);
    expect_valid(blocks, layout);
    EXPECT_EQ(layout.optimal, layout.peak_bytes == layout.bound_bytes);
    excess += static_cast<double>(layout.peak_bytes) / static_cast<double>(layout.bound_bytes) - 1;
  }
  EXPECT_LT(excess / kLayouts, 0.1);
}

}  // namespace
}  // namespace tandem
