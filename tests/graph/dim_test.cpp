#include "tandem/graph/dim.h"

#include <cstdint>
#include <limits>

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
  EXPECT_EQ((n * h + h).bind({{"N", 4}, {"H", 5}}), Dim(25));
}

// A product of sums divides by each of them, and by nothing near them.
TEST(Dim, DividesPolynomials) {
  const Dim m = Dim::symbol("M"), n = Dim::symbol("N"), h = Dim::symbol("H");
  for (const Dim& a : {n + h, n + 3, h * h - 2 * n + 1, m * n, Dim(-1), n - h, m * 2 + 4}) {
    for (const Dim& b : {n + h, m * 3, m * n - h * h, Dim(5), h - 1}) {
      EXPECT_EQ((a * b).divided_by(b), a) << a.to_string() << " times " << b.to_string();
      EXPECT_EQ((a * b + m * m * m).divided_by(b), std::nullopt);
    }
  }
  EXPECT_EQ((n * n - h * h).divided_by(n + h), n - h);
  EXPECT_EQ((n * n + h * h).divided_by(n + h), std::nullopt);
  EXPECT_EQ(n.divided_by(0), std::nullopt);
  EXPECT_EQ(Dim(0).divided_by(n + 3), Dim(0));
  EXPECT_EQ(Dim(std::numeric_limits<std::int64_t>::min()).divided_by(-1), std::nullopt);
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
