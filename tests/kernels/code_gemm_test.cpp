#include "tandem/kernels/code_gemm.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "tandem/kernels/code_pairs.h"
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

TEST_P(CodeKernels, MultiplyComputedOperandsExactly) {
  PackedCodes packed;  // its memory is used again
  for (int round = 0; round < 100; ++round) {
    const std::int64_t rows = any(1, 40), depth = any(1, 210), columns = any(1, 70);
    const bool is_signed = any(0, 1) == 0, extreme = any(0, 1) == 0;
    const auto draw = [&] {
      return static_cast<std::uint8_t>(extreme ? 255 * any(0, 1) : any(0, 255));
    };
    std::vector<std::uint8_t> b(static_cast<std::size_t>(depth * columns));
    for (auto& code : b) code = draw();
    pack_computed_codes(b.data(), is_signed, depth, columns, packed);
    const std::int64_t stride = packed.padded_depth();
    std::vector<std::uint8_t> a(static_cast<std::size_t>(rows * stride), 99);
    for (std::int64_t i = 0; i < rows; ++i) std::generate_n(a.begin() + i * stride, depth, draw);
    const std::int64_t width = packed.panel_count() * PackedCodes::kPanel;
    std::vector<std::int32_t> c(static_cast<std::size_t>(rows * width)),
        row_sums(static_cast<std::size_t>(rows));
    multiply_codes(a.data(), rows, stride, packed, 0, packed.panel_count(), c.data(), width);
    sum_code_rows(a.data(), rows, stride, depth, row_sums.data());
    const auto weight = [&](std::int64_t k, std::int64_t j) -> std::int32_t {
      const std::uint8_t code = b[static_cast<std::size_t>(k * columns + j)];
      return is_signed ? static_cast<std::int8_t>(code) : code - 128;
    };
    for (std::int64_t i = 0; i < rows; ++i) {
      std::int32_t row_sum = 0;
      for (std::int64_t k = 0; k < depth; ++k)
        row_sum += a[static_cast<std::size_t>(i * stride + k)];
      ASSERT_EQ(row_sums[static_cast<std::size_t>(i)], row_sum);
      for (std::int64_t j = 0; j < columns; ++j) {
        std::int32_t sum = 0, column_sum = 0;
        for (std::int64_t k = 0; k < depth; ++k) {
          sum += a[static_cast<std::size_t>(i * stride + k)] * weight(k, j);
          column_sum += weight(k, j);
        }
        ASSERT_EQ(c[static_cast<std::size_t>(i * width + j)], sum) << "round " << round;
        ASSERT_EQ(packed.sums[static_cast<std::size_t>(j)], column_sum);
      }
    }
  }
}

TEST_P(CodeKernels, AddPairsWithWideFactors) {
  for (int round = 0; round < 200; ++round) {
    const int shift = static_cast<int>(any(20, 40));
    const std::int64_t most = std::int64_t{1} << std::min(shift + 2, 42);
    const std::int64_t x_factor = any(-most, most), y_factor = any(-most, most),
                       constant = any(-most * 200, most * 200);
    const auto real = [&](std::int64_t integer) {
      return std::ldexp(static_cast<double>(integer), -shift);
    };
    const bool x_signed = any(0, 1) == 0, y_signed = any(0, 1) == 0, to_signed = any(0, 1) == 0;
    const WidePairTerms terms{real(x_factor), real(y_factor), real(constant), to_signed ? -128 : 0,
                              to_signed ? 127 : 255};
    const auto count = static_cast<std::size_t>(any(1, 100));
    std::vector<std::uint8_t> x(count), y(count), to(count);
    for (auto& code : x) code = static_cast<std::uint8_t>(any(0, 255));
    for (auto& code : y) code = static_cast<std::uint8_t>(any(0, 255));
    wide_pair_codes(terms, x.data(), x_signed, y.data(), y_signed, static_cast<std::int64_t>(count),
                    to.data());
    const auto value = [](std::uint8_t byte, bool is_signed) -> std::int64_t {
      return is_signed ? static_cast<std::int8_t>(byte) : byte;
    };
    for (std::size_t i = 0; i < count; ++i) {
      const std::int64_t sum =
          value(x[i], x_signed) * x_factor + value(y[i], y_signed) * y_factor + constant;
      ASSERT_EQ(to[i], static_cast<std::uint8_t>(
                           std::clamp<std::int64_t>(sum >> shift, terms.low, terms.high)))
          << "round " << round << " element " << i;
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
