#include "tandem/kernels/real_lanes.h"

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace tandem {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double gelu(double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2.0))); }

struct Case {
  const char* name;
  RealFunction function;
  std::function<double(double)> exact;
  double lowest, highest;
};

// Against the exact functions in doubles, of few units in the last place, or nothing where results
// are as small as that.
TEST(RealLanes, FunctionsAreThoseOfTheStandardLibrary) {
  const std::vector<Case> cases = {
      {"exp", RealFunction::kExp, [](double x) { return std::exp(x); }, -87, 88},
      {"tanh", RealFunction::kTanh, [](double x) { return std::tanh(x); }, -20, 20},
      {"sigmoid", RealFunction::kSigmoid, sigmoid, -100, 100},
      {"swish", RealFunction::kSwish, [](double x) { return x * sigmoid(x); }, -100, 100},
      {"gelu", RealFunction::kGelu, gelu, -3, 20},
      {"erf", RealFunction::kErf, [](double x) { return std::erf(x); }, -5, 5}};
  for (const Case& tested : cases) {
    constexpr int kSamples = 4099;
    std::vector<float> x, y(kSamples);
    for (int i = 0; i < kSamples; ++i)
      x.push_back(static_cast<float>(tested.lowest +
                                     (tested.highest - tested.lowest) * i / (kSamples - 1)));
    apply({tested.function}, x.data(), nullptr, y.data(), kSamples);
    for (int i = 0; i < kSamples; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const double exact = tested.exact(static_cast<double>(x[at]));
      ASSERT_NEAR(y[at], exact, 2e-6 * std::abs(exact) + 4e-36 + 5e-7 * (tested.lowest == -3))
          << tested.name << "(" << x[at] << ")";
    }
  }
}

TEST(RealLanes, NotANumberStaysAndInfinitiesSaturate) {
  const std::vector<float> x = {std::nanf(""), kInfinity, -kInfinity, 0};
  const auto of = [&](RealFunction function) {
    std::vector<float> y(x.size());
    apply({function}, x.data(), nullptr, y.data(), static_cast<std::int64_t>(x.size()));
    return y;
  };
  for (const RealFunction function :
       {RealFunction::kSigmoid, RealFunction::kExp, RealFunction::kTanh, RealFunction::kSwish})
    EXPECT_TRUE(std::isnan(of(function)[0]));
  EXPECT_EQ(of(RealFunction::kSigmoid)[1], 1);
  EXPECT_LT(of(RealFunction::kSigmoid)[2], 1e-37F);
  EXPECT_EQ(of(RealFunction::kSigmoid)[3], 0.5F);
}

TEST(RealLanes, SharesOfSoftmaxAreNormalNumbersOrZero) {
  std::vector<float> x(37, -100), y(37);
  x[5] = 0;
  x[6] = -86;
  softmax_row(x.data(), y.data(), 37);
  EXPECT_EQ(y[5], 1);
  EXPECT_EQ(y[0], 0);
  for (const float share : y) EXPECT_TRUE(share == 0 || std::isnormal(share));
  x[36] = 50;  // the greatest lies behind whole vectors
  softmax_row(x.data(), y.data(), 37);
  EXPECT_EQ(y[36], 1);
}

TEST(RealLanes, RowsAreCombinedByChannel) {
  const std::vector<float> x = {1, 2, 3, 40, 50, 60, -7, std::nanf(""), 9};
  const std::vector<std::int64_t> rows = {2, 0, 1};
  std::vector<float> y(3);
  max_of_rows(x.data(), rows.data(), 3, 3, 3, y.data());
  EXPECT_EQ(y[0], 40);
  EXPECT_TRUE(std::isnan(y[1]));
  EXPECT_EQ(y[2], 60);
  sum_of_rows(x.data(), rows.data() + 1, 2, 0.5F, 3, 3, y.data());
  EXPECT_EQ(y, (std::vector<float>{20.5F, 26, 31.5F}));
}

}  // namespace
}  // namespace tandem
