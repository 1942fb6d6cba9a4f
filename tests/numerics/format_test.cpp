#include "tandem/numerics/format.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/random.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Every format there is.
std::vector<Format> all_formats() {
  std::vector<Format> formats;
  for (const char* name : {"f64", "f32", "f16", "bf16", "e5m2", "e4m3", "e4m3fnuz", "e5m2fnuz",
                           "e2m1", "bool", "bipolar"})
    formats.push_back(Format::parse(name));
  for (int bits = 1; bits <= 64; ++bits)
    for (const bool is_signed : {false, true}) {
      if (bits < 64 || is_signed) formats.push_back(Format::integer(bits, is_signed));
      for (int fraction = -64; fraction <= 64 && bits < 64; ++fraction)
        formats.push_back(Format::fixed(bits, fraction, is_signed));
    }
  return formats;
}

TEST(Format, DefaultIsSingle) { EXPECT_EQ(Format().name(), "f32"); }

TEST(Format, EveryNameReadsBack) {
  const std::vector<Format> formats = all_formats();
  EXPECT_EQ(formats.size(), 11u + 127 + 2 * 63 * 129);
  std::set<std::string> names;
  for (const Format& format : formats) {
    ASSERT_EQ(Format::parse(format.name()), format) << format.name();
    names.insert(format.name());
  }
  EXPECT_EQ(names.size(), formats.size());
}

TEST(Format, SpacesInParametersAreAllowed) {
  EXPECT_EQ(Format::parse("fixed< 8, -3 >").name(), "fixed<8,-3>");
}

// Of every format of at most 16 bits.
TEST(Format, EveryCodeDecodesAndEncodesBack) {
  for (const Format& format : all_formats()) {
    if (format.bits() > 16) continue;
    std::int64_t mismatches = 0;
    for (std::uint64_t code = 0; code < std::uint64_t{1} << format.bits(); ++code) {
      const double value = format.decode(code);
      mismatches += !std::isnan(value) && format.encode(value) != code;
    }
    EXPECT_EQ(mismatches, 0) << format.name();
  }
}

// Random codes of every format: the integer, the exact view and the real number say the same.
TEST(Format, TheThreeViewsOfACodeAgree) {
  RandomSequence random(1, "views");
  for (const Format& format : all_formats()) {
    for (int i = 0; i < 10; ++i) {
      const std::uint64_t code = random.bits() >> (64 - format.bits());
      const ExactValue exact = format.exact(code);
      if (exact.kind != ExactValue::Kind::kFinite) continue;
      const double real = std::ldexp(static_cast<double>(exact.significand), exact.exponent);
      ASSERT_EQ(format.decode(code), real) << format.name();
      if (!format.is_uniform()) continue;
      const std::int64_t integer = format.integer_of(code);
      ASSERT_EQ(format.code_of(integer), code) << format.name();
      ASSERT_TRUE(exact.significand == integer) << format.name();
      ASSERT_EQ(exact.exponent, format.exponent()) << format.name();
      ASSERT_GE(integer, format.integer_range().min) << format.name();
      ASSERT_LE(integer, format.integer_range().max) << format.name();
    }
  }
}

TEST(Format, EndsOfTheRangeHaveCodesAndNothingBeyond) {
  for (const Format& format : all_formats()) {
    if (!format.is_uniform()) continue;
    const IntegerRange range = format.integer_range();
    EXPECT_EQ(format.integer_of(format.code_of(range.min)), range.min);
    EXPECT_EQ(format.integer_of(format.code_of(range.max)), range.max);
    if (format.bits() == 64) continue;
    for (const std::int64_t outside : {range.min - 1, range.max + 1})
      EXPECT_THAT([&] { format.code_of(outside); }, ThrowsMessage<Error>(HasSubstr(format.name())));
  }
  EXPECT_THAT([] { Format::parse("int4").code_of(8); },
              ThrowsMessage<Error>("integer 8 is outside format int4 (-8 to 7)"));
  EXPECT_THAT([] { Format::parse("bipolar").code_of(0); },
              ThrowsMessage<Error>(HasSubstr("0 is not a value of format bipolar")));
}

TEST(Format, StorageHoldsEveryCode) {
  for (const Format& format : all_formats()) {
    const int stored_bits = 8 * storage_bytes(format.storage());
    EXPECT_GE(stored_bits, format.bits()) << format.name();
    EXPECT_TRUE(stored_bits == 8 || stored_bits / 2 < format.bits()) << format.name();
  }
}

TEST(Format, KindsOfFormats) {
  const auto kinds = [](const char* name) {
    const Format format = Format::parse(name);
    return std::vector<bool>{format.is_float(), format.is_boolean(), format.is_uniform(),
                             format.is_integer(), format.is_signed()};
  };
  EXPECT_EQ(kinds("bf16"), (std::vector<bool>{true, false, false, false, true}));
  EXPECT_EQ(kinds("bool"), (std::vector<bool>{false, true, true, false, false}));
  EXPECT_EQ(kinds("bipolar"), (std::vector<bool>{false, false, true, true, true}));
  EXPECT_EQ(kinds("int7"), (std::vector<bool>{false, false, true, true, true}));
  EXPECT_EQ(kinds("uint7"), (std::vector<bool>{false, false, true, true, false}));
  EXPECT_EQ(kinds("fixed<8,0>"), (std::vector<bool>{false, false, true, true, true}));
  EXPECT_EQ(kinds("ufixed<8,1>"), (std::vector<bool>{false, false, true, false, false}));
}

TEST(Format, BooleanAndBipolarTakeWhatTheyMean) {
  const Format boolean = Format::parse("bool");
  for (const double truth : {1.0, -1.0, 0.25, 1e300, std::numeric_limits<double>::infinity()})
    EXPECT_EQ(boolean.encode(truth), 1u);
  EXPECT_EQ(boolean.encode(-0.0), 0u);
  const Format bipolar = Format::parse("bipolar");
  for (const double positive : {0.0, -0.0, 1e-300, std::numeric_limits<double>::infinity()})
    EXPECT_EQ(bipolar.decode(bipolar.encode(positive)), 1.0);
  for (const double negative : {-1e-300, -5.0, -std::numeric_limits<double>::infinity()})
    EXPECT_EQ(bipolar.decode(bipolar.encode(negative)), -1.0);
}

TEST(Format, Widths) {
  EXPECT_EQ(Format::parse("int5").storage(), Storage::kI8);
  EXPECT_EQ(Format::parse("uint63").bits(), 63);
  EXPECT_EQ(Format::parse("ufixed<9,2>").storage(), Storage::kU16);
  EXPECT_EQ(Format::parse("fixed<8,3>").exponent(), -3);
  EXPECT_EQ(Format::holding({-1, 1}).name(), "int2");
  EXPECT_EQ(Format::holding({0, 255}).name(), "uint8");
  EXPECT_EQ(Format::holding({-129, 0}).name(), "int9");
}

TEST(Format, WrongNamesGetTheNearestOrTheBounds) {
  const auto complaint = [](std::string_view name) -> std::string {
    try {
      Format::parse(name);
    } catch (const Error& error) {
      return error.what();
    }
    return "none";
  };
  EXPECT_EQ(complaint("unit8"), "unknown format 'unit8'; did you mean 'uint8'?");
  EXPECT_EQ(complaint("F32"), "unknown format 'F32'; did you mean 'f32'?");
  EXPECT_EQ(complaint("fixed8,3"), "unknown format 'fixed8,3'; did you mean 'fixed<8,3>'?");
  EXPECT_THAT(complaint("posit"),
              HasSubstr("known: f64, f32, f16, bf16, e5m2, e4m3, e4m3fnuz, e5m2fnuz"));
  EXPECT_THAT(complaint(""), HasSubstr("unknown format ''"));
  for (const char* name : {"int0", "int65", "int007", "int99999999999999999999"})
    EXPECT_THAT(complaint(name), HasSubstr("out of bounds; the family goes from int1 to int64"));
  for (const char* name : {"uint64", "uint0"})
    EXPECT_THAT(complaint(name), HasSubstr("out of bounds; the family goes from uint1 to uint63"));
  EXPECT_THAT(complaint("fixed<64,0>"), HasSubstr("has 64 bits; the width goes from 1 to 63"));
  EXPECT_THAT(complaint("ufixed<0,0>"), HasSubstr("has 0 bits"));
  EXPECT_THAT(complaint("fixed<8,65>"), HasSubstr("65 fraction bits; they go from -64 to 64"));
  for (const char* name : {"fixed<8>", "fixed<8,3", "fixed<8,3,1>", "fixed<>"})
    EXPECT_THAT(complaint(name), HasSubstr("is not of the form fixed<bits,fraction bits>"));
  EXPECT_THAT(complaint("fixed<8,x>"), HasSubstr("expected an integer, found 'x'"));
}

TEST(Format, MisuseIsOurFault) {
  EXPECT_THROW(Format::parse("f32").integer_range(), InternalError);
  EXPECT_THROW(Format::parse("f32").exponent(), InternalError);
  EXPECT_THROW(Format::parse("f32").integer_of(0), InternalError);
  EXPECT_THROW(Format::parse("int4").decode(16), InternalError);
  EXPECT_THROW(Format::parse("int25").codes(), InternalError);
  EXPECT_EQ(Format::parse("uint3").codes().size(), 8u);
}

}  // namespace
}  // namespace tandem
