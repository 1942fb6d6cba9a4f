// The float formats against tables of their codes and against the host's arithmetic.

#include <bit>
#include <cfenv>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/random.h"
#include "tandem/base/text.h"
#include "tandem/numerics/format.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Narrow {
  const char* name;
  int exponent_bits;
  int mantissa_bits;
};
constexpr std::array<Narrow, 3> kNarrow = {{{"f16", 5, 10}, {"bf16", 8, 7}, {"e5m2", 5, 2}}};

// The value of a code by the formula of IEEE 754, in floating point.
double value_by_formula(const Narrow& narrow, std::uint32_t code) {
  const std::uint32_t sign = 1u << (narrow.exponent_bits + narrow.mantissa_bits);
  const std::uint32_t fields = code & (sign - 1);
  const auto exponent = static_cast<int>(fields >> narrow.mantissa_bits);
  const double fraction = static_cast<double>(fields & ((1u << narrow.mantissa_bits) - 1)) /
                          (1 << narrow.mantissa_bits);
  const int bias = (1 << (narrow.exponent_bits - 1)) - 1;
  double magnitude = 0;
  if (exponent == 2 * bias + 1)
    magnitude = fraction == 0 ? kInfinity : std::nan("");
  else if (exponent == 0)
    magnitude = std::ldexp(fraction, 1 - bias);
  else
    magnitude = std::ldexp(1 + fraction, exponent - bias);
  return (code & sign) != 0 ? -magnitude : magnitude;
}

// OCP 8-bit floating point specification, revision 1.0, table 1.
TEST(NarrowFloat, E5m2IsThatOfItsPublishedTable) {
  const Format format = Format::parse("e5m2");
  EXPECT_EQ(format.bits(), 8);
  EXPECT_EQ(format.decode(0b0'11111'00), kInfinity);
  EXPECT_EQ(format.decode(0b1'11111'00), -kInfinity);
  for (const std::uint64_t code : {0b0'11111'01U, 0b0'11111'10U, 0b1'11111'11U})
    EXPECT_TRUE(std::isnan(format.decode(code))) << code;
  EXPECT_EQ(format.decode(0b0'11110'11), 57344);
  EXPECT_EQ(format.decode(0b0'00001'00), std::ldexp(1.0, -14));
  EXPECT_EQ(format.decode(0b0'00000'11), std::ldexp(0.75, -14));
  EXPECT_EQ(format.decode(0b0'00000'01), std::ldexp(1.0, -16));
  EXPECT_TRUE(std::signbit(format.decode(0b1'00000'00)));
}

struct WithoutInfinities {
  const char* name;
  int bits;
  double largest, smallest_normal, smallest;
  std::vector<std::uint64_t> nans;
};

// OCP 8-bit floating point specification, table 1 (e4m3); OCP microscaling formats, table 5 (e2m1);
// Noune et al., 2022, table 1 (the two without a negative zero).
const std::vector<WithoutInfinities>& finite_formats() {
  static const std::vector<WithoutInfinities> kFormats = {
      {"e4m3", 8, 448, 0x1p-6, 0x1p-9, {0x7f, 0xff}},
      {"e4m3fnuz", 8, 240, 0x1p-7, 0x1p-10, {0x80}},
      {"e5m2fnuz", 8, 57344, 0x1p-15, 0x1p-17, {0x80}},
      {"e2m1", 4, 6, 1, 0.5, {}}};
  return kFormats;
}

TEST(NarrowFloat, FormatsWithoutInfinitiesAreThoseOfTheirPublishedTables) {
  for (const WithoutInfinities& table : finite_formats()) {
    const Format format = Format::parse(table.name);
    SCOPED_TRACE(table.name);
    EXPECT_EQ(format.bits(), table.bits);
    EXPECT_TRUE(format.is_float());
    double largest = 0, smallest = kInfinity, before = -kInfinity;
    std::vector<std::uint64_t> nans;
    const std::uint64_t sign = std::uint64_t{1} << (table.bits - 1);
    for (const std::uint64_t code : format.codes()) {
      const double value = format.decode(code);
      if (std::isnan(value)) {
        nans.push_back(code);
        continue;
      }
      EXPECT_EQ(format.encode(value), code);
      largest = std::max(largest, value);
      if (value > 0) smallest = std::min(smallest, value);
      if (code >= sign) continue;
      EXPECT_GT(value, before);
      before = value;
    }
    EXPECT_EQ(largest, table.largest);
    EXPECT_EQ(smallest, table.smallest);
    EXPECT_EQ(nans, table.nans);
    EXPECT_EQ(format.decode(format.encode(table.smallest_normal)), table.smallest_normal);
    for (const double beyond : {kInfinity, 1e9, table.largest * 2}) {
      EXPECT_EQ(format.decode(format.encode(beyond)), table.largest);
      EXPECT_EQ(format.decode(format.encode(-beyond)), -table.largest);
    }
  }
}

TEST(NarrowFloat, E2m1HasNoNan) {
  const Format format = Format::parse("e2m1");
  std::vector<double> values;
  for (std::uint64_t code = 0; code < 8; ++code) values.push_back(format.decode(code));
  EXPECT_THAT(values, ::testing::ElementsAre(0, 0.5, 1, 1.5, 2, 3, 4, 6));
  EXPECT_THAT([&] { format.encode(std::nan("")); },
              ThrowsMessage<Error>(HasSubstr("NaN has no code in format e2m1")));
}

TEST(NarrowFloat, MinusZeroBecomesZeroWhereItHasNoCode) {
  EXPECT_EQ(Format::parse("e4m3fnuz").encode(-0.0), 0U);
  EXPECT_EQ(Format::parse("e5m2fnuz").encode(-1e-30), 0U);
  EXPECT_EQ(Format::parse("e4m3").encode(-0.0), 0x80U);
}

TEST(NarrowFloat, EveryCodeDecodesByTheFormulaAndEncodesBack) {
  for (const Narrow& narrow : kNarrow) {
    const Format format = Format::parse(narrow.name);
    for (const std::uint64_t code : format.codes()) {
      const double expected = value_by_formula(narrow, static_cast<std::uint32_t>(code));
      const double decoded = format.decode(code);
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(decoded));
        ASSERT_TRUE(std::isnan(format.decode(format.encode(decoded))));
        continue;
      }
      ASSERT_EQ(std::bit_cast<std::uint64_t>(decoded), std::bit_cast<std::uint64_t>(expected))
          << narrow.name << " code " << code;
      for (const Rounding rounding : kAllRoundings)
        ASSERT_EQ(format.encode(decoded, rounding), code) << narrow.name;
    }
  }
}

// The code that a positive number between two neighbouring codes goes to; `upper` may be infinity,
// which then stands for the power of two after the largest code.
std::uint64_t expected_between(std::uint64_t lower, double lower_value, double upper_value,
                               double value, bool negative, Rounding rounding) {
  if (value == lower_value) return lower;
  if (value == upper_value) return lower + 1;
  const double middle = (lower_value + upper_value) / 2;
  switch (rounding) {
    case Rounding::kFloor: return negative ? lower + 1 : lower;
    case Rounding::kCeiling: return negative ? lower : lower + 1;
    case Rounding::kTowardZero: return lower;
    case Rounding::kAwayFromZero: return lower + 1;
    default: break;
  }
  if (value != middle) return value < middle ? lower : lower + 1;
  switch (rounding) {
    case Rounding::kHalfUp: return negative ? lower : lower + 1;
    case Rounding::kHalfDown: return negative ? lower + 1 : lower;
    case Rounding::kHalfTowardZero: return lower;
    case Rounding::kHalfAwayFromZero: return lower + 1;
    default: return lower % 2 == 0 ? lower : lower + 1;
  }
}

// All pairs of neighbouring codes: both, the middle, and the nearest doubles and singles to them.
TEST(NarrowFloat, NeighboursAndMiddlesRoundByTheTableOfCodes) {
  for (const Narrow& narrow : kNarrow) {
    const Format format = Format::parse(narrow.name);
    const std::uint64_t infinity = format.encode(kInfinity);
    const double beyond = std::ldexp(1.0, 1 << (narrow.exponent_bits - 1));
    for (std::uint64_t lower = 0; lower < infinity; ++lower) {
      const double a = format.decode(lower);
      const double b = lower + 1 == infinity ? beyond : format.decode(lower + 1);
      const double middle = (a + b) / 2;
      const auto single = static_cast<float>(middle);
      for (const double value :
           {a, std::nextafter(a, b), std::nextafter(middle, a), middle, std::nextafter(middle, b),
            static_cast<double>(std::nextafter(single, 0.0f)),
            static_cast<double>(std::nextafter(single, std::numeric_limits<float>::max())),
            std::nextafter(b, a)}) {
        if (value > b) continue;
        for (const Rounding rounding : kAllRoundings)
          for (const bool negative : {false, true}) {
            const std::uint64_t expected =
                expected_between(lower, a, b, value, negative, rounding) |
                (negative ? std::uint64_t{1} << (format.bits() - 1) : 0);
            ASSERT_EQ(format.encode(negative ? -value : value, rounding), expected)
                << narrow.name << " " << shortest(value) << " " << name(rounding);
          }
      }
    }
  }
}

TEST(Float, OverflowGoesWhereTheModeSays) {
  for (const char* format_name : {"f32", "f16", "bf16", "e5m2"}) {
    const Format format = Format::parse(format_name);
    const std::uint64_t infinity = format.encode(kInfinity);
    const std::uint64_t largest = infinity - 1;
    const std::uint64_t sign = std::uint64_t{1} << (format.bits() - 1);
    const double huge = 1e300;
    for (const Rounding rounding : kAllRoundings) {
      const bool to_zero = rounding == Rounding::kTowardZero;
      const bool down = rounding == Rounding::kFloor;
      const bool up = rounding == Rounding::kCeiling;
      EXPECT_EQ(format.encode(huge, rounding), to_zero || down ? largest : infinity);
      EXPECT_EQ(format.encode(-huge, rounding), sign | (to_zero || up ? largest : infinity));
      EXPECT_EQ(format.encode(-huge, rounding, Overflow::kSaturateSymmetric), sign | largest);
      EXPECT_EQ(format.encode(-huge, rounding, Overflow::kSaturateZero), sign);
      EXPECT_THAT([&] { format.encode(huge, rounding, Overflow::kWrap); },
                  ThrowsMessage<Error>(HasSubstr("1e+300 is outside format")));
      for (const Overflow overflow : kAllOverflows) {
        EXPECT_EQ(format.encode(-kInfinity, rounding, overflow), sign | infinity);
        EXPECT_EQ(format.encode(1, rounding, overflow), format.encode(1));
      }
    }
    EXPECT_TRUE(std::isnan(format.decode(format.encode(std::nan("")))));
    EXPECT_EQ(format.encode(-std::nan("")), format.encode(std::nan(""))) << "one code for NaN";
    EXPECT_EQ(format.encode(-0.0), sign);
    EXPECT_TRUE(format.exact(sign).negative_zero);
    EXPECT_EQ(format.exact(infinity).kind, ExactValue::Kind::kPositiveInfinity);
    EXPECT_EQ(format.exact(sign | infinity).kind, ExactValue::Kind::kNegativeInfinity);
    EXPECT_EQ(format.exact(infinity + 1).kind, ExactValue::Kind::kNan);
  }
}

// Doubles of any exponent that single precision has, its subnormals and a little beyond.
double random_double(RandomSequence& random) {
  const double value =
      std::ldexp(1 + random.uniform(), static_cast<int>(random.integer(-152, 129)));
  return random.chance(0.5) ? -value : value;
}

float cast_in_mode(double value, int mode) {
  std::fesetround(mode);
  volatile double operand = value;
  volatile float result = static_cast<float>(operand);
  std::fesetround(FE_TONEAREST);
  return result;
}

TEST(Float, SingleRoundsLikeTheHost) {
  const Format format = Format::parse("f32");
  const std::vector<std::pair<Rounding, int>> modes = {{Rounding::kHalfEven, FE_TONEAREST},
                                                       {Rounding::kFloor, FE_DOWNWARD},
                                                       {Rounding::kCeiling, FE_UPWARD},
                                                       {Rounding::kTowardZero, FE_TOWARDZERO}};
  RandomSequence random(7, "single");
  for (int i = 0; i < 200'000; ++i) {
    const double value = random_double(random);
    const auto& [rounding, mode] = modes[static_cast<std::size_t>(random.integer(0, 3))];
    ASSERT_EQ(format.encode(value, rounding),
              std::bit_cast<std::uint32_t>(cast_in_mode(value, mode)))
        << shortest(value) << " " << name(rounding);
  }
}

TEST(Float, WideCodesDecodeToThemselves) {
  const Format single = Format::parse("f32");
  const Format full = Format::parse("f64");
  RandomSequence random(8, "wide");
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t bits = random.bits();
    const auto value = std::bit_cast<double>(bits);
    if (!std::isnan(value)) {
      ASSERT_EQ(std::bit_cast<std::uint64_t>(full.decode(bits)), bits);
      for (const Rounding rounding : kAllRoundings) ASSERT_EQ(full.encode(value, rounding), bits);
    }
    const auto code = static_cast<std::uint32_t>(bits);
    const auto as_float = std::bit_cast<float>(code);
    if (std::isnan(as_float)) continue;
    ASSERT_EQ(single.decode(code), static_cast<double>(as_float));
    ASSERT_EQ(single.encode(static_cast<double>(as_float)), code);
  }
  EXPECT_EQ(full.decode(1), std::numeric_limits<double>::denorm_min());
}

}  // namespace
}  // namespace tandem
