#include "tandem/numerics/dynamic_fixed.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(DynamicFixed, TakesTheExponentOfTheGreatest) {
  // 3 = 1.5 * 2^1, so with 4 bits the unit is 2^(1 - 2); 0.75 lies between 1 and 2 units.
  const DynamicFixed fixed = to_dynamic_fixed(std::vector<float>{3, -1, 0.75F, 0.25F}, 4);
  EXPECT_EQ(fixed.exponent, -1);
  EXPECT_THAT(fixed.integers, ElementsAre(6, -2, 2, 0));
  EXPECT_EQ(fixed.most, 6);
  EXPECT_EQ(fixed.real(0), 3);
  // 3.9 rounds to 8 units, beyond the end.
  EXPECT_THAT(to_dynamic_fixed(std::vector<float>{3.9F, -3.9F}, 4).integers, ElementsAre(7, -7));
  EXPECT_EQ(to_dynamic_fixed(std::vector<float>{0, 0}, 16).exponent, 0);
}

TEST(DynamicFixed, NarrowsSumsToTheBitsThatTheyNeed) {
  const DynamicFixed small = narrowed(std::vector<std::int32_t>{32767, -5}, 3);
  EXPECT_EQ(small.exponent, 3);
  EXPECT_THAT(small.integers, ElementsAre(32767, -5));
  // 18 bits: shifted by 3; 12 / 8 and 20 / 8 lie in the middle.
  const DynamicFixed wide = narrowed(std::vector<std::int32_t>{1 << 17, 12, 20, -12}, 0);
  EXPECT_EQ(wide.exponent, 3);
  EXPECT_THAT(wide.integers, ElementsAre(1 << 14, 2, 2, -2));
  const DynamicFixed least =
      narrowed(std::vector<std::int32_t>{std::numeric_limits<std::int32_t>::min()}, 0);
  EXPECT_EQ(least.exponent, 17);
  EXPECT_THAT(least.integers, ElementsAre(-16384));
}

TEST(DynamicFixed, RefusesWhatIsNotFinite) {
  EXPECT_THAT(
      [] {
        to_dynamic_fixed(std::vector<float>{1, INFINITY}, 16);
      },
      ThrowsMessage<Error>(HasSubstr("element 1 is")));
}

}  // namespace
}  // namespace tandem
