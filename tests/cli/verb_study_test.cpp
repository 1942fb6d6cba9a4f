#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/report/study.h"

#include "tests/cli/cli_test.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;

class StudyVerb : public ::testing::Test {
 protected:
  void SetUp() override {
    before_ = studies();
    studies() = {{"good", "A method", "A paper",
                  [](StudyReport& report) {
                    report.within("a figure", 20, 20.2, 0.3, "dB");
                    report.note("how it was measured");
                  }},
                 {"bad", "Another", "Another paper",
                  [](StudyReport& report) { report.claim("an order", "a < b", "b < a", false); }}};
  }
  void TearDown() override { studies() = before_; }
  std::vector<Study> before_;
};

TEST_F(StudyVerb, PrintsPublishedHereHolds) {
  const CliRun run = run_cli({"study", "good", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto claim = run.json()["studies"][0]["claims"][0];
  EXPECT_EQ(claim["published"], "20.00 dB ± 0.3000");
  EXPECT_EQ(claim["here"], "20.20 dB");
  EXPECT_TRUE(claim["holds"].get<bool>());
  EXPECT_THAT(run_cli({"study", "good"}).out, HasSubstr("how it was measured"));
}

TEST_F(StudyVerb, FailsWhereAClaimDoesNotHold) {
  EXPECT_EQ(run_cli({"study", "*"}).exit_code, 1);
  EXPECT_THAT(run_cli({"study"}).out, HasSubstr("Another"));
}

TEST_F(StudyVerb, NamesTheNearestMethod) {
  const CliRun run = run_cli({"study", "god"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("did you mean 'good'?"));
}

}  // namespace
}  // namespace tandem::test
