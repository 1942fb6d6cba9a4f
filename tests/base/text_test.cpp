#include "tandem/base/text.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Text, NearestNameForgivesSlipsOnly) {
  const std::vector<std::string> names = {"half_even", "half_up", "floor", "int8", "uint8"};
  EXPECT_EQ(nearest_name("halfeven", names), "half_even");
  EXPECT_EQ(nearest_name("folor", names), "floor");
  EXPECT_EQ(nearest_name("FLOOR", names), "floor");
  EXPECT_EQ(nearest_name("unit8", names), "uint8");
  EXPECT_EQ(nearest_name("convolution", names), "");
  EXPECT_EQ(nearest_name("xy", {"ab"}), "");
}

TEST(Text, SuggestionNamesTheNearestOrAllKnown) {
  EXPECT_EQ(suggestion("flor", {"floor", "ceiling"}), "; did you mean 'floor'?");
  EXPECT_EQ(suggestion("zzzzz", {"floor", "ceiling"}), "; known: floor, ceiling");
  EXPECT_EQ(suggestion("zzzzz", {"floor", "ceiling"}, 1), "; known: floor, ...");
  EXPECT_EQ(suggestion("zzzzz", {}), "");
}

TEST(Text, SplitAndJoinAreInverse) {
  EXPECT_EQ(split("a,,b,", ','), (std::vector<std::string>{"a", "", "b", ""}));
  EXPECT_EQ(split("", ','), (std::vector<std::string>{""}));
  EXPECT_EQ(join(split("a,,b,", ','), ","), "a,,b,");
  EXPECT_EQ(join({}, ","), "");
}

TEST(Text, TrimRemovesOuterSpace) {
  EXPECT_EQ(trim(" \t a b \r\n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
}

TEST(Text, ParsesWholeNumbersOnly) {
  EXPECT_EQ(parse_integer("-42", "x"), -42);
  EXPECT_EQ(parse_integer("+7", "x"), 7);
  EXPECT_EQ(parse_real("-2.5e-3", "x"), -2.5e-3);
  EXPECT_TRUE(std::isinf(parse_real("inf", "x")));
  for (const char* bad : {"", "+", "4x", " 4", "4.0", "+-4", "--4"}) {
    EXPECT_THAT([&] { parse_integer(bad, "option --seed"); },
                ThrowsMessage<Error>(HasSubstr("option --seed: expected an integer")));
  }
  EXPECT_THAT([] { parse_integer("9223372036854775808", "x"); },
              ThrowsMessage<Error>(HasSubstr("9223372036854775808 is too large")));
  EXPECT_THAT([] { parse_real("1.5.2", "width"); },
              ThrowsMessage<Error>("width: expected a number, found '1.5.2'"));
  EXPECT_THAT([] { parse_real("1e999", "width"); }, ThrowsMessage<Error>(HasSubstr("1e999")));
}

TEST(Text, ShortestReadsBack) {
  EXPECT_EQ(shortest(0.1), "0.1");
  EXPECT_EQ(shortest(3), "3");
  EXPECT_EQ(shortest(-0.0), "-0");
  EXPECT_EQ(shortest(-std::numeric_limits<double>::infinity()), "-inf");
  EXPECT_EQ(shortest(-std::numeric_limits<double>::quiet_NaN()), "nan");
  for (const double value : {1.0 / 3, 5e-324, 1.7976931348623157e308, 123456789.125})
    EXPECT_EQ(parse_real(shortest(value), "x"), value);
}

TEST(Text, SeparatesThousands) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(-1234567), "-1,234,567");
  EXPECT_EQ(grouped(-123), "-123");
}

TEST(Text, ReadableNumbersHaveFourDigits) {
  EXPECT_EQ(readable(1234567), "1,234,567");
  EXPECT_EQ(readable(12345.678), "12,346");
  EXPECT_EQ(readable(280.52), "280.5");
  EXPECT_EQ(readable(0.00123456), "0.001235");
  EXPECT_EQ(readable(-2.5e20), "-2.5e+20");
}

TEST(Text, Globs) {
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("stage*/conv?", "stage2/block1/conv3"));
  EXPECT_TRUE(matches("a*b*c", "abbbcbc"));
  EXPECT_FALSE(matches("a*b*c", "abbbcb"));
  EXPECT_FALSE(matches("conv?", "conv"));
  EXPECT_FALSE(matches("", "x"));
  EXPECT_TRUE(matches("", ""));
}

TEST(Text, IdentifiersHaveOnlyPortableCharacters) {
  EXPECT_EQ(identifier("stage2/conv.1"), "stage2_conv_1");
  EXPECT_EQ(identifier("3x3"), "_3x3");
  EXPECT_EQ(identifier(""), "_");
  EXPECT_EQ(identifier("gr\xc3\xb6\xc3\x9f"), "gr____");
}

}  // namespace
}  // namespace tandem
