// Formats whose codes stand for listed numbers, against their formulas and brute force.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>

#include <boost/math/special_functions/erf.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/numerics/format.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::vector<double> values_of(const char* name) {
  const Format format = Format::parse(name);
  std::vector<double> values;
  for (const std::uint64_t code : format.codes()) values.push_back(format.decode(code));
  return values;
}

double normal_quantile(double p) { return std::sqrt(2.0) * boost::math::erf_inv(2 * p - 1); }

// Dettmers et al., QLoRA, equation 4: quantiles between the outermost one and the middle, seven
// negative ones, eight positive ones and zero, divided by the largest.
TEST(ListedFormat, Nf4IsItsFormula) {
  const double outermost = 0.5 * (31.0 / 32 + 29.0 / 30);
  std::vector<double> quantiles{0};
  for (int i = 0; i < 8; ++i)
    quantiles.push_back(normal_quantile(outermost + i * (0.5 - outermost) / 8));
  for (int i = 0; i < 7; ++i)
    quantiles.push_back(-normal_quantile(outermost + i * (0.5 - outermost) / 7));
  std::sort(quantiles.begin(), quantiles.end());
  const std::vector<double> values = values_of("nf4");
  ASSERT_EQ(values.size(), 16u);
  for (std::size_t i = 0; i < 16; ++i)
    EXPECT_NEAR(values[i], quantiles[i] / quantiles.back(), 2e-7) << i;
}

// The thresholds of bitsandbytes 0.45 (dQuantizeNF4), which lie in the middle of two neighbours and
// give a tie to the lower one.
TEST(ListedFormat, Nf4HasTheThresholdsOfBitsandbytes) {
  const Format format = Format::parse("nf4");
  constexpr double kThresholds[] = {
      -0.8480964004993439,  -0.6106329262256622,  -0.4599952697753906,   -0.33967943489551544,
      -0.23460740596055984, -0.13791173323988914, -0.045525018125772476, 0.03979014977812767,
      0.1202552504837513,   0.2035212516784668,   0.2920137718319893,    0.3893125355243683,
      0.5016634166240692,   0.6427869200706482,   0.8614784181118011};
  for (std::uint64_t i = 0; i < 15; ++i) {
    EXPECT_EQ(format.encode(kThresholds[i] - 1e-6), i);
    EXPECT_EQ(format.encode(kThresholds[i] + 1e-6), i + 1);
  }
  const double middle = (format.decode(3) + format.decode(4)) / 2;
  EXPECT_EQ(format.encode(middle, Rounding::kHalfDown), 3u);
  EXPECT_EQ(format.encode(middle, Rounding::kHalfUp), 4u);
  EXPECT_EQ(format.encode(middle, Rounding::kHalfEven), 4u);
  EXPECT_EQ(format.encode(-7), 0u);
  EXPECT_EQ(format.encode(7), 15u);
  EXPECT_EQ(format.encode(7, Rounding::kHalfEven, Overflow::kSaturateZero), 7u);
}

TEST(ListedFormat, PowersOfTwoHaveASignAndZero) {
  EXPECT_THAT(values_of("pow2<3>"), ElementsAre(0, 0.25, 0.5, 1, 0, -0.25, -0.5, -1));
  const Format format = Format::parse("pow2<4>");
  EXPECT_EQ(format.decode(format.encode(-0.74)), -0.5);
  EXPECT_EQ(format.decode(format.encode(-0.76)), -1);
  EXPECT_EQ(format.encode(-0.001), 0u);  // zero is written without a sign
  EXPECT_EQ(format.decode(1), std::ldexp(1.0, -6));
}

TEST(ListedFormat, SharedScalesArePowersOfTwoWithNan) {
  const Format format = Format::parse("e8m0");
  EXPECT_EQ(format.decode(127), 1);
  EXPECT_EQ(format.decode(0), std::ldexp(1.0, -127));
  EXPECT_EQ(format.decode(254), std::ldexp(1.0, 127));
  EXPECT_TRUE(std::isnan(format.decode(255)));
  EXPECT_EQ(format.encode(std::nan("")), 255u);
  EXPECT_EQ(format.encode(0), 0u);
  EXPECT_EQ(format.encode(5, Rounding::kFloor), 129u);
  EXPECT_EQ(format.encode(5, Rounding::kCeiling), 130u);
  EXPECT_EQ(format.encode(6), 130u);  // in the middle of 4 and 8: the even code
}

// code = round(-log2 p) and round(-2 log2 p), within [0, 2^b - 1].
TEST(ListedFormat, LogarithmsAreRoundedAsLogarithms) {
  for (const int factor : {1, 2}) {
    const Format format = Format::parse(factor == 1 ? "log2<4>" : "logsqrt2<4>");
    for (int i = 1; i < 20'000; ++i) {
      const double p = i / 20'000.0, exponent = -factor * std::log2(p);
      if (std::abs(exponent - std::floor(exponent) - 0.5) < 1e-12) continue;
      ASSERT_EQ(format.encode(p), static_cast<std::uint64_t>(std::min(15.0, std::round(exponent))))
          << p;
    }
    EXPECT_EQ(format.encode(0), 15u);
    EXPECT_EQ(format.encode(1.5), 0u);
  }
  const std::vector<double> halves = values_of("logsqrt2<3>");
  for (std::size_t c = 0; c < halves.size(); ++c)
    EXPECT_NEAR(halves[c], std::pow(2.0, -static_cast<double>(c) / 2), 1e-15);
}

// Nearest K-hot number by the rule of QFX: cut behind the K-th one, and round that place up where
// the rest is at least half of it.
int k_hot_by_rule(int n, int k) {
  int rest = n, kept = 0;
  for (int ones = 0; ones < k && rest > 0; ++ones) {
    const int top = static_cast<int>(std::bit_floor(static_cast<unsigned>(rest)));
    kept += top;
    rest -= top;
    if (ones == k - 1 && 2 * rest >= top) kept += top;
  }
  return kept;
}

TEST(ListedFormat, KHotNumbersAreTheNearestOnes) {
  for (int k = 1; k <= 4; ++k) {
    const Format format = Format::parse(concat("khot<12,", k, ">"));
    for (int n = 0; n < 2048; ++n) {
      const double coded = format.decode(format.encode(n, Rounding::kHalfAwayFromZero));
      int nearest = 0;
      for (int m = 0; m < 2048; ++m)
        if (std::popcount(static_cast<unsigned>(m)) <= k &&
            std::abs(m - n) <= std::abs(nearest - n))
          nearest = m;
      ASSERT_EQ(coded, nearest) << n << " in " << k;
      if (k_hot_by_rule(n, k) < 2048) {
        ASSERT_EQ(coded, k_hot_by_rule(n, k)) << n << " in " << k;
        ASSERT_LE(std::abs(coded - n) * ((2 << k) - 1), n) << n << " in " << k;
      }
      ASSERT_EQ(format.decode(format.encode(-n, Rounding::kHalfAwayFromZero)), -coded);
    }
  }
}

TEST(ListedFormat, TernaryHasThreeNumbers) {
  const Format format = Format::parse("ternary");
  EXPECT_THAT(format.codes(), ElementsAre(0u, 1u, 3u));
  EXPECT_THAT(values_of("ternary"), ElementsAre(0, 1, -1));
  EXPECT_EQ(format.integer_range(), (IntegerRange{-1, 1}));
  EXPECT_EQ(format.decode(format.encode(-0.6)), -1);
  for (const Overflow overflow : {Overflow::kSaturate, Overflow::kSaturateSymmetric})
    EXPECT_EQ(format.decode(format.encode(-9, Rounding::kHalfEven, overflow)), -1);
  for (const double beyond : {-2.0, 2.0, -9.0})
    EXPECT_EQ(format.encode(beyond, Rounding::kHalfEven, Overflow::kSaturateZero), 0u);
  EXPECT_THROW(format.decode(2), Error);
}

TEST(ListedFormat, EveryCodeReadsBack) {
  for (const char* name : {"nf4", "pow2<2>", "pow2<6>", "log2<2>", "log2<8>", "logsqrt2<8>",
                           "khot<8,2>", "khot<12,4>", "e8m0", "ternary"}) {
    const Format format = Format::parse(name);
    EXPECT_EQ(format.name(), name);
    for (const std::uint64_t code : format.codes()) {
      const double value = format.decode(code);
      if (std::isnan(value)) continue;
      for (const Rounding rounding : kAllRoundings)
        ASSERT_EQ(format.decode(format.encode(value, rounding)), value) << name << " " << code;
    }
  }
}

TEST(ListedFormat, RefusesWhatIsNoMember) {
  for (const char* name : {"pow2<1>", "pow2<7>", "log2<9>", "khot<13,1>", "khot<8,5>", "pow2<x>"})
    EXPECT_THROW(Format::parse(name), Error) << name;
  EXPECT_THAT([] { Format::parse("nf4").encode(std::nan("")); },
              ThrowsMessage<Error>(HasSubstr("NaN has no code")));
  EXPECT_THAT([] { Format::parse("log2<4>").encode(9, Rounding::kHalfEven, Overflow::kWrap); },
              ThrowsMessage<Error>(HasSubstr("'wrap'")));
  EXPECT_THAT([] { Format::parse("khot<4,1>").decode(3); },
              ThrowsMessage<Error>(HasSubstr("stands for no number")));
}

TEST(ListedFormat, ListsOfBitsandbytes) {
  const auto fp4 = values_of("bnb_fp4");
  ASSERT_EQ(fp4.size(), 16u);
  EXPECT_FLOAT_EQ(static_cast<float>(fp4[1]), 0.005208333F);
  EXPECT_FLOAT_EQ(static_cast<float>(fp4[3]), 1.0F);
  EXPECT_FLOAT_EQ(static_cast<float>(fp4[10]), -0.6666667F);
  const auto dynamic = values_of("bnb_dynamic8");
  ASSERT_EQ(dynamic.size(), 256u);
  EXPECT_TRUE(std::is_sorted(dynamic.begin(), dynamic.end()));
  EXPECT_EQ(dynamic[127], 0);
  EXPECT_EQ(dynamic[255], 1);
  EXPECT_FLOAT_EQ(static_cast<float>(dynamic[128]), 5.5e-7F);
  EXPECT_FLOAT_EQ(static_cast<float>(dynamic[254]), 0.99296875F);
  EXPECT_EQ(dynamic[0], -dynamic[254]);
}

TEST(ListedFormat, LogarithmsMayHaveAZero) {
  EXPECT_THAT(values_of("log2<2,zero>"), ElementsAre(1, 0.5, 0.25, 0));
  const Format format = Format::parse("log2<2,zero>");
  EXPECT_EQ(format.name(), "log2<2,zero>");
  EXPECT_EQ(format.encode(0.18), 2u);  // 2^-2.47
  EXPECT_EQ(format.encode(0.17), 3u);  // 2^-2.56
  EXPECT_EQ(format.encode(0), 3u);
}

TEST(ListedFormat, TwinRangesDifferByAPowerOfTwo) {
  EXPECT_THAT(values_of("twin<3,2>"), ElementsAre(0, 0.25, 0.5, 0.75, 0, 0.0625, 0.125, 0.1875));
  EXPECT_THAT(values_of("split<3,2>"), ElementsAre(0, 1, 2, 3, 0, -0.25, -0.5, -0.75));
  const Format twin = Format::parse("twin<3,2>");
  EXPECT_EQ(twin.encode(0.06), 5u);
  EXPECT_EQ(twin.encode(0.21), 7u);
  EXPECT_EQ(twin.encode(0.24), 1u);
  EXPECT_EQ(twin.encode(2), 3u);
}

}  // namespace
}  // namespace tandem
