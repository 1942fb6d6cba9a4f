#include "tandem/kernels/saturation.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace tandem {
namespace {

constexpr std::size_t kColumns = PairedPanel::kColumns, kQuad = PairedPanel::kQuad,
                      kWindow = PairedPanel::kWindow, kStep = PairedPanel::kStepBytes;

std::int8_t weight_at(const PairedPanel& panel, std::size_t step, std::size_t column,
                      std::size_t i) {
  return panel.steps[step * kStep + kColumns / 2 * kQuad + column * kQuad + i];
}

// The sums that activations of 0 or `most` can reach, by brute force over the signs: a sum is
// greatest where the activations of its positive weights alone are `most`.
void expect_sound(const PairedPanel& panel, int most) {
  ASSERT_EQ(panel.steps.size(), (2 * panel.doubles + panel.singles) * kStep);
  ASSERT_EQ(panel.offsets.size(), panel.doubles + panel.singles);
  std::size_t step = 0;
  for (std::size_t group = 0; group < panel.offsets.size(); ++group) {
    const std::size_t length = group < panel.doubles ? 2 : 1;
    for (std::size_t sum = 0; sum < 2 * kColumns; ++sum) {
      int greatest = 0, least = 0;
      for (std::size_t i = 0; i < 2 * length; ++i) {
        const int weight = weight_at(panel, step + i / 2, sum / 2, sum % 2 * 2 + i % 2);
        (weight > 0 ? greatest : least) += weight * most;
      }
      ASSERT_LE(greatest, INT16_MAX);
      ASSERT_GE(least, INT16_MIN);
    }
    step += length;
  }
}

// Every weight is used once, at its element of the reduction.
void expect_complete(const PairedPanel& panel, const std::vector<std::int8_t>& weights) {
  std::vector<int> rest(weights.begin(), weights.end());
  for (std::size_t step = 0; step < panel.steps.size() / kStep; ++step) {
    const std::size_t group = step < 2 * panel.doubles ? step / 2 : step - panel.doubles;
    for (std::size_t j = 0; j < kColumns; ++j) {
      for (std::size_t i = 0; i < kQuad; ++i) {
        const int weight = weight_at(panel, step, j, i);
        const int at = panel.steps[step * kStep + j % (kColumns / 2) * kQuad + i];
        if (at < 0) {
          ASSERT_EQ(at, -128);  // an activation of 0
          ASSERT_EQ(weight, 0);
          continue;
        }
        ASSERT_LT(at, static_cast<int>(kWindow));
        rest[(panel.offsets[group] + static_cast<std::size_t>(at)) * kColumns + j] -= weight;
      }
    }
  }
  EXPECT_TRUE(std::all_of(rest.begin(), rest.end(), [](int weight) { return weight == 0; }));
}

PairedPanel panel_of_all(std::int8_t weight, int most) {
  const std::vector<std::int8_t> weights(kWindow * kColumns, weight);
  PairedPanel panel = pair_panel(weights, kWindow, most);
  expect_sound(panel, most);
  expect_complete(panel, weights);
  return panel;
}

TEST(Saturation, ProofsHoldForEveryActivation) {
  std::mt19937_64 engine(3);
  for (int round = 0; round < 300; ++round) {
    constexpr int kMost[] = {127, 255, 1, 255, 3, 255, 2, 15, 255};  // of codes of 1 to 8 bits
    const int most = kMost[round % 9], spread = 8 << round % 5;
    const std::int64_t depth = 16 * (1 + round % 7);
    std::normal_distribution<double> normal(0, spread);
    std::vector<std::int8_t> weights(static_cast<std::size_t>(depth) * kColumns);
    for (auto& weight : weights)
      weight = static_cast<std::int8_t>(std::clamp(normal(engine), -128.0, 127.0));
    if (round % 4 == 0)  // a depth that is no multiple of a window's
      std::fill(weights.end() - 7 * static_cast<std::ptrdiff_t>(kColumns), weights.end(),
                std::int8_t{0});
    const PairedPanel panel = pair_panel(weights, depth, most);
    expect_sound(panel, most);
    expect_complete(panel, weights);
  }
}

TEST(Saturation, ProofsHoldForExtremes) {
  std::mt19937_64 engine(4);
  constexpr std::int8_t kExtremes[] = {-128, -127, -65, -64, 0, 1, 63, 64, 65, 127};
  for (int round = 0; round < 300; ++round) {
    std::vector<std::int8_t> weights(2 * kWindow * kColumns);
    for (auto& weight : weights)
      weight = kExtremes[engine() % (round % 2 == 0 ? std::size(kExtremes) : 2)];
    const PairedPanel panel = pair_panel(weights, 2 * kWindow, 255);
    expect_sound(panel, 255);
    expect_complete(panel, weights);
  }
}

// 255 * 128 = 32640 fits 16 bits, 255 * 129 does not.
TEST(Saturation, KnowsTheExactBound) {
  EXPECT_EQ(panel_of_all(32, 255).doubles, 2U);  // four weights of 32 in each sum
  EXPECT_EQ(panel_of_all(33, 255).doubles, 0U);
  EXPECT_EQ(panel_of_all(64, 255).singles, 4U);
  EXPECT_EQ(panel_of_all(65, 255).singles, 8U);  // each alone
  EXPECT_EQ(panel_of_all(-64, 255).singles, 4U);
  EXPECT_EQ(panel_of_all(-65, 255).singles, 8U);
  EXPECT_EQ(panel_of_all(-128, 255).singles, 8U);
  EXPECT_EQ(panel_of_all(127, 127).singles, 4U);
}

// Large weights of either sign, which their neighbours' order would put together.
TEST(Saturation, FindsPartnersForLargeWeights) {
  std::vector<std::int8_t> weights(kWindow * kColumns);
  for (std::size_t k = 0; k < kWindow; ++k)
    for (std::size_t j = 0; j < kColumns; ++j)
      weights[k * kColumns + j] = (k + j) % 8 < 4 ? std::int8_t{127} : std::int8_t{-128};
  const PairedPanel panel = pair_panel(weights, kWindow, 255);
  expect_sound(panel, 255);
  expect_complete(panel, weights);
  EXPECT_EQ(panel.doubles, 0U);
  EXPECT_EQ(panel.singles, 4U);
}

// As trained filters have them.
TEST(Saturation, NormalWeightsGoInTwos) {
  std::mt19937_64 engine(5);
  std::normal_distribution<double> normal(0, 30);
  std::vector<std::int8_t> weights(256 * kColumns);
  for (auto& weight : weights)
    weight = static_cast<std::int8_t>(std::clamp(normal(engine), -128.0, 127.0));
  const PairedPanel panel = pair_panel(weights, 256, 255);
  EXPECT_GT(panel.doubles, 30U);  // of 32
}

TEST(Saturation, LeavesOutWindowsWithoutWeights) {
  EXPECT_TRUE(pair_panel(std::vector<std::int8_t>(64 * kColumns), 64, 255).offsets.empty());
  std::vector<std::int8_t> weights(64 * kColumns);
  weights[20 * kColumns] = 3;
  const PairedPanel panel = pair_panel(weights, 64, 255);
  EXPECT_EQ(panel.offsets, std::vector<std::uint32_t>{16});
  EXPECT_EQ(panel.singles, 1U);
}

}  // namespace
}  // namespace tandem
