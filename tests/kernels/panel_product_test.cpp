#include "tandem/kernels/panel_product.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/threads.h"
#include "tandem/kernels/instruction_set.h"

namespace tandem {
namespace {

TEST(PanelProduct, PanelsHoldEachFilterOnce) {
  for (const std::int64_t vector : {8, 16}) {
    for (std::int64_t filters = 1; filters <= 200; ++filters) {
      std::int64_t next = 0, lanes = 0;
      for (const FilterPanel& panel : filter_panels(filters, vector)) {
        EXPECT_EQ(panel.first, next);
        EXPECT_EQ(panel.at, lanes);
        EXPECT_GT(panel.filters, vector * (panel.vectors - 1));
        EXPECT_LE(panel.filters, vector * panel.vectors);
        EXPECT_LE(panel.vectors, 3);
        next += panel.filters;
        lanes += vector * panel.vectors;
      }
      EXPECT_EQ(next, filters);
      EXPECT_LT(lanes, filters + vector);
    }
  }
}

class PanelProductTest : public testing::TestWithParam<InstructionSet> {
 protected:
  void SetUp() override {
    if (!processor_has(GetParam())) GTEST_SKIP() << "this processor lacks " << name(GetParam());
    set_instruction_set(GetParam());
    const std::int64_t extent = has_windows() ? 3 : 1;
    const Convolution suited{
        .channels = 64, .filters = 64, .kernel_height = extent, .kernel_width = extent};
    if (!PanelProduct::suits(suited)) GTEST_SKIP() << "this processor lacks FMA";
  }
  void TearDown() override { set_instruction_set(before_); }
  // Kernels of any size, not of one position alone.
  static bool has_windows() { return GetParam() == InstructionSet::kAvx2; }

  std::int64_t any(std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(engine_);
  }
  std::vector<float> reals(std::int64_t count) {
    std::vector<float> result(static_cast<std::size_t>(count));
    std::normal_distribution<float> normal;
    for (float& x : result) x = normal(engine_);
    return result;
  }
  Convolution any_convolution() {
    Convolution c{.batch = any(1, 2), .channels = any(1, 40), .height = any(1, 20)};
    c.width = any(1, 20);
    c.filters = any(1, 140);
    if (!has_windows()) {
      c.channels = any(0, 9) == 0 ? any(1500, 3200) : c.channels;
      c.out_height = c.height;
      c.out_width = c.width;
      return c;
    }
    c.kernel_height = any(1, std::min<std::int64_t>(4, c.height));
    c.kernel_width = any(1, std::min<std::int64_t>(4, c.width));
    c.dilation_height = (c.kernel_height - 1) * 2 < c.height ? any(1, 2) : 1;
    c.dilation_width = (c.kernel_width - 1) * 2 < c.width ? any(1, 2) : 1;
    c.stride_height = any(1, 3);
    c.stride_width = any(1, 3);
    c.pad_top = any(0, 2);
    c.pad_left = any(0, 2);
    const auto out = [](std::int64_t extent, std::int64_t kernel, std::int64_t dilation,
                        std::int64_t stride, std::int64_t pads) {
      return (extent + pads - (kernel - 1) * dilation - 1) / stride + 1;
    };
    c.out_height =
        out(c.height, c.kernel_height, c.dilation_height, c.stride_height, 2 * c.pad_top);
    c.out_width = out(c.width, c.kernel_width, c.dilation_width, c.stride_width, 2 * c.pad_left);
    return c;
  }

  // The same weights with filters innermost.
  static void expect_filters_side_by_side_are_turned(const std::vector<float>& w,
                                                     const WeightOrder& order,
                                                     const std::vector<float>& panels) {
    std::vector<float> inner, turned(panels.size());
    for (std::int64_t c = 0; c < order.channels; ++c)
      for (std::int64_t p = 0; p < order.positions; ++p)
        for (std::int64_t f = 0; f < order.filters; ++f)
          inner.push_back(w[static_cast<std::size_t>(f * order.by_filter + c * order.by_channel +
                                                     p * order.by_position)]);
    const WeightOrder of_inner{
        order.filters, order.channels, order.positions, 1, order.filters * order.positions,
        order.filters};
    turn_to_filter_panels(inner.data(), of_inner, turned.data());
    EXPECT_EQ(turned, panels);
  }

  std::mt19937_64 engine_{11};

 private:
  const InstructionSet before_ = instruction_set();
};

// [batch, channels, positions] from channels last.
std::vector<float> channels_first(const std::vector<float>& x, std::int64_t batch,
                                  std::int64_t channels) {
  const std::int64_t positions = static_cast<std::int64_t>(x.size()) / batch / channels;
  std::vector<float> result(x.size());
  for (std::int64_t b = 0; b < batch; ++b)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t p = 0; p < positions; ++p)
        result[static_cast<std::size_t>((b * channels + c) * positions + p)] =
            x[static_cast<std::size_t>((b * positions + p) * channels + c)];
  return result;
}

// Any shape, filters that fill no panel, windows that cross the border, and what follows the sums;
// the same bits for any number of threads, and with weights that are turned in each run.
TEST_P(PanelProductTest, EqualsTheReference) {
  const RealCall calls[] = {{},
                            {RealFunction::kRelu},
                            {RealFunction::kRelu, 0.25F},
                            {RealFunction::kClip, -0.5F, 2.0F},
                            {RealFunction::kHardSwish}};
  for (int round = 0; round < 300; ++round) {
    const Convolution c = any_convolution();
    const std::int64_t positions = c.kernel_height * c.kernel_width;
    const auto x = reals(c.batch * c.height * c.width * c.channels);
    const auto w = reals(c.filters * c.channels * positions), bias = reals(c.filters);
    const auto addend = reals(c.batch * c.out_height * c.out_width * c.filters);
    const WeightOrder order{c.filters, c.channels, positions, c.channels * positions, positions, 1};
    std::vector<float> panels(static_cast<std::size_t>(panel_floats(order)));
    turn_to_filter_panels(w.data(), order, panels.data());
    expect_filters_side_by_side_are_turned(w, order, panels);
    const RealCall& call = calls[any(0, 4)];
    const bool adds = any(0, 1) == 0;
    const PanelProduct::Options options{
        .bias = bias.data(), .adds = adds, .activation = call, .weights = w.data(), .order = order};
    const PanelProduct product(c, panels.data(), options), turning(c, nullptr, options);
    std::vector<float> sums(addend.size()), first;
    const auto x_first = channels_first(x, c.batch, c.channels);
    convolve<float>(c, x_first.data(), w.data(), bias.data(), sums.data());
    auto expected =
        adds ? channels_first(addend, c.batch, c.filters) : std::vector<float>(addend.size(), 0.0F);
    for (std::size_t i = 0; i < sums.size(); ++i) expected[i] += sums[i];
    apply(call, expected.data(), nullptr, expected.data(),
          static_cast<std::int64_t>(expected.size()));
    const int before = thread_count();
    for (const int threads : {1, 3}) {
      set_thread_count(threads);
      std::vector<float> y = addend;  // in place of what is added
      product.run(x.data(), y.data(), y.data());
      if (threads == 1) first = y;
      EXPECT_EQ(y, first);
      y = addend;
      turning.run(x.data(), y.data(), y.data());
      EXPECT_EQ(y, first);
    }
    set_thread_count(before);
    const auto given = channels_first(first, c.batch, c.filters);
    for (std::size_t i = 0; i < expected.size(); ++i)
      ASSERT_NEAR(given[i], expected[i], 1e-3) << "round " << round << ", element " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, PanelProductTest,
                         testing::Values(InstructionSet::kAvx2, InstructionSet::kVnni),
                         [](const auto& suite) { return std::string(name(suite.param)); });

}  // namespace
}  // namespace tandem
