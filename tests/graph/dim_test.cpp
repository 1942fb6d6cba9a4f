#include "tandem/graph/dim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

TEST(Dim, PrintsAndParsesPolynomials) {
  for (const char* text : {"0", "7", "-3", "N", "49*N", "H*W", "H*W-2*H+1", "N*N"}) {
    EXPECT_EQ(Dim::parse(text).to_string(), text);
  }
  EXPECT_EQ(Dim::parse("W*H"), Dim::parse("H*W"));
}

TEST(Dim, ComputesWithSymbols) {
  const Dim n = Dim::symbol("N"), h = Dim::symbol("H");
  EXPECT_EQ((n + 1) * (n - 1), n * n - 1);
  EXPECT_EQ(n - n, Dim(0));
  EXPECT_EQ((n * h * 6).divided_by(n * 2), h * 3);
  EXPECT_EQ((n * 3).divided_by(2), std::nullopt);
  EXPECT_EQ((n + h).divided_by(n + h), std::nullopt);  // only products divide
  EXPECT_EQ((n * h + h).bind({{"N", 4}, {"H", 5}}), Dim(25));
}

TEST(Dim, ASymbolicDimensionHasNoNumber) {
  try {
    (Dim::symbol("N") * 4).constant();
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("bind N"));
  }
}

TEST(Dim, RefusesWhatLeaves64Bits) {
  const Dim big = std::int64_t{1} << 62;
  EXPECT_THROW(big * 4, Error);
  EXPECT_THROW(big + big, Error);
}

}  // namespace
}  // namespace tandem
