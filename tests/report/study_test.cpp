#include "tandem/report/study.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(Study, ClaimsHoldWithinTheirTolerance) {
  StudyReport report;
  report.within("inside", 20, 20.2, 0.3, "dB");
  report.within("outside", 20, 20.4, 0.3, "dB");
  report.within_share("a share", 0.2, 0.17, 0.15);
  report.claim("an order", "a < b", "b < a", false);
  report.note("how it was measured");
  ASSERT_EQ(report.claims().size(), 4U);
  EXPECT_EQ(report.claims()[0].published, "20.00 dB ± 0.3000");
  EXPECT_EQ(report.claims()[0].here, "20.20 dB");
  EXPECT_TRUE(report.claims()[0].holds);
  EXPECT_FALSE(report.claims()[1].holds);
  EXPECT_TRUE(report.claims()[2].holds);
  EXPECT_FALSE(report.claims()[3].holds);
  EXPECT_EQ(report.notes().size(), 1U);
}

}  // namespace
}  // namespace tandem
