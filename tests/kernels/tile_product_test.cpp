#include "tandem/kernels/tile_product.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/random.h"
#include "tandem/base/threads.h"
#include "tandem/kernels/instruction_set.h"

namespace tandem {
namespace {

constexpr float kInfinite = std::numeric_limits<float>::infinity();

std::vector<float> normal_floats(std::int64_t count, std::string_view stream) {
  const CounterRandom random(11, stream);
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(static_cast<float>(random.normal(static_cast<std::uint64_t>(i))));
  return values;
}

// Sums in doubles, and of the terms' magnitudes.
struct Exact {
  std::vector<double> sums, magnitudes;
};

// Channels last, w [height, width, channels, filters].
Exact exact_convolution(const Convolution& c, const std::vector<float>& x,
                        const std::vector<float>& w, std::int64_t right_stride) {
  Exact result;
  for (std::int64_t b = 0; b < c.batch; ++b)
    for (std::int64_t oy = 0; oy < c.out_height; ++oy)
      for (std::int64_t ox = 0; ox < c.out_width; ++ox)
        for (std::int64_t f = 0; f < c.filters; ++f) {
          double sum = 0, magnitude = 0;
          for (std::int64_t ky = 0; ky < c.kernel_height; ++ky)
            for (std::int64_t kx = 0; kx < c.kernel_width; ++kx) {
              const std::int64_t iy = oy * c.stride_height + ky * c.dilation_height - c.pad_top;
              const std::int64_t ix = ox * c.stride_width + kx * c.dilation_width - c.pad_left;
              if (iy < 0 || iy >= c.height || ix < 0 || ix >= c.width) continue;
              for (std::int64_t k = 0; k < c.channels; ++k) {
                const auto at =
                    static_cast<std::size_t>(((b * c.height + iy) * c.width + ix) * c.channels + k);
                const auto weight = static_cast<std::size_t>(
                    b * right_stride + ((ky * c.kernel_width + kx) * c.channels + k) * c.filters +
                    f);
                const double term = static_cast<double>(x[at]) * static_cast<double>(w[weight]);
                sum += term;
                magnitude += std::abs(term);
              }
            }
          result.sums.push_back(sum);
          result.magnitudes.push_back(magnitude);
        }
  return result;
}

struct Shape {
  const char* name;
  Convolution c;
  bool own_right = false;
};

// What lies in one part and in several, with borders, tails of channels and filters, strides whose
// phases are read apart, and channels that are split in several chunks.
std::vector<Shape> shapes() {
  const auto images = [](std::int64_t channels, std::int64_t size, std::int64_t filters,
                         std::int64_t kernel, std::int64_t stride, std::int64_t pad,
                         std::int64_t dilation = 1) {
    const std::int64_t out = (size + 2 * pad - (kernel - 1) * dilation - 1) / stride + 1;
    return Convolution{.channels = channels,
                       .height = size,
                       .width = size + 1,
                       .filters = filters,
                       .kernel_height = kernel,
                       .kernel_width = kernel,
                       .stride_height = stride,
                       .stride_width = stride,
                       .dilation_height = dilation,
                       .dilation_width = dilation,
                       .pad_top = pad,
                       .pad_left = pad,
                       .out_height = out,
                       .out_width = (size + 2 * pad - (kernel - 1) * dilation) / stride + 1};
  };
  const auto rows = [](std::int64_t batch, std::int64_t height, std::int64_t depth,
                       std::int64_t columns) {
    return Convolution{.batch = batch,
                       .channels = depth,
                       .height = height,
                       .filters = columns,
                       .out_height = height};
  };
  Convolution pairs = images(48, 15, 40, 3, 1, 1);
  pairs.batch = 2;
  Convolution cut = images(40, 9, 33, 3, 1, 1);
  cut.out_width = cut.out_height = 6;  // what lies on the right is not read
  return {{"border", images(64, 30, 72, 3, 1, 1)},
          {"many filters", images(33, 14, 160, 3, 1, 1)},
          {"stride", images(40, 29, 48, 3, 2, 1)},
          {"stride beyond the kernel", images(32, 20, 64, 1, 3, 0)},
          {"dilation", images(40, 21, 36, 3, 1, 2, 2)},
          {"dilation and stride", images(40, 21, 36, 3, 2, 2, 2)},
          {"even kernel", images(32, 17, 32, 4, 2, 1)},
          {"images", pairs},
          {"cut", cut},
          {"product", rows(2, 37, 96, 130)},
          {"one panel", rows(1, 77, 100, 16)},
          {"chunks", rows(1, 150, 3000, 140)},
          {"row parts", rows(1, 5000, 64, 40)},
          {"own right operands", rows(5, 37, 40, 50), true}};
}

class TileProductTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!processor_has(InstructionSet::kAmx)) GTEST_SKIP() << "this processor has no tiles";
  }
  void TearDown() override { set_thread_count(threads_); }

 private:
  int threads_ = thread_count();
};

// Within a few units in the last place of the terms' magnitudes, with equal bits for any number of
// threads, and in place of what is added.
TEST_F(TileProductTest, SumsLikeF32) {
  for (const auto& [name, c, own_right] : shapes()) {
    SCOPED_TRACE(name);
    const std::int64_t size = c.kernel_height * c.kernel_width * c.channels * c.filters;
    const auto x = normal_floats(c.batch * c.height * c.width * c.channels, "x");
    const auto w = normal_floats(size * (own_right ? c.batch : 1), "w");
    const auto bias = normal_floats(c.filters, "bias");
    const auto addend = normal_floats(c.batch * c.out_height * c.out_width * c.filters, "addend");
    const Exact exact = exact_convolution(c, x, w, own_right ? size : 0);
    TileProduct::Options options;
    options.right_stride = own_right ? size : 0;
    options.bias = bias.data();
    options.adds = true;
    options.activation = {RealFunction::kRelu};
    const TileProduct product(c, options);
    std::vector<float> first;
    for (const int threads : {1, 2, 3, 4}) {
      set_thread_count(threads);
      std::vector<float> y(addend.size());
      product.run(x.data(), w.data(), addend.data(), y.data());
      if (threads == 1) first = y;
      EXPECT_EQ(y, first) << threads << " threads";
    }
    std::vector<float> y = addend;
    product.run(x.data(), w.data(), y.data(), y.data());
    EXPECT_EQ(y, first) << "in place";
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double expected = exact.sums[i] + static_cast<double>(addend[i]) +
                              static_cast<double>(bias[i % bias.size()]);
      ASSERT_NEAR(y[i], std::max(expected, 0.0), 5e-7 * (exact.magnitudes[i] + 1))
          << "element " << i;
    }
  }
}

TEST_F(TileProductTest, TakesWeightsInPanels) {
  const Convolution c = shapes()[0].c;
  const std::int64_t positions = c.kernel_height * c.kernel_width;
  const auto x = normal_floats(c.height * c.width * c.channels, "x");
  const auto given = normal_floats(c.filters * c.channels * positions, "w");
  std::vector<float> plain(given.size()), panels(given.size());
  for (std::int64_t f = 0; f < c.filters; ++f)
    for (std::int64_t k = 0; k < c.channels; ++k)
      for (std::int64_t p = 0; p < positions; ++p)
        plain[static_cast<std::size_t>((p * c.channels + k) * c.filters + f)] =
            given[static_cast<std::size_t>((f * c.channels + k) * positions + p)];
  turn_to_panels(given.data(), c.filters, c.channels, positions, panels.data());
  const auto size = static_cast<std::size_t>(c.out_height * c.out_width * c.filters);
  std::vector<float> expected(size), y(size);
  TileProduct(c, {}).run(x.data(), plain.data(), nullptr, expected.data());
  TileProduct::Options options;
  options.right_in_panels = options.right_is_finite = true;
  TileProduct(c, options).run(x.data(), panels.data(), nullptr, y.data());
  EXPECT_EQ(y, expected);
}

// Infinities and NaN in either operand give what f32 gives, and change nothing else.
TEST_F(TileProductTest, InfinitiesAreWhatTheyAreInF32) {
  const Convolution c{.batch = 2, .channels = 40, .height = 20, .filters = 40, .out_height = 20};
  for (const float special : {kInfinite, std::nanf("")}) {
    for (const bool on_the_left : {true, false}) {
      auto x = normal_floats(c.batch * c.height * c.channels, "x");
      auto w = normal_floats(c.batch * c.channels * c.filters, "w");
      TileProduct::Options options;
      options.right_stride = c.channels * c.filters;
      const TileProduct product(c, options);
      const auto size = static_cast<std::size_t>(c.batch * c.height * c.filters);
      std::vector<float> before(size), y(size);
      product.run(x.data(), w.data(), nullptr, before.data());
      (on_the_left ? x[3 * 40 + 5] : w[7 * 40 + 9]) = special;
      product.run(x.data(), w.data(), nullptr, y.data());
      for (std::size_t i = 0; i < size; ++i) {
        const bool is_first = i < size / 2;
        const bool touched = is_first && (on_the_left ? i / 40 == 3 : i % 40 == 9);
        if (touched)
          EXPECT_EQ(std::isnan(y[i]), std::isnan(special)) << i;
        else
          ASSERT_NEAR(y[i], before[i], 1e-4) << i;
        EXPECT_EQ(std::isfinite(y[i]), !touched) << i;
      }
    }
  }
}

// Whatever parts are computed number by number.
TEST_F(TileProductTest, InfinitiesLeaveTheSameBitsForAnyNumberOfThreads) {
  for (const auto& [name, c, own_right] : shapes()) {
    if (own_right) continue;
    SCOPED_TRACE(name);
    auto x = normal_floats(c.batch * c.height * c.width * c.channels, "x");
    const auto w = normal_floats(c.kernel_height * c.kernel_width * c.channels * c.filters, "w");
    x[x.size() / 3] = kInfinite;
    x[x.size() - 5] = std::nanf("");
    TileProduct::Options options;
    options.right_is_finite = true;
    const TileProduct product(c, options);
    std::vector<float> first;
    for (const int threads : {1, 2, 3, 4}) {
      set_thread_count(threads);
      std::vector<float> y(
          static_cast<std::size_t>(c.batch * c.out_height * c.out_width * c.filters));
      product.run(x.data(), w.data(), nullptr, y.data());
      if (threads == 1) first = y;
      EXPECT_EQ(std::memcmp(y.data(), first.data(), y.size() * sizeof(float)), 0)
          << threads << " threads";
    }
    EXPECT_TRUE(std::ranges::any_of(first, [](float v) { return std::isfinite(v); }));
  }
}

TEST_F(TileProductTest, SumsOfTheGreatestNumbersStayFinite) {
  const Convolution c{.channels = 32, .height = 16, .filters = 32, .out_height = 16};
  std::vector<float> x(16 * 32, 0.0F), w(32 * 32, 0.0F), y(16 * 32);
  x[0] = std::numeric_limits<float>::max();
  w[0] = 1;
  x[32 + 1] = 1e-30F;
  w[32 + 1] = 1e30F;
  TileProduct(c, {}).run(x.data(), w.data(), nullptr, y.data());
  EXPECT_EQ(y[0], std::numeric_limits<float>::max());
  EXPECT_NEAR(y[33], 1, 1e-6);
}

}  // namespace
}  // namespace tandem
