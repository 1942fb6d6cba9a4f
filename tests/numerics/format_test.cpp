#include "tandem/numerics/format.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Format, DefaultIsSingle) { EXPECT_EQ(Format().name(), "f32"); }

TEST(Format, EveryCodeOfNarrowFormatsSurvivesDecodeAndEncode) {
  for (const char* name :
       {"bool", "bipolar", "int1", "int2", "int8", "int16", "uint1", "uint8", "uint16", "f16",
        "bf16", "fixed<1,0>", "fixed<8,3>", "fixed<16,20>", "ufixed<8,-4>"}) {
    const Format format = Format::parse(name);
    for (const std::uint64_t code : format.codes()) {
      const double value = format.decode(code);
      if (std::isnan(value)) continue;
      ASSERT_EQ(format.encode(value), code) << name << " code " << code;
    }
  }
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

TEST(Format, UnknownNamesGetTheNearest) {
  EXPECT_THAT([] { Format::parse("unit8"); },
              ThrowsMessage<Error>("unknown format 'unit8'; did you mean 'uint8'?"));
  EXPECT_THAT([] { Format::parse("int65"); }, ThrowsMessage<Error>(HasSubstr("int1 to int64")));
}

}  // namespace
}  // namespace tandem
