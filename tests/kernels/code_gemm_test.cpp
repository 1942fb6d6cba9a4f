#include "tandem/kernels/code_gemm.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "tandem/kernels/code_rescale.h"
#include "tandem/numerics/rounding.h"

namespace tandem {
namespace {

class CodeKernels : public testing::TestWithParam<InstructionSet> {
 protected:
  void SetUp() override {
    if (!processor_has(GetParam())) GTEST_SKIP() << "this processor lacks " << name(GetParam());
    before_ = instruction_set();
    set_instruction_set(GetParam());
  }
  void TearDown() override {
    if (processor_has(GetParam())) set_instruction_set(before_);
  }
  std::int64_t any(std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(engine_);
  }

  std::mt19937_64 engine_{1};

 private:
  InstructionSet before_ = InstructionSet::kPortable;
};

INSTANTIATE_TEST_SUITE_P(InstructionSets, CodeKernels, testing::ValuesIn(kInstructionSets),
                         [](const auto& set) { return std::string(name(set.param)); });

// How the elements of a case are drawn: as extreme as they can be, or spread.
enum class Elements { kLeast, kGreatest, kEitherEnd, kUniform, kSmall };

TEST_P(CodeKernels, MultiplyExactly) {
  for (int round = 0; round < 300; ++round) {
    const std::int64_t rows = any(1, 70), depth = any(1, 330), columns = any(1, 100);
    const int most = any(0, 3) == 0 ? 127 : 255;
    const auto weights_are = static_cast<Elements>(any(0, 4));
    const auto codes_are = static_cast<Elements>(any(0, 4));
    const auto draw = [&](Elements elements, std::int64_t low, std::int64_t high) {
      switch (elements) {
        case Elements::kLeast: return low;
        case Elements::kGreatest: return high;
        case Elements::kEitherEnd: return any(0, 1) == 0 ? low : high;
        case Elements::kUniform: return any(low, high);
        case Elements::kSmall: return any(std::max<std::int64_t>(low, -50), 50);
      }
      return low;
    };
    std::vector<std::int8_t> b(static_cast<std::size_t>(depth * columns));
    for (auto& weight : b) weight = static_cast<std::int8_t>(draw(weights_are, -128, 127));
    const PackedCodes packed = pack_codes(b.data(), depth, columns, columns, 1, most);
    const std::int64_t stride = packed.padded_depth() + any(0, 9);
    std::vector<std::uint8_t> a(static_cast<std::size_t>(rows * stride));
    for (auto& code : a) code = static_cast<std::uint8_t>(draw(codes_are, 0, most));

    const std::int64_t panels = packed.panel_count(), width = panels * PackedCodes::kPanel;
    std::vector<std::int32_t> c(static_cast<std::size_t>(rows * width), -1);
    const std::int64_t first = any(0, panels - 1);
    multiply_codes(a.data(), rows, stride, packed, 0, first, c.data(), width);
    multiply_codes(a.data(), rows, stride, packed, first, panels - first,
                   c.data() + first * PackedCodes::kPanel, width);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) {
        std::int64_t sum = 0;
        for (std::int64_t k = 0; k < depth; ++k)
          sum += std::int64_t{a[static_cast<std::size_t>(i * stride + k)]} *
                 b[static_cast<std::size_t>(k * columns + j)];
        ASSERT_EQ(c[static_cast<std::size_t>(i * width + j)], sum)
            << "round " << round << " row " << i << " column " << j << " depth " << depth;
      }
    }
  }
}

TEST_P(CodeKernels, RescaleAsUnlimitedIntegersDo) {
  for (int round = 0; round < 200; ++round) {
    const std::int64_t rows = any(1, 9), channels = any(1, 70);
    const std::int64_t readable = (channels + 15) / 16 * 16;
    const bool is_signed = any(0, 1) == 0;
    const std::int32_t low = is_signed ? static_cast<std::int32_t>(any(-128, 0)) : 0;
    const auto high = static_cast<std::int32_t>(any(1, is_signed ? 127 : 255));
    std::vector<RescaleLine> lines;
    for (std::int64_t c = 0; c < channels; ++c) {
      const int shift = static_cast<int>(any(32, 61));
      const std::int64_t reach = std::int64_t{1} << std::min(shift, 58);
      lines.push_back({any(-(1 << 30), 1 << 30), any(-reach, reach), shift});
    }
    const CodeRescale rescale(lines, low, high);
    std::vector<std::int32_t> x(static_cast<std::size_t>(rows * readable));
    for (auto& sum : x) sum = static_cast<std::int32_t>(any(-(1 << 30), 1 << 30));
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(rows * channels), 77);
    rescale_codes(rescale, 0, channels, x.data(), rows, readable, codes.data(), channels);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const RescaleLine& line = lines[static_cast<std::size_t>(c)];
        const Int128 sum =
            Int128{x[static_cast<std::size_t>(r * readable + c)]} * line.multiplier + line.addend;
        const Int128 code =
            std::clamp<Int128>(round_shift(sum, line.shift, Rounding::kFloor), low, high);
        ASSERT_EQ(codes[static_cast<std::size_t>(r * channels + c)],
                  static_cast<std::uint8_t>(code));
      }
    }
  }
}

TEST_P(CodeKernels, MapByATable) {
  std::array<std::uint8_t, 256> table{};
  for (auto& entry : table) entry = static_cast<std::uint8_t>(any(0, 255));
  for (const std::int64_t count : {1, 63, 64, 65, 1000}) {
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(count)), mapped(codes.size() + 1, 9);
    for (auto& code : codes) code = static_cast<std::uint8_t>(any(0, 255));
    map_codes(codes.data(), count, table, mapped.data());
    for (std::size_t i = 0; i < codes.size(); ++i) ASSERT_EQ(mapped[i], table[codes[i]]);
    EXPECT_EQ(mapped.back(), 9);
  }
}

}  // namespace
}  // namespace tandem
