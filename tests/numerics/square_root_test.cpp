#include "tandem/numerics/square_root.h"

#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/numerics/rounding.h"

namespace tandem {
namespace {

void expect_floor(std::int64_t value) {
  const Int128 root = floor_square_root(value);
  EXPECT_TRUE(root * root <= value && (root + 1) * (root + 1) > value) << value;
}

// Ten Newton steps from 2^16, as published code has them, give 64 for all of 1 to 4999.
TEST(SquareRoot, IsTheFloorForEverySmallInteger) {
  for (std::int64_t value = 0; value <= 1 << 17; ++value) expect_floor(value);
}

TEST(SquareRoot, IsTheFloorBesideSquaresUpTo63Bits) {
  for (std::int64_t root = 1; root <= 3'037'000'499; root += 1 + root / 7) {
    for (const std::int64_t value : {root * root - 1, root * root, root * root + 1})
      expect_floor(value);
  }
  expect_floor(INT64_MAX);
}

TEST(SquareRoot, HasNoNegativeArgument) { EXPECT_THROW(floor_square_root(-1), InternalError); }

}  // namespace
}  // namespace tandem
