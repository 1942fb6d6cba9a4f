#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/version.h"

#include "tests/cli/cli_test.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;

TEST(CommandLine, PrintsTheVersion) {
  const CliRun run = run_cli({"--version"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.out, HasSubstr("tandem " + version()));
}

TEST(CommandLine, HelpListsEveryVerbAndEachHasAnExample) {
  const CliRun help = run_cli({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const std::string verb :
       {"fit", "check", "show", "run", "compress", "estimate", "compile", "compare", "list"}) {
    EXPECT_THAT(help.out, HasSubstr(verb));
    const CliRun run = run_cli({verb, "--help"});
    EXPECT_EQ(run.exit_code, 0);
    EXPECT_THAT(run.out, HasSubstr("tandem " + verb + " ")) << "no example";
    EXPECT_THAT(run.out, HasSubstr("--json"));
  }
}

TEST(CommandLine, WithoutAVerbItExplainsItselfAndFails) {
  const CliRun run = run_cli({});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_EQ(run.out, "");
  EXPECT_THAT(run.err, HasSubstr("no verb is given"));
  EXPECT_THAT(run.err, HasSubstr("show"));
}

TEST(CommandLine, NamesTheNearestVerb) {
  const CliRun run = run_cli({"shwo", "x.onnx"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("no verb is called 'shwo'; did you mean 'show'?"));
}

TEST(CommandLine, NamesTheNearestOptionBeforeMissingArguments) {
  const CliRun run = run_cli({"show", "--jsn"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("has no option --jsn; did you mean '--json'?"));
}

TEST(CommandLine, RefusesAnOptionOfAnotherVerbAndTakesNoPrefixes) {
  EXPECT_EQ(run_cli({"list", "formats", "--bind", "N=1"}).exit_code, 2);
  EXPECT_EQ(run_cli({"list", "formats", "--js"}).exit_code, 2);
}

TEST(CommandLine, SaysWhatIsMissing) {
  const CliRun run = run_cli({"show"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("MODEL"));
  EXPECT_THAT(run.err, HasSubstr("tandem show --help"));
}

TEST(CommandLine, RefusesArgumentsThatNobodyAskedFor) {
  const CliRun run = run_cli({"list", "formats", "devices"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("devices"));
}

TEST(CommandLine, AFailureUnderJsonIsAnObjectToo) {
  const CliRun run = run_cli({"show", "missing.tandem", "--json"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_EQ(run.json()["schema"], "tandem-error/1");
  EXPECT_EQ(run.json()["exit_code"], 2);
  EXPECT_THAT(run.json()["message"].get<std::string>(), HasSubstr("missing.tandem"));
  EXPECT_THAT(run.err, HasSubstr("missing.tandem"));
}

}  // namespace
}  // namespace tandem::test
