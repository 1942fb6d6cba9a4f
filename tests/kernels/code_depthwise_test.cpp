#include "tandem/kernels/code_depthwise.h"

#include <algorithm>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "tandem/kernels/code_borders.h"
#include "tandem/kernels/code_pairs.h"

namespace tandem {
namespace {

class CodeLanes : public testing::TestWithParam<InstructionSet> {
 protected:
  void SetUp() override {
    if (!processor_has(GetParam())) GTEST_SKIP() << "this processor lacks " << name(GetParam());
    set_instruction_set(GetParam());
  }
  void TearDown() override { set_instruction_set(before_); }
  std::int64_t any(std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(engine_);
  }
  std::vector<std::uint8_t> bytes(std::int64_t count) {
    std::vector<std::uint8_t> result(static_cast<std::size_t>(count));
    const std::int64_t kind = any(0, 2);
    for (auto& byte : result) byte = static_cast<std::uint8_t>(kind == 0 ? 255 : any(0, 255));
    return result;
  }

  std::mt19937_64 engine_{5};

 private:
  InstructionSet before_ = instruction_set();
};

INSTANTIATE_TEST_SUITE_P(InstructionSets, CodeLanes, testing::ValuesIn(kInstructionSets),
                         [](const auto& set) { return std::string(name(set.param)); });

TEST_P(CodeLanes, FilterEachChannelExactly) {
  for (int round = 0; round < 200; ++round) {
    const std::int64_t channels = any(1, 150), taps = any(1, 26), pixels = any(1, 4);
    const bool is_signed = any(0, 1) == 0;
    std::vector<std::int8_t> weights(static_cast<std::size_t>(taps * channels));
    const std::int64_t kind = any(0, 2);
    for (auto& weight : weights)
      weight = static_cast<std::int8_t>(kind == 0 ? -128 : kind == 1 ? 127 : any(-128, 127));
    std::vector<RescaleLine> lines;
    for (std::int64_t c = 0; c < channels; ++c)
      lines.push_back({any(1, 1 << 26), any(-(std::int64_t{1} << 44), std::int64_t{1} << 44), 38});
    const DepthwiseCodes kernel(weights, channels, is_signed, lines, is_signed ? -128 : 0,
                                is_signed ? 127 : 255);
    const auto codes = bytes(4000);
    std::vector<std::int64_t> offsets;
    for (std::int64_t t = 0; t < taps; ++t) offsets.push_back(any(0, 2000));
    const std::int64_t stride = any(0, 300);
    std::vector<std::uint8_t> results(static_cast<std::size_t>(pixels * channels + 1), 99);
    kernel.run(codes.data(), offsets.data(), stride, pixels, results.data());
    for (std::int64_t i = 0; i < pixels * channels; ++i) {
      const std::int64_t c = i % channels;
      std::int64_t sum = 0;
      for (std::int64_t t = 0; t < taps; ++t) {
        const std::uint8_t code = codes[static_cast<std::size_t>(
            offsets[static_cast<std::size_t>(t)] + i / channels * stride + c)];
        sum += std::int64_t{is_signed ? static_cast<std::int8_t>(code) + 128 : code} *
               weights[static_cast<std::size_t>(t * channels + c)];
      }
      const RescaleLine& line = lines[static_cast<std::size_t>(c)];
      const std::int64_t code =
          std::clamp<std::int64_t>((sum * line.multiplier + line.addend) >> line.shift,
                                   is_signed ? -128 : 0, is_signed ? 127 : 255);
      ASSERT_EQ(results[static_cast<std::size_t>(i)], static_cast<std::uint8_t>(code))
          << "round " << round << " channel " << c << " of " << channels;
    }
    EXPECT_EQ(results.back(), 99);
  }
}

TEST_P(CodeLanes, TakeTheGreatestOfEveryTap) {
  for (int round = 0; round < 50; ++round) {
    const std::int64_t channels = any(1, 150), taps = any(1, 9);
    const bool is_signed = any(0, 1) == 0;
    const auto codes = bytes(2000);
    std::vector<std::int64_t> offsets;
    for (std::int64_t t = 0; t < taps; ++t) offsets.push_back(any(0, 1800));
    std::vector<std::uint8_t> results(static_cast<std::size_t>(channels + 1), 99);
    greatest_codes(codes.data(), is_signed, offsets.data(), taps, channels, results.data());
    for (std::int64_t c = 0; c < channels; ++c) {
      int greatest = -1000;
      for (const std::int64_t offset : offsets) {
        const std::uint8_t code = codes[static_cast<std::size_t>(offset + c)];
        greatest = std::max<int>(greatest, is_signed ? static_cast<std::int8_t>(code) : code);
      }
      ASSERT_EQ(results[static_cast<std::size_t>(c)], static_cast<std::uint8_t>(greatest));
    }
    EXPECT_EQ(results.back(), 99);
  }
}

TEST_P(CodeLanes, QuantizeWithTiesToEvenAndNoticeWhatIsNoNumber) {
  const CodeBorder border{0.5F, 10, 0, 255};
  const std::vector<float> reals = {0, 0.25F, 0.75F, 1.25F, -0.25F, -0.75F, 1e30F, -1e30F, 122.6F};
  std::vector<std::uint8_t> codes(reals.size());
  EXPECT_TRUE(quantize_codes(border, reals.data(), static_cast<std::int64_t>(reals.size()), false,
                             codes.data()));
  EXPECT_EQ(codes, (std::vector<std::uint8_t>{10, 10, 12, 12, 10, 8, 255, 0, 255}));
  const float strange[] = {1, std::numeric_limits<float>::quiet_NaN(), 1};
  EXPECT_FALSE(quantize_codes(border, strange, 3, false, codes.data()));
  std::vector<float> back(2);
  const std::uint8_t two[] = {10, 255};
  dequantize_codes(border, two, false, 2, back.data());
  EXPECT_EQ(back, (std::vector<float>{0, 122.5F}));
}

}  // namespace
}  // namespace tandem
