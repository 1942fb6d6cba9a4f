#include "tandem/kernels/gemm.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/kernels/convolution.h"

namespace tandem {
namespace {

template <typename T>
std::vector<T> random_values(std::int64_t count, std::mt19937& generator) {
  std::uniform_real_distribution<T> real(-1, 1);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) value = real(generator);
  return values;
}

template <typename T>
class GemmTest : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(GemmTest, Reals);

// Sizes around the edges of tiles, panels and slices. The order of addition is part of the
// contract, so the plain loop gives the same bits.
TYPED_TEST(GemmTest, EqualsThePlainLoopInEveryBit) {
  std::mt19937 generator(5);
  for (const std::int64_t m : {1, 3, 4, 7, 8, 13}) {
    for (const std::int64_t n : {1, 7, 8, 15, 16, 17, 40}) {
      for (const std::int64_t depth : {1, 9, 255, 256, 257, 600}) {
        const auto a = random_values<TypeParam>(m * depth, generator);
        const auto b = random_values<TypeParam>(depth * n, generator);
        const std::int64_t stride = n + 3;
        std::vector<TypeParam> c(static_cast<std::size_t>(m * stride), 99);
        gemm<TypeParam>({m, n, depth, stride}, a.data(), b.data(), c.data());
        for (std::int64_t i = 0; i < m; ++i) {
          for (std::int64_t j = 0; j < stride; ++j) {
            TypeParam sum = j < n ? 0 : 99;
            for (std::int64_t k = 0; j < n && k < depth; ++k)
              sum += a.data()[i * depth + k] * b.data()[k * n + j];
            ASSERT_EQ(c.data()[i * stride + j], sum) << m << " " << n << " " << depth;
          }
        }
      }
    }
  }
}

// The definition of a convolution, term by term.
std::vector<float> plain_convolution(const Convolution& s, const std::vector<float>& x,
                                     const std::vector<float>& w, const std::vector<float>& bias) {
  const std::int64_t channels = s.channels / s.group, filters = s.filters / s.group;
  std::vector<float> y;
  for (std::int64_t n = 0; n < s.batch; ++n)
    for (std::int64_t f = 0; f < s.filters; ++f)
      for (std::int64_t oy = 0; oy < s.out_height; ++oy)
        for (std::int64_t ox = 0; ox < s.out_width; ++ox) {
          float sum = 0;
          for (std::int64_t c = 0; c < channels; ++c)
            for (std::int64_t ky = 0; ky < s.kernel_height; ++ky)
              for (std::int64_t kx = 0; kx < s.kernel_width; ++kx) {
                const std::int64_t iy = oy * s.stride_height + ky * s.dilation_height - s.pad_top;
                const std::int64_t ix = ox * s.stride_width + kx * s.dilation_width - s.pad_left;
                if (iy < 0 || iy >= s.height || ix < 0 || ix >= s.width) continue;
                const std::int64_t plane = n * s.channels + f / filters * channels + c;
                sum += w.data()[((f * channels + c) * s.kernel_height + ky) * s.kernel_width + kx] *
                       x.data()[(plane * s.height + iy) * s.width + ix];
              }
          y.push_back(sum + bias[static_cast<std::size_t>(f)]);
        }
  return y;
}

std::int64_t outputs(std::int64_t extent, std::int64_t pads, std::int64_t reach,
                     std::int64_t stride) {
  return (extent + pads - reach) / stride + 1;
}

TEST(Convolve, EqualsTheDefinitionInEveryBit) {
  std::mt19937 generator(6);
  const auto pick = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(generator);
  };
  for (int round = 0; round < 300; ++round) {
    Convolution s{.batch = pick(1, 3)};
    s.group = pick(1, 4);
    s.channels = s.group * pick(1, 3);
    s.filters = s.group * pick(1, 5);
    s.kernel_height = pick(1, 3);
    s.kernel_width = pick(1, 4);
    s.stride_height = pick(1, 3);
    s.stride_width = pick(1, 3);
    s.dilation_height = pick(1, 2);
    s.dilation_width = pick(1, 2);
    const std::int64_t reach_height = s.dilation_height * (s.kernel_height - 1) + 1;
    const std::int64_t reach_width = s.dilation_width * (s.kernel_width - 1) + 1;
    s.height = reach_height + pick(0, 9);
    s.width = reach_width + pick(0, 20);
    s.pad_top = pick(0, 3);
    s.pad_left = pick(0, 5);
    s.out_height = outputs(s.height, s.pad_top + pick(0, 3), reach_height, s.stride_height);
    s.out_width = outputs(s.width, s.pad_left + pick(0, 5), reach_width, s.stride_width);
    const auto x = random_values<float>(s.batch * s.channels * s.height * s.width, generator);
    const auto w = random_values<float>(
        s.filters * s.channels / s.group * s.kernel_height * s.kernel_width, generator);
    const auto bias = random_values<float>(s.filters, generator);
    std::vector<float> y(static_cast<std::size_t>(s.batch * s.filters * s.out_height * s.out_width),
                         99);
    convolve<float>(s, x.data(), w.data(), bias.data(), y.data());
    ASSERT_EQ(y, plain_convolution(s, x, w, bias)) << "round " << round;
  }
}

}  // namespace
}  // namespace tandem
