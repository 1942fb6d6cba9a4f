#include "tandem/kernels/decode_product.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/threads.h"
#include "tandem/kernels/instruction_set.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr const char* kFormats[] = {
    "int1",    "int2",    "int3",  "int4",       "int5",      "int6",  "int7",  "int8",
    "uint1",   "uint2",   "uint3", "uint4",      "uint5",     "uint6", "uint7", "uint8",
    "ternary", "bipolar", "nf4",   "bnb_fp4",    "e2m1",      "e2m2",  "e3m2",  "e2m3",
    "e3m3",    "e4m3",    "e5m2",  "fixed<4,2>", "fixed<8,5>"};
constexpr ScaleKind kPlainScales[] = {ScaleKind::kF32, ScaleKind::kF16, ScaleKind::kBf16};

struct WeightShape {
  std::int64_t rows, depth, group;
};
// Panels and tiles that are filled and not; groups of tiles, of all of a row, of all of a long one.
constexpr WeightShape kShapes[] = {
    {8, 32, 32}, {16, 256, 64}, {21, 96, 32}, {5, 77, 77}, {40, 320, 320}};

// Weights with codes and scales drawn at random, and what they stand for.
struct Drawn {
  DecodeSource source;
  std::vector<std::uint8_t> codes, zeros;
  std::vector<float> scales, super_scales;

  std::size_t group(std::int64_t row, std::int64_t k) const {
    return static_cast<std::size_t>(row * (source.depth / source.group) + k / source.group);
  }
  double scale(std::int64_t row, std::int64_t k) const {
    const double scale = static_cast<double>(scales[group(row, k)]);
    if (source.scale_kind != ScaleKind::kNested) return scale;
    const auto super = (row * source.depth + k) / DecodeWeights::kSuperGroup;
    return scale * static_cast<double>(super_scales[static_cast<std::size_t>(super)]);
  }
  std::uint8_t code(std::int64_t row, std::int64_t k) const {
    return codes[static_cast<std::size_t>(row * source.depth + k)];
  }
  int zero(std::int64_t row, std::int64_t k) const {
    return zeros.empty() ? source.decoder.zero : zeros[group(row, k)];
  }
  double weight(std::int64_t row, std::int64_t k) const {
    const CodeDecoder& decoder = source.decoder;
    if (decoder.kind != CodeDecoder::Kind::kInteger)
      return scale(row, k) * static_cast<double>(decoder.real(code(row, k)));
    return scale(row, k) * static_cast<double>(decoder.unit) * (code(row, k) - zero(row, k));
  }
  // Of what is multiplied for a weight: unsigned codes, and zero points with the sums of groups.
  double magnitude(std::int64_t row, std::int64_t k) const {
    if (source.decoder.kind != CodeDecoder::Kind::kInteger) return std::abs(weight(row, k));
    return std::abs(scale(row, k)) * static_cast<double>(source.decoder.unit) *
           (code(row, k) + zero(row, k));
  }
};

class DecodeProduct : public testing::TestWithParam<InstructionSet> {
 protected:
  void SetUp() override {
    if (!processor_has(GetParam())) GTEST_SKIP() << "this processor lacks " << name(GetParam());
    before_ = instruction_set();
    set_instruction_set(GetParam());
  }
  void TearDown() override {
    if (processor_has(GetParam())) set_instruction_set(before_);
    set_thread_count(threads_);
  }

  std::size_t below(std::size_t end) { return engine_() % end; }

  Drawn draw(const char* format, const WeightShape& shape, ScaleKind kind,
             bool with_zeros = false) {
    Drawn drawn;
    drawn.source.decoder = decoder_of(Format::parse(format)).value();
    drawn.source.rows = shape.rows;
    drawn.source.depth = shape.depth;
    drawn.source.group = shape.group;
    drawn.source.scale_kind = kind;
    std::vector<std::uint8_t> numbers;
    for (std::size_t code = 0; code < 256; ++code)
      if (drawn.source.decoder.stands_for_number[code])
        numbers.push_back(static_cast<std::uint8_t>(code));
    drawn.codes.resize(static_cast<std::size_t>(shape.rows * shape.depth));
    for (auto& code : drawn.codes) code = numbers[below(numbers.size())];
    drawn.scales.resize(static_cast<std::size_t>(shape.rows * (shape.depth / shape.group)));
    for (float& scale : drawn.scales)  // exact in every kind
      scale = kind == ScaleKind::kNested ? static_cast<float>(below(255)) - 127
                                         : static_cast<float>(1 + below(127)) / 64;
    if (with_zeros) {
      drawn.zeros.resize(drawn.scales.size());
      for (auto& zero : drawn.zeros) zero = numbers[below(numbers.size())];
    }
    if (kind == ScaleKind::kNested) {
      drawn.super_scales.resize(
          static_cast<std::size_t>(shape.rows * shape.depth / DecodeWeights::kSuperGroup));
      for (float& scale : drawn.super_scales) scale = static_cast<float>(1 + below(127)) / 64;
    }
    return drawn;
  }
  static DecodeWeights packed(Drawn& drawn) {
    drawn.source.codes = drawn.codes;
    drawn.source.scales = drawn.scales;
    drawn.source.super_scales = drawn.super_scales;
    drawn.source.zeros = drawn.zeros;
    return DecodeWeights(drawn.source);
  }

  std::vector<float> normal(std::int64_t count) {
    std::normal_distribution<float> distribution;
    std::vector<float> x(static_cast<std::size_t>(count));
    for (float& element : x) element = distribution(engine_);
    return x;
  }

  // Expects the product of f32 rows within what rounding each of its operations allows.
  void expect_product(Drawn drawn, std::int64_t rows, float magnitude = 1) {
    const DecodeWeights w = packed(drawn);
    const std::int64_t depth = drawn.source.depth, columns = drawn.source.rows;
    std::vector<float> x = normal(rows * depth);
    for (float& element : x) element *= magnitude;
    std::vector<float> y(static_cast<std::size_t>(rows * columns));
    decode_product(w, x.data(), rows, depth, y.data(), columns);
    for (std::int64_t m = 0; m < rows; ++m) {
      for (std::int64_t i = 0; i < columns; ++i) {
        double sum = 0, most = 0;
        for (std::int64_t k = 0; k < depth; ++k) {
          const double element = x[static_cast<std::size_t>(m * depth + k)];
          sum += drawn.weight(i, k) * element;
          most += drawn.magnitude(i, k) * std::abs(element);
        }
        const double bound = static_cast<double>(depth + 8) * 0x1p-24 * most;
        ASSERT_NEAR(y[static_cast<std::size_t>(m * columns + i)], sum, bound)
            << "row " << m << ", column " << i;
      }
    }
  }

  std::mt19937 engine_{1};

 private:
  InstructionSet before_ = InstructionSet::kPortable;
  int threads_ = thread_count();
};

INSTANTIATE_TEST_SUITE_P(InstructionSets, DecodeProduct, testing::ValuesIn(kInstructionSets),
                         [](const auto& set) { return std::string(name(set.param)); });

TEST_P(DecodeProduct, OfEveryFormatWithReals) {
  for (const char* format : kFormats) {
    for (const WeightShape& shape : kShapes) {
      for (const ScaleKind kind : kPlainScales) {
        SCOPED_TRACE(testing::Message() << format << " " << shape.rows << "x" << shape.depth);
        const auto rows = static_cast<std::int64_t>(1 + below(9));
        expect_product(draw(format, shape, kind), rows);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(DecodeProduct, WithZeroPointsAndNestedScales) {
  for (int bits = 1; bits <= 8; ++bits) {
    const std::string format = "uint" + std::to_string(bits);
    SCOPED_TRACE(format);
    expect_product(draw(format.c_str(), {21, 192, 64}, ScaleKind::kF16, true), 3);
    expect_product(draw(("int" + std::to_string(bits)).c_str(), {19, 512, 16}, ScaleKind::kNested),
                   3);
    if (HasFatalFailure()) return;
  }
}

TEST_P(DecodeProduct, OfNumbersNearTheEndsOfF32) {
  for (const float magnitude : {1e-36F, 1e-20F, 1e20F, 1e30F})
    expect_product(draw("int4", {8, 64, 32}, ScaleKind::kF32), 2, magnitude);
}

TEST_P(DecodeProduct, KeepsInfinitiesAndNans) {
  Drawn drawn = draw("int4", {8, 64, 32}, ScaleKind::kF32);
  std::ranges::fill(drawn.codes, std::uint8_t{9});  // 1
  const DecodeWeights w = packed(drawn);
  std::vector<float> x = normal(128), y(16);
  x[3] = std::numeric_limits<float>::infinity();
  x[70] = std::numeric_limits<float>::quiet_NaN();
  decode_product(w, x.data(), 2, 64, y.data(), 8);
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(y[i], std::numeric_limits<float>::infinity());
    EXPECT_TRUE(std::isnan(y[8 + i]));
  }
}

// Codes at their ends too, where sums of products come nearest to the ends of 16 bits.
TEST_P(DecodeProduct, WithCodedRowsIsExactAsDefined) {
  for (int bits = 1; bits <= 8; ++bits) {
    for (const bool is_signed : {false, true}) {
      for (const int zeros : {0, 1}) {
        const std::string format = (is_signed ? "int" : "uint") + std::to_string(bits);
        SCOPED_TRACE(format);
        for (const WeightShape& shape : kShapes) {
          Drawn drawn = draw(format.c_str(), shape, ScaleKind::kF16, zeros == 1);
          const auto most = static_cast<std::uint8_t>((1 << bits) - 1);
          for (std::size_t i = 0; i < drawn.codes.size() / 2; ++i)
            drawn.codes[i] = below(2) == 0 ? std::uint8_t{0} : most;
          const DecodeWeights w = packed(drawn);
          ASSERT_TRUE(takes_coded_rows(w));
          const auto rows = static_cast<std::int64_t>(1 + below(6));
          std::vector<float> x = normal(rows * shape.depth);
          for (std::size_t i = 0; i < x.size() / 2; ++i) x[i] = below(2) == 0 ? -3.0F : 3.0F;
          CodedRows coded;
          code_rows(w, x.data(), rows, shape.depth, coded);
          std::vector<float> y(static_cast<std::size_t>(rows * shape.rows));
          decode_product(w, coded, y.data(), shape.rows);
          const std::int64_t groups = shape.depth / shape.group;
          for (std::int64_t m = 0; m < rows; ++m) {
            for (std::int64_t i = 0; i < shape.rows; ++i) {
              float expected = 0;
              for (std::int64_t g = 0; g < groups; ++g) {
                std::int64_t sum = 0;
                for (std::int64_t k = g * shape.group; k < (g + 1) * shape.group; ++k) {
                  const auto at = static_cast<std::size_t>(i * shape.depth + k);
                  const int zero = zeros == 1
                                       ? drawn.zeros[static_cast<std::size_t>(i * groups + g)]
                                       : drawn.source.decoder.zero;
                  sum += (drawn.codes[at] - zero) *
                         coded.codes[static_cast<std::size_t>(m * coded.padded_depth + k)];
                }
                const float scale = drawn.scales[static_cast<std::size_t>(i * groups + g)] *
                                    coded.scales[static_cast<std::size_t>(m * groups + g)];
                expected += static_cast<float>(sum) * scale;
              }
              ASSERT_EQ(y[static_cast<std::size_t>(m * shape.rows + i)], expected);
            }
          }
        }
      }
    }
  }
}

TEST_P(DecodeProduct, WithCodedRowsAndNestedScalesIsExactUpToGroupsOf256) {
  for (int bits = 1; bits <= 8; ++bits) {
    Drawn drawn = draw(("int" + std::to_string(bits)).c_str(), {13, 768, 16}, ScaleKind::kNested);
    const auto most = static_cast<std::uint8_t>((1 << bits) - 1);
    for (std::size_t i = 0; i < drawn.codes.size() / 2; ++i)
      drawn.codes[i] = below(2) == 0 ? std::uint8_t{0} : most;
    const DecodeWeights w = packed(drawn);
    std::vector<float> x = normal(2 * 768), y(2 * 13);
    for (std::size_t i = 0; i < x.size() / 2; ++i) x[i] = below(2) == 0 ? -3.0F : 3.0F;
    CodedRows coded;
    code_rows(w, x.data(), 2, 768, coded);
    EXPECT_EQ(coded.group, 256);
    decode_product(w, coded, y.data(), 13);
    for (std::size_t m = 0; m < 2; ++m) {
      for (std::size_t i = 0; i < 13; ++i) {
        float expected = 0;
        for (std::size_t s = 0; s < 3; ++s) {
          std::int64_t sum = 0;
          for (std::size_t k = 256 * s; k < 256 * (s + 1); ++k)
            sum += static_cast<int>(drawn.scales[i * 48 + k / 16]) *
                   (drawn.codes[i * 768 + k] - drawn.source.decoder.zero) *
                   coded.codes[m * 768 + k];
          expected +=
              static_cast<float>(sum) * (drawn.super_scales[i * 3 + s] * coded.scales[m * 3 + s]);
        }
        ASSERT_EQ(y[m * 13 + i], expected) << bits << " bits";
      }
    }
  }
}

TEST_P(DecodeProduct, HasTheSameBitsForAnyNumberOfThreads) {
  Drawn drawn = draw("e3m2", {1000, 512, 128}, ScaleKind::kF16);
  const DecodeWeights w = packed(drawn);
  const std::vector<float> x = normal(3 * 512);
  std::vector<float> first(3000), y(3000);
  for (const int threads : {1, 2, 3, 4}) {
    set_thread_count(threads);
    decode_product(w, x.data(), 3, 512, y.data(), 1000);
    if (threads == 1) first = y;
    EXPECT_EQ(y, first) << threads << " threads";
  }
}

TEST(DecodeWeights, SaysHowFormatsAreDecoded) {
  using Kind = CodeDecoder::Kind;
  const auto kind = [](const char* format) { return decoder_of(Format::parse(format))->kind; };
  EXPECT_EQ(kind("int4"), Kind::kInteger);
  EXPECT_EQ(kind("ternary"), Kind::kInteger);
  EXPECT_EQ(kind("nf4"), Kind::kTable);
  EXPECT_EQ(kind("e2m1"), Kind::kTable);
  EXPECT_EQ(kind("bipolar"), Kind::kTable);
  EXPECT_EQ(kind("e3m2"), Kind::kFloat);
  EXPECT_EQ(kind("e4m3"), Kind::kFloat);
  for (const char* format : {"int9", "bf16", "bnb_dynamic8", "e8m0", "bool"})
    EXPECT_FALSE(decoder_of(Format::parse(format)).has_value()) << format;
  for (const char* name : kFormats) {
    const Format format = Format::parse(name);
    const CodeDecoder decoder = *decoder_of(format);
    for (const std::uint64_t code : format.codes()) {
      if (decoder.kind == Kind::kInteger) {
        if (format.name() == "ternary" && code == 2) continue;
        const auto index =
            static_cast<unsigned>(format.integer_of(code) - format.integer_range().min);
        ASSERT_EQ(decoder.real(index), format.decode(code)) << name;
      } else if (decoder.stands_for_number[code]) {
        ASSERT_EQ(decoder.real(static_cast<unsigned>(code)), format.decode(code)) << name;
      } else {
        ASSERT_FALSE(std::isfinite(format.decode(code))) << name;
      }
    }
  }
}

TEST(DecodeWeights, RecordsItsPackingAndCountsItsBytes) {
  const std::vector<std::uint8_t> codes(64 * 128);
  const std::vector<float> scales(64 * 4, 1.0F);
  DecodeSource source;
  source.decoder = *decoder_of(Format::parse("e3m2"));
  source.rows = 64;
  source.depth = 128;
  source.group = 32;
  source.codes = codes;
  source.scale_kind = ScaleKind::kF16;
  source.scales = scales;
  const DecodeWeights w(source);
  EXPECT_EQ(w.packing().name(), "4+2x32");
  EXPECT_EQ(w.bytes(), 64 * 128 * 6 / 8 + 64 * 4 * 2);
}

TEST(DecodeWeights, RefuseCodesOfActivationsThatAreNotFinite) {
  const std::vector<std::uint8_t> codes(8 * 32);
  const std::vector<float> scales(8, 1.0F);
  DecodeSource source;
  source.decoder = *decoder_of(Format::parse("int4"));
  source.rows = 8;
  source.depth = 32;
  source.group = 32;
  source.codes = codes;
  source.scales = scales;
  const DecodeWeights w(source);
  std::vector<float> x(32, 1.0F);
  x[5] = std::numeric_limits<float>::infinity();
  CodedRows coded;
  EXPECT_THAT([&] { code_rows(w, x.data(), 1, 32, coded); },
              ThrowsMessage<Error>(HasSubstr("has a NaN or an infinity")));
}

}  // namespace
}  // namespace tandem
