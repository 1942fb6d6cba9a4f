#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/file.h"

#include "tests/cli/cli_test.h"
#include "tests/support/paths.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;

TEST(MeasureVerb, WritesADeviceOnWhichNetworksAreEstimated) {
  const TemporaryDir folder;
  const std::string host = (folder / "host.toml").string();
  const CliRun run = run_cli({"measure", "--rounds", "1", "--threads", "1", "-o", host, "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.json()["schema"], "tandem-measure/1");
  EXPECT_EQ(run.json()["numbers"]["cores"], 1);
  const std::string digits = (source_dir() / "examples/digits/digits.onnx").string();
  const CliRun estimate = run_cli({"estimate", digits, "--device", host, "--json"});
  ASSERT_EQ(estimate.exit_code, 0) << estimate.err;
  const auto total = estimate.json()["total"];
  EXPECT_GT(total["core_seconds"]["value"], total["bound_seconds"]["value"]);
  EXPECT_EQ(total["core_seconds"]["source"], "measured");
  // On one core, all cores are one.
  EXPECT_EQ(total["core_seconds"]["value"], total["latency_seconds"]["value"]);
  const CliRun plan = run_cli({"show", digits, "--plan", "--device", host});
  EXPECT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_THAT(plan.out, HasSubstr("dense_"));
  const CliRun emitted = run_cli({"compile", digits, "--device", host, "-o", folder / "out"});
  EXPECT_EQ(emitted.exit_code, 2);
  EXPECT_THAT(emitted.err, HasSubstr("has no sources"));
  const CliRun patches = run_cli({"estimate", digits, "--device", host, "--patches", "4"});
  EXPECT_EQ(patches.exit_code, 2);
  const CliRun objective = run_cli({"estimate", digits, "--device", host, "--minimise", "flash"});
  EXPECT_EQ(objective.exit_code, 2);
  EXPECT_THAT(objective.err, HasSubstr("latency alone"));
}

TEST(MeasureVerb, RefusesBeforeItMeasures) {
  const TemporaryDir folder;
  const std::vector<std::pair<std::vector<std::string>, std::string>> refusals = {
      {{"-o", folder / "host.json"}, "ends in .toml"},
      {{"-o", "/proc/nothere/host.toml"}, "/proc"},
      {{"-o", folder / "host.toml", "--threads", "0"}, "--threads"},
      {{"-o", folder / "host.toml", "--rounds", "0"}, "--rounds"},
      {{"-o", folder / "host.toml", "--seed", "-1"}, "--seed"}};
  for (const auto& [arguments, message] : refusals) {
    std::vector<std::string> all{"measure"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const CliRun run = run_cli(all);
    EXPECT_EQ(run.exit_code, 2) << message;
    EXPECT_THAT(run.err, HasSubstr(message));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace tandem::test
