#include "tandem/kernels/saturation.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace tandem {
namespace {

constexpr std::int64_t kColumns = PairedPanel::kColumns;

constexpr std::size_t kStepWeights = kColumns * PairedPanel::kQuad;

// The sums of a group that activations of 0 or `most` can reach, by brute force over the signs: a
// sum is greatest where the activations of its positive weights alone are `most`.
void expect_sound(const PairedPanel& panel, int most) {
  std::size_t step = 0;
  for (std::size_t kind = 0; kind < PairedPanel::kMostLength; ++kind) {
    const std::size_t length = PairedPanel::kMostLength - kind;
    for (std::uint32_t group = 0; group < panel.groups[kind]; ++group, step += length) {
      for (std::size_t sum = 0; sum < 2 * kColumns; ++sum) {
        int greatest = 0, least = 0;
        for (std::size_t s = step; s < step + length; ++s) {
          for (std::size_t i = 0; i < 2; ++i) {
            const int weight = panel.weights[s * kStepWeights + sum * 2 + i];
            (weight > 0 ? greatest : least) += weight * most;
          }
        }
        ASSERT_LE(greatest, INT16_MAX);
        ASSERT_GE(least, INT16_MIN);
      }
    }
  }
  EXPECT_EQ(step + panel.wide_steps(), panel.offsets.size());
}

// Every weight is used once, at its element of the reduction.
void expect_complete(const PairedPanel& panel, const std::vector<std::int8_t>& weights) {
  std::vector<int> rest(weights.begin(), weights.end());
  const std::size_t proven = panel.weights.size() / kStepWeights;
  for (std::size_t s = 0; s < panel.offsets.size(); ++s) {
    for (std::size_t j = 0; j < kColumns; ++j) {
      for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t wide = (s - proven) * kStepWeights + (i % 2 * kColumns + j) * 2 + i / 2;
        rest[(panel.offsets[s] + i) * kColumns + j] -=
            s < proven ? panel.weights[s * kStepWeights + j * 4 + i] : panel.wide_weights[wide];
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

TEST(Saturation, CountsThePairsThatItCannotProve) {
  std::vector<std::int8_t> weights(16 * kColumns, 5);
  weights[0] = 125;
  weights[kColumns] = 4;  // with 125 more than 128 in the first column
  const PairedPanel one = pair_panel(weights, 16, 255);
  EXPECT_EQ(one.unproven, 1);
  EXPECT_EQ(one.pairs, 8);
  EXPECT_EQ(one.wide_steps(), 1U);
  weights[kColumns] = 3;
  EXPECT_EQ(pair_panel(weights, 16, 255).unproven, 0);
  std::fill(weights.begin(), weights.end(), std::int8_t{127});
  EXPECT_EQ(pair_panel(weights, 16, 255).unproven, 8);
  EXPECT_EQ(pair_panel(weights, 16, 127).unproven, 0);
}

TEST(Saturation, KeepsSeveralSumsIn16Bits) {
  const std::vector<std::int8_t> weights(64 * kColumns, 16);
  const PairedPanel panel = pair_panel(weights, 64, 255);
  EXPECT_EQ(panel.groups[0], 4U);  // of 4 steps of two weights of 16: 128 in each sum
  EXPECT_EQ(panel.offsets.size(), 16U);
}

TEST(Saturation, LeavesOutStepsWithoutWeights) {
  EXPECT_TRUE(pair_panel(std::vector<std::int8_t>(64 * kColumns), 64, 255).offsets.empty());
}

}  // namespace
}  // namespace tandem
