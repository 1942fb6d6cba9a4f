#include "tandem/kernels/dense.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/random.h"
#include "tandem/base/threads.h"

namespace tandem {
namespace {

std::vector<float> random_floats(std::int64_t count, std::string_view stream) {
  const CounterRandom random(7, stream);
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(static_cast<float>(random.normal(static_cast<std::uint64_t>(i))));
  return values;
}

// [batch, channels, positions] to [batch, positions, channels].
std::vector<float> channels_last(const std::vector<float>& x, std::int64_t batch,
                                 std::int64_t channels) {
  const std::int64_t positions = static_cast<std::int64_t>(x.size()) / batch / channels;
  std::vector<float> result(x.size());
  for (std::int64_t b = 0; b < batch; ++b)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t p = 0; p < positions; ++p)
        result[static_cast<std::size_t>((b * positions + p) * channels + c)] =
            x[static_cast<std::size_t>((b * channels + c) * positions + p)];
  return result;
}

// max(conv(x, w) + bias + addend, 0) by the reference, channels last.
std::vector<float> expected_of(const Convolution& c, const std::vector<float>& x,
                               const std::vector<float>& w, const std::vector<float>& bias,
                               const std::vector<float>& addend) {
  std::vector<float> sums(addend.size());
  convolve<float>(c, x.data(), w.data(), bias.data(), sums.data());
  std::vector<float> y = channels_last(sums, c.batch, c.filters);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = std::max(y[i] + addend[i], 0.0F);
  return y;
}

// Shapes that are cut into rows, into filters, and not at all; strides, dilations, groups.
TEST(Dense, ConvolutionsEqualTheReference) {
  const Convolution same{.batch = 1,
                         .channels = 160,
                         .height = 5,
                         .width = 6,
                         .filters = 200,
                         .kernel_height = 3,
                         .kernel_width = 3,
                         .pad_top = 1,
                         .pad_left = 1,
                         .out_height = 5,
                         .out_width = 6};
  Convolution rows = same, small = same, depthwise = same, dilated = same, pointwise = same;
  rows.channels = rows.filters = 24;
  rows.height = rows.out_height = 33;
  rows.width = rows.out_width = 40;
  rows.batch = 2;
  small.channels = 3;
  small.filters = 5;
  depthwise.channels = depthwise.filters = depthwise.group = 160;
  depthwise.height = 41;
  depthwise.stride_height = depthwise.stride_width = 2;
  depthwise.out_height = 21;
  depthwise.out_width = 3;
  dilated.dilation_height = dilated.dilation_width = 2;
  dilated.pad_top = dilated.pad_left = 2;
  pointwise.batch = 2;
  pointwise.channels = 512;
  pointwise.kernel_height = pointwise.kernel_width = 1;
  pointwise.pad_top = pointwise.pad_left = 0;
  for (const Convolution& c : {same, rows, small, depthwise, dilated, pointwise}) {
    const auto x = random_floats(c.batch * c.channels * c.height * c.width, "x");
    const auto w =
        random_floats(c.filters * c.channels / c.group * c.kernel_height * c.kernel_width, "w");
    const auto bias = random_floats(c.filters, "bias");
    const auto addend = random_floats(c.batch * c.filters * c.out_height * c.out_width, "addend");
    const auto expected = expected_of(c, x, w, bias, addend);
    const auto call = dense_convolution(c, w.data(), bias.data(),
                                        {.adds = true, .activation = Activation::kRelu});
    const auto from = channels_last(x, c.batch, c.channels);
    const int before = thread_count();
    std::vector<float> first;
    for (const int threads : {1, 2, 3, 4}) {
      set_thread_count(threads);
      std::vector<float> y(addend.size());
      DenseArguments arguments;
      call->run(from.data(), nullptr, addend.data(), y.data(), arguments);
      if (threads == 1) first = y;
      EXPECT_EQ(y, first) << threads << " threads";
      // In place of what is added.
      y = addend;
      call->run(from.data(), nullptr, y.data(), y.data(), arguments);
      EXPECT_EQ(y, first);
    }
    set_thread_count(before);
    for (std::size_t i = 0; i < expected.size(); ++i)
      ASSERT_NEAR(first[i], expected[i], 2e-3) << c.channels << " channels, element " << i;
  }
}

}  // namespace
}  // namespace tandem
