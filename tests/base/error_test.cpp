#include "tandem/base/error.h"

#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Error, JoinsItsPartsAndTakesAPlace) {
  const Error error("axis ", 3, " of '", std::string("conv1"), "' is out of range");
  EXPECT_STREQ(error.what(), "axis 3 of 'conv1' is out of range");
  EXPECT_STREQ(error.at("model.onnx").what(), "model.onnx: axis 3 of 'conv1' is out of range");
}

TEST(Concat, WritesEveryKindOfPart) {
  EXPECT_EQ(concat(), "");
  EXPECT_EQ(concat("a", 'b', std::string("c"), std::string_view("d")), "abcd");
  EXPECT_EQ(concat(true, " ", std::numeric_limits<std::int64_t>::min(), " ",
                   std::numeric_limits<std::uint64_t>::max()),
            "1 -9223372036854775808 18446744073709551615");
}

TEST(Concat, WritesNumbersAsStreamsDo) {
  for (const double number :
       {0.0, -0.0, 0.5, 1e-7, 123456.0, 1234567.0, -1.0 / 3.0, 1e300,
        std::numeric_limits<double>::denorm_min(), -std::numeric_limits<double>::max(),
        std::numeric_limits<double>::infinity()}) {
    std::ostringstream stream;
    stream << number;
    EXPECT_EQ(concat(number), stream.str());
  }
}

TEST(InternalError, NamesTheSourceLine) {
  EXPECT_THAT([] { ensure(false, "no way"); },
              ThrowsMessage<InternalError>(HasSubstr("error_test.cpp:44")));
  EXPECT_NO_THROW(ensure(true, "no way"));
}

}  // namespace
}  // namespace tandem
