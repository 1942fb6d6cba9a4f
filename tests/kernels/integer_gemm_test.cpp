#include "tandem/kernels/integer_gemm.h"

#include <gtest/gtest.h>

#include "tandem/base/random.h"
#include "tandem/kernels/instruction_set.h"

namespace tandem {
namespace {

class IntegerGemm : public ::testing::TestWithParam<InstructionSet> {
 protected:
  void SetUp() override {
    if (!processor_has(GetParam())) GTEST_SKIP() << "this processor lacks the instruction set";
    before_ = instruction_set();
    set_instruction_set(GetParam());
  }
  void TearDown() override { set_instruction_set(before_); }
  InstructionSet before_ = instruction_set();
};

INSTANTIATE_TEST_SUITE_P(Sets, IntegerGemm,
                         ::testing::Values(InstructionSet::kPortable, InstructionSet::kAvx2));

struct Sizes {
  std::int64_t rows, depth, columns;
};

// Every remainder of the tiles (6 rows, 16 columns, pairs of the depth) and some sizes beyond one.
std::vector<Sizes> all_sizes() {
  std::vector<Sizes> sizes{{37, 65, 50}, {1, 784, 64}, {1, 1, 1}};
  for (std::int64_t rows = 1; rows <= 7; ++rows) sizes.push_back({rows, 3 + rows, 16});
  for (std::int64_t columns = 1; columns <= 18; ++columns)
    sizes.push_back({2, columns % 5 + 1, columns});
  return sizes;
}

template <typename T>
std::vector<T> random_integers(std::uint64_t seed, std::int64_t count, std::int64_t most) {
  RandomSequence random(seed, "gemm");
  std::vector<T> result;
  for (std::int64_t i = 0; i < count; ++i)
    result.push_back(static_cast<T>(random.integer(-most, most)));
  return result;
}

template <typename A, typename C>
std::vector<C> product(const Sizes& sizes, const std::vector<A>& a, std::int64_t a_stride,
                       const std::vector<A>& b) {
  std::vector<C> c;
  for (std::int64_t i = 0; i < sizes.rows; ++i) {
    for (std::int64_t j = 0; j < sizes.columns; ++j) {
      C sum = 0;
      for (std::int64_t k = 0; k < sizes.depth; ++k) {
        sum += C{a[static_cast<std::size_t>(i * a_stride + k)]} *
               C{b[static_cast<std::size_t>(k * sizes.columns + j)]};
      }
      c.push_back(sum);
    }
  }
  return c;
}

TEST_P(IntegerGemm, MultipliesSixteenBitOperands) {
  std::uint64_t seed = 1;
  for (const Sizes& sizes : all_sizes()) {
    const std::int64_t a_stride = sizes.depth + sizes.depth % 2 + 2;
    const auto a = random_integers<std::int16_t>(++seed, sizes.rows * a_stride, 1000);
    const auto b = random_integers<std::int16_t>(++seed, sizes.depth * sizes.columns, 1000);
    PackedB16 packed;
    pack_b16(b.data(), sizes.depth, sizes.columns, sizes.columns, 1, packed);
    const std::int64_t c_stride = sizes.columns + 3;
    std::vector<std::int32_t> c(static_cast<std::size_t>(sizes.rows * c_stride), 77);
    gemm_b16(a.data(), sizes.rows, a_stride, packed, c.data(), c_stride);
    const auto expected = product<std::int16_t, std::int32_t>(sizes, a, a_stride, b);
    for (std::int64_t i = 0; i < sizes.rows; ++i) {
      for (std::int64_t j = 0; j < c_stride; ++j) {
        const std::int32_t wanted =
            j < sizes.columns ? expected[static_cast<std::size_t>(i * sizes.columns + j)] : 77;
        ASSERT_EQ(c[static_cast<std::size_t>(i * c_stride + j)], wanted)
            << sizes.rows << "x" << sizes.depth << "x" << sizes.columns << " at " << i << "," << j;
      }
    }
  }
}

TEST_P(IntegerGemm, IsExactAtTheEndsOfTheRange) {
  const std::vector<std::int16_t> a{-32768, -32768, 32767, 0}, b{32767, -32768, 32767, 0};
  PackedB16 packed;
  pack_b16(b.data(), 4, 1, 1, 1, packed);
  std::int32_t c = 0;
  gemm_b16(a.data(), 1, 4, packed, &c, 1);
  EXPECT_EQ(c, -32768 * 32767 + 1073741824 + 32767 * 32767);
}

TEST_P(IntegerGemm, PacksTransposedOperands) {
  const Sizes sizes{3, 5, 4};
  const auto a = random_integers<std::int16_t>(5, 3 * 6, 100);
  const auto b = random_integers<std::int16_t>(6, 5 * 4, 100);
  std::vector<std::int16_t> transposed(b.size());
  for (std::size_t k = 0; k < 5; ++k)
    for (std::size_t j = 0; j < 4; ++j) transposed[j * 5 + k] = b[k * 4 + j];
  PackedB16 packed;
  pack_b16(transposed.data(), 5, 4, 1, 5, packed);
  std::vector<std::int32_t> c(12);
  gemm_b16(a.data(), 3, 6, packed, c.data(), 4);
  EXPECT_EQ(c, (product<std::int16_t, std::int32_t>(sizes, a, 6, b)));
}

template <typename Lane>
void expect_wide_products(std::int64_t most) {
  std::uint64_t seed = 50;
  for (const Sizes& sizes : all_sizes()) {
    const auto a = random_integers<Lane>(++seed, sizes.rows * sizes.depth, most);
    const auto b = random_integers<Lane>(++seed, sizes.depth * sizes.columns, most);
    std::vector<Lane> c(static_cast<std::size_t>(sizes.rows * sizes.columns), 9);
    gemm_lanes(a.data(), sizes.rows, sizes.depth, b.data(), sizes.depth, sizes.columns, c.data(),
               sizes.columns);
    EXPECT_EQ(c, (product<Lane, Lane>(sizes, a, sizes.depth, b)));
  }
}

TEST_P(IntegerGemm, MultipliesWideOperands) {
  expect_wide_products<std::int32_t>(1500);
  expect_wide_products<std::int64_t>(std::int64_t{1} << 24);
}

}  // namespace
}  // namespace tandem
