#include "tandem/base/error.h"

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

TEST(InternalError, NamesTheSourceLine) {
  EXPECT_THAT([] { ensure(false, "no way"); },
              ThrowsMessage<InternalError>(HasSubstr("error_test.cpp:19")));
  EXPECT_NO_THROW(ensure(true, "no way"));
}

}  // namespace
}  // namespace tandem
