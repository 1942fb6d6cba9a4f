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

// Whether two blocks at these offsets may both be there.
bool agree(const std::vector<LifetimeBlock>& blocks, const std::vector<std::int64_t>& offsets,
           std::size_t a, std::size_t b) {
  if (!overlap(blocks[a], blocks[b])) return true;
  if (offsets[a] + blocks[a].bytes <= offsets[b] || offsets[b] + blocks[b].bytes <= offsets[a])
    return true;
  for (const auto& [born, dying] : {std::pair{a, b}, std::pair{b, a}})
    for (const Takeover& takeover : blocks[born].takeovers)
      if (takeover.dying == dying && offsets[dying] >= offsets[born] + takeover.distance)
        return true;
  return false;
}

void expect_valid(const std::vector<LifetimeBlock>& blocks, const LifetimeLayout& layout) {
  ASSERT_EQ(layout.offsets.size(), blocks.size());
  std::int64_t peak = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    EXPECT_GE(layout.offsets[i], 0);
    EXPECT_EQ(layout.offsets[i] % blocks[i].alignment, 0);
    peak = std::max(peak, layout.offsets[i] + blocks[i].bytes);
    for (std::size_t j = 0; j < i; ++j)
      EXPECT_TRUE(agree(blocks, layout.offsets, i, j)) << i << " and " << j;
  }
  EXPECT_EQ(layout.peak_bytes, peak);
  EXPECT_GE(layout.peak_bytes, layout.bound_bytes);
}

std::vector<LifetimeBlock> random_blocks(std::uint64_t seed, std::size_t count, double takeovers) {
  RandomSequence random(seed, "test/lifetimes");
  std::vector<LifetimeBlock> blocks;
  for (std::size_t i = 0; i < count; ++i) {
    const auto first = static_cast<std::size_t>(random.integer(0, 6));
    blocks.push_back({random.integer(1, 9), random.chance(0.3) ? 4 : 1, first,
                      first + static_cast<std::size_t>(random.integer(0, 3))});
  }
  for (std::size_t born = 0; born < count; ++born)
    for (std::size_t dying = 0; dying < count; ++dying)
      if (born != dying && blocks[dying].last_step == blocks[born].first_step &&
          blocks[dying].first_step < blocks[dying].last_step && random.chance(takeovers))
        blocks[born].takeovers.push_back({dying, random.chance(0.2) ? -9 : random.integer(0, 6)});
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
      offsets[i] = at;
      for (std::size_t j = 0; fits && j < i; ++j) fits = agree(blocks, offsets, i, j);
      if (!fits) continue;
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

TEST(LifetimePlanner, LetsABlockTakeOverBytes) {
  // A layer writes 60 bytes at least 10 in front of its operand, the next one over it in place.
  const LifetimeLayout layout =
      plan_lifetimes({{100, 1, 0, 1}, {60, 1, 1, 2, {{0, 10}}}, {60, 1, 2, 3, {{1, 0}}}});
  EXPECT_EQ(layout.bound_bytes, 110);
  EXPECT_EQ(layout.peak_bytes, 110);
  EXPECT_GE(layout.offsets[0], layout.offsets[1] + 10);
}

TEST(LifetimePlanner, BoundsByTheBlocksThatShareLeast) {
  // 20 bytes of scratch beside 100 that it copies; the result may lie over either.
  const std::vector<LifetimeBlock> blocks = {
      {100, 1, 0, 1}, {20, 1, 1, 1}, {80, 1, 1, 2, {{0, -100}, {1, 0}}}};
  EXPECT_EQ(least_bytes(blocks, 0), 100);
  EXPECT_EQ(least_bytes(blocks, 1), 120);
  EXPECT_EQ(least_bytes(blocks, 2), 80);
  EXPECT_EQ(plan_lifetimes(blocks).peak_bytes, 120);
}

TEST(LifetimePlanner, NothingTakesNothing) {
  const LifetimeLayout layout = plan_lifetimes({});
  EXPECT_EQ(layout.peak_bytes, 0);
  EXPECT_TRUE(layout.optimal);
}

TEST(LifetimePlanner, SmallLayoutsAreAsLowAsBruteForceFinds) {
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    const std::vector<LifetimeBlock> blocks = random_blocks(seed, 6, 0.7);
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
    // The bound of takeovers supposes that each may share as much as it could alone.
    expect_valid(random_blocks(seed, 30, 0.7), plan_lifetimes(random_blocks(seed, 30, 0.7)));
    const std::vector<LifetimeBlock> blocks = random_blocks(seed, 40, 0);
    const LifetimeLayout layout = plan_lifetimes(blocks);
    expect_valid(blocks, layout);
    EXPECT_EQ(layout.optimal, layout.peak_bytes == layout.bound_bytes);
    excess += static_cast<double>(layout.peak_bytes) / static_cast<double>(layout.bound_bytes) - 1;
  }
  EXPECT_LT(excess / kLayouts, 0.1);
}

}  // namespace
}  // namespace tandem
