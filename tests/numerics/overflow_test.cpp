#include "tandem/numerics/overflow.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(KeptRange, ExcludesTheMostNegativeIntegerButOfOneBit) {
  for (int bits = 1; bits <= 64; ++bits) {
    for (const bool is_signed : {false, true}) {
      if (!is_signed && bits == 64) continue;
      const IntegerRange range = integer_range(bits, is_signed);
      for (const Overflow overflow :
           {Overflow::kWrap, Overflow::kSaturate, Overflow::kSaturateZero})
        EXPECT_EQ(kept_range(range, overflow), range);
      IntegerRange symmetric = range;
      if (is_signed && bits > 1) ++symmetric.min;
      EXPECT_EQ(kept_range(range, Overflow::kSaturateSymmetric), symmetric) << bits;
    }
  }
  EXPECT_EQ(kept_range({-1, 1}, Overflow::kSaturateSymmetric), (IntegerRange{-1, 1})) << "bipolar";
}

}  // namespace
}  // namespace tandem
