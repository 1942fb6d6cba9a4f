#include "tandem/kernels/saturation.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace tandem {
namespace {

constexpr std::int64_t kColumns = PairedPanel::kColumns;

// The sums of a group that activations of 0 or `most` can reach, by brute force over the signs: a
// sum is greatest where the activations of its positive weights alone are `most`.
void expect_sound(const PairedPanel& panel, int most) {
  std::size_t step = 0;
  for (const std::uint32_t length : panel.groups) {
    for (std::size_t sum = 0; sum < 2 * kColumns; ++sum) {
      int greatest = 0, least = 0;
      for (std::size_t s = step; s < step + length; ++s) {
        for (std::size_t i = 0; i < 2; ++i) {
          const int weight = panel.weights[s * 64 + sum * 2 + i];
          (weight > 0 ? greatest : least) += weight * most;
        }
      }
      ASSERT_LE(greatest, INT16_MAX);
      ASSERT_GE(least, INT16_MIN);
    }
    step += length;
  }
  EXPECT_EQ(step, panel.steps.size());
}

// Every weight is used once, at its element of the reduction.
void expect_complete(const PairedPanel& panel, const std::vector<std::int8_t>& weights) {
  std::vector<int> rest(weights.begin(), weights.end());
  for (std::size_t s = 0; s < panel.steps.size(); ++s) {
    for (std::size_t j = 0; j < kColumns; ++j) {
      for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t row = panel.steps[s].offset + panel.steps[s].picks[i];
        rest[row * kColumns + j] -= panel.weights[s * 64 + j * 4 + i];
      }
    }
  }
  EXPECT_TRUE(std::all_of(rest.begin(), rest.end(), [](int weight) { return weight == 0; }));
}

TEST(Saturation, ProofsHoldForEveryActivation) {
  std::mt19937_64 engine(3);
  for (int round = 0; round < 300; ++round) {
    const int most = round % 3 == 0 ? 127 : 255, spread = 8 << round % 5;
    const std::int64_t depth = 16 * (1 + round % 7);
    std::normal_distribution<double> normal(0, spread);
    std::vector<std::int8_t> weights(static_cast<std::size_t>(depth * kColumns));
    for (auto& weight : weights)
      weight = static_cast<std::int8_t>(std::clamp(normal(engine), -128.0, 127.0));
    const PairedPanel panel = pair_panel(weights, depth, most);
    expect_sound(panel, most);
    expect_complete(panel, weights);
    EXPECT_EQ(panel.pairs, depth / 2);
  }
}

// 255 * 128 = 32640 fits 16 bits, 255 * 129 does not.
TEST(Saturation, KnowsTheExactBound) {
  EXPECT_TRUE(fits_16_bits(std::vector<std::int8_t>{127, 1}, 255));
  EXPECT_FALSE(fits_16_bits(std::vector<std::int8_t>{127, 2}, 255));
  EXPECT_TRUE(fits_16_bits(std::vector<std::int8_t>{-128, 127}, 255));  // signs do not add up
  EXPECT_FALSE(fits_16_bits(std::vector<std::int8_t>{-128, -1}, 255));
  EXPECT_TRUE(fits_16_bits(std::vector<std::int8_t>{127, 127}, 127));
}

TEST(Saturation, FindsThePairsOfLargeWithSmallWeights) {
  // Neighbours saturate; large ones beside small ones do not.
  std::vector<std::int8_t> weights(16 * kColumns);
  for (std::size_t row = 0; row < 16; ++row)
    std::fill_n(weights.begin() + static_cast<std::ptrdiff_t>(row * kColumns), kColumns,
                static_cast<std::int8_t>(row < 8 ? 120 : 5));
  EXPECT_EQ(pair_panel(weights, 16, 255).unproven, 0);
  std::fill(weights.begin(), weights.end(), std::int8_t{127});
  const PairedPanel none = pair_panel(weights, 16, 255);
  EXPECT_EQ(none.unproven, 8);
  expect_sound(none, 255);
}

TEST(Saturation, KeepsSeveralSumsIn16Bits) {
  const std::vector<std::int8_t> weights(64 * kColumns, 4);
  const PairedPanel panel = pair_panel(weights, 64, 255);
  EXPECT_EQ(panel.steps.size(), 16U);
  EXPECT_EQ(panel.groups.size(), 1U);  // 16 steps of two weights of 4: 128 in each sum
}

}  // namespace
}  // namespace tandem
