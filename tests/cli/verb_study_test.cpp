#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/cli_test.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;

TEST(StudyVerb, PrintsPublishedHereHolds) {
  const CliRun run = run_cli({"study", "qlora", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto study = run.json()["studies"][0];
  EXPECT_EQ(study["name"], "qlora");
  EXPECT_GE(study["claims"].size(), 8U);
  for (const auto& claim : study["claims"]) EXPECT_TRUE(claim["holds"].get<bool>()) << claim;
  EXPECT_THAT(run_cli({"study"}).out, HasSubstr("zeroquant-fp6"));
}

TEST(StudyVerb, NamesTheNearestMethod) {
  const CliRun run = run_cli({"study", "qlra"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("did you mean 'qlora'?"));
}

}  // namespace
}  // namespace tandem::test
