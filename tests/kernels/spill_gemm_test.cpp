#include "tandem/kernels/spill_gemm.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/kernels/instruction_set.h"
#include "tandem/numerics/dynamic_fixed.h"

namespace tandem {
namespace {

class SpillGemm : public testing::TestWithParam<InstructionSet> {
 protected:
  void SetUp() override {
    if (!processor_has(GetParam())) GTEST_SKIP() << "this processor lacks " << name(GetParam());
    before_ = instruction_set();
    set_instruction_set(GetParam());
  }
  void TearDown() override {
    if (processor_has(GetParam())) set_instruction_set(before_);
  }

  struct Sizes {
    std::int64_t rows, depth, columns;
  };

  std::vector<std::int16_t> integers(std::int64_t count, int most) {
    std::uniform_int_distribution<int> uniform(-most, most);
    std::vector<std::int16_t> drawn(static_cast<std::size_t>(count));
    for (auto& integer : drawn) integer = static_cast<std::int16_t>(uniform(engine_));
    return drawn;
  }

  static std::vector<float> product(const Sizes& sizes, const std::vector<std::int16_t>& a,
                                    const std::vector<std::int16_t>& b, std::int64_t pairs,
                                    int exponent) {
    PackedB16 packed;
    pack_b16(b.data(), sizes.depth, sizes.columns, sizes.columns, 1, packed);
    std::vector<std::int16_t> padded(static_cast<std::size_t>(sizes.rows * packed.padded_depth()));
    for (std::int64_t i = 0; i < sizes.rows; ++i)
      std::copy_n(a.begin() + i * sizes.depth, sizes.depth,
                  padded.begin() + i * packed.padded_depth());
    std::vector<float> c(static_cast<std::size_t>(sizes.rows * sizes.columns));
    gemm_with_spills(padded.data(), sizes.rows, packed.padded_depth(), packed, pairs, exponent,
                     c.data(), sizes.columns);
    return c;
  }

  std::mt19937 engine_{1};

 private:
  InstructionSet before_ = InstructionSet::kPortable;
};

INSTANTIATE_TEST_SUITE_P(Sets, SpillGemm,
                         testing::Values(InstructionSet::kPortable, InstructionSet::kAvx2),
                         [](const auto& set) { return std::string(name(set.param)); });

TEST_P(SpillGemm, AddsChainsOf32BitsInTheirOrder) {
  for (const Sizes& sizes :
       {Sizes{1, 1, 1}, Sizes{7, 65, 50}, Sizes{3, 128, 16}, Sizes{5, 30, 17}}) {
    for (const int most : {32767, 4095, 127}) {
      const auto a = integers(sizes.rows * sizes.depth, most),
                 b = integers(sizes.depth * sizes.columns, most);
      const std::int64_t pairs = safe_pairs(most, most);
      const auto c = product(sizes, a, b, pairs, -9);
      for (std::int64_t i = 0; i < sizes.rows; ++i) {
        for (std::int64_t j = 0; j < sizes.columns; ++j) {
          float expected = 0;
          for (std::int64_t from = 0; from < sizes.depth; from += 2 * pairs) {
            std::int64_t sum = 0;
            for (std::int64_t k = from; k < std::min(from + 2 * pairs, sizes.depth); ++k)
              sum += std::int64_t{a[static_cast<std::size_t>(i * sizes.depth + k)]} *
                     b[static_cast<std::size_t>(k * sizes.columns + j)];
            ASSERT_LE(std::abs(sum), std::int64_t{INT32_MAX});
            expected += static_cast<float>(sum) * 0x1p-9F;
          }
          ASSERT_EQ(c[static_cast<std::size_t>(i * sizes.columns + j)], expected);
        }
      }
    }
  }
}

// All products at their greatest: a chain of the safe length is exact, one that is longer wraps.
TEST_P(SpillGemm, WrapsBeyondTheSafeChain) {
  for (const auto& [most_a, most_b] : {std::pair{32767, 4095}, {16383, 16383}, {4095, 4095}}) {
    const std::int64_t pairs = safe_pairs(most_a, most_b), depth = 2 * (pairs + 1);
    const std::vector<std::int16_t> a(static_cast<std::size_t>(depth),
                                      static_cast<std::int16_t>(most_a)),
        b(static_cast<std::size_t>(depth), static_cast<std::int16_t>(most_b));
    const auto exact = static_cast<double>(depth) * most_a * most_b;
    const auto safe = product({1, depth, 1}, a, b, pairs, 0);
    EXPECT_NEAR(static_cast<double>(safe[0]), exact, exact * 1e-6);
    const auto wrapped = product({1, depth, 1}, a, b, pairs + 1, 0);
    EXPECT_LT(wrapped[0], 0);
  }
}

// The error of a product of normal matrices beside that of f64: both operands are off by a part of
// their unit that is spread evenly, so that its square is unit^2 / 12 on average.
TEST_P(SpillGemm, IsAsExactAsItsIntegers) {
  const Sizes sizes{256, 512, 256};
  std::normal_distribution<float> normal;
  const auto draw = [&](std::int64_t count) {
    std::vector<float> x(static_cast<std::size_t>(count));
    for (float& element : x) element = normal(engine_);
    return x;
  };
  const auto a = draw(sizes.rows * sizes.depth), b = draw(sizes.depth * sizes.columns);
  std::vector<double> exact(static_cast<std::size_t>(sizes.rows * sizes.columns));
  for (std::int64_t i = 0; i < sizes.rows; ++i)
    for (std::int64_t k = 0; k < sizes.depth; ++k)
      for (std::int64_t j = 0; j < sizes.columns; ++j)
        exact[static_cast<std::size_t>(i * sizes.columns + j)] +=
            static_cast<double>(a[static_cast<std::size_t>(i * sizes.depth + k)]) *
            static_cast<double>(b[static_cast<std::size_t>(k * sizes.columns + j)]);
  for (const int bits : {16, 12, 8}) {
    const DynamicFixed left = to_dynamic_fixed(a, bits), right = to_dynamic_fixed(b, bits);
    const double units =
        std::hypot(std::ldexp(1.0, left.exponent), std::ldexp(1.0, right.exponent));
    const auto c = product(sizes, left.integers, right.integers, safe_pairs(left.most, right.most),
                           left.exponent + right.exponent);
    double error = 0, size = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      error += std::pow(static_cast<double>(c[i]) - exact[i], 2);
      size += std::pow(exact[i], 2);
    }
    EXPECT_NEAR(std::sqrt(error / size), units / std::sqrt(12.0), 0.05 * units / std::sqrt(12.0))
        << bits << " bits";
  }
}

TEST(SafePairs, AreAsLongAsMagnitudesAllow) {
  const auto products = [](int a, int b) { return 2 * safe_pairs((1 << a) - 1, (1 << b) - 1); };
  EXPECT_EQ(products(15, 15), 2);
  EXPECT_EQ(products(15, 12), 16);
  EXPECT_EQ(products(14, 14), 8);
  EXPECT_EQ(products(13, 13), 32);
  EXPECT_EQ(products(12, 12), 128);
  EXPECT_EQ(safe_pairs(0, 32767), std::int64_t{1} << 30);
}

}  // namespace
}  // namespace tandem
