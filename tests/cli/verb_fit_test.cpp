#include <algorithm>
#include <filesystem>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/file.h"

#include "tests/cli/cli_test.h"
#include "tests/support/paths.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;

class FitVerb : public ::testing::Test {
 protected:
  CliRun fit(const std::string& place, const std::vector<std::string>& options) {
    const auto digits = source_dir() / "examples/digits";
    std::vector<std::string> arguments = {"fit",
                                          (digits / "digits.onnx").string(),
                                          "--data",
                                          "npz:" + (digits / "digits.npz").string(),
                                          "--calibration",
                                          "64",
                                          "--selection",
                                          "64",
                                          "--limit",
                                          "60",
                                          "-o",
                                          (folder_ / place).string()};
    if (std::ranges::find(options, "--samples") == options.end()) {
      arguments.push_back("--samples");
      arguments.push_back("10");
    }
    arguments.insert(arguments.end(), options.begin(), options.end());
    return run_cli(arguments);
  }
  std::filesystem::path file(const std::string& name) const { return folder_ / name; }

  // Content of every file of a folder, by its path there.
  std::map<std::string, std::string> contents(const std::string& place) const {
    std::map<std::string, std::string> files;
    const auto root = folder_ / place;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      if (entry.is_regular_file())
        files[std::filesystem::relative(entry.path(), root).string()] = read_file(entry.path());
    }
    return files;
  }
  TemporaryDir folder_;
};

TEST_F(FitVerb, LeavesACompleteFolderForAMicrocontroller) {
  const CliRun run = fit("out", {"--device", "stm32f746", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto json = run.json();
  EXPECT_TRUE(json["feasible"]);
  EXPECT_TRUE(json["equal"]);
  std::map<std::string, int> differing;
  for (const auto& execution : json["executions"])
    differing[execution["execution"]] = execution.value("differing_values", -1);
  EXPECT_EQ(differing["c"], 0);
  EXPECT_EQ(differing["qemu"], 0);
  for (const char* name : {"digits.tandem", "digits.onnx", "estimate.json", "lock.json", "plan.txt",
                           "report.html", "verification.json", "c/digits.c", "c/digits.h"}) {
    EXPECT_TRUE(std::filesystem::exists(file("out") / name)) << name;
  }
  const auto lock = nlohmann::json::parse(read_file(file("out/lock.json")));
  EXPECT_EQ(lock["seed"], 1);
  EXPECT_EQ(lock["device"], "stm32f746");
  EXPECT_EQ(lock["data"]["calibration_samples"], 64);
  EXPECT_THAT(lock["data"]["preprocessing"].get<std::string>(), HasSubstr("0.0625"));
  // The authority runs by itself, and so does what ONNX says of it.
  for (const char* network : {"out/digits.tandem", "out/digits.onnx"}) {
    const CliRun again =
        run_cli({"run", file(network).string(), "--execution", "reference", "--data",
                 "npz:" + (source_dir() / "examples/digits/digits.npz").string(), "--limit", "60",
                 "--json"});
    ASSERT_EQ(again.exit_code, 0) << again.err;
    EXPECT_EQ(again.json()["accuracy"], json["executions"][2]["accuracy"]) << network;
  }
}

TEST_F(FitVerb, TheSameSeedGivesTheSameFolder) {
  ASSERT_EQ(fit("a", {"--device", "stm32f411", "--minimise", "flash"}).exit_code, 0);
  ASSERT_EQ(fit("b", {"--device", "stm32f411", "--minimise", "flash"}).exit_code, 0);
  EXPECT_EQ(contents("a"), contents("b"));
}

TEST_F(FitVerb, NamesTheNearestLimitsAndKeepsTheBestPlan) {
  const CliRun run = fit("out", {"--device", "stm32f746", "--max-flash", "1KiB", "--json"});
  EXPECT_EQ(run.exit_code, 1);
  const auto json = run.json();
  EXPECT_FALSE(json["feasible"]);
  double flash = 0;
  for (const auto& limit : json["nearest_limits"])
    if (limit["option"] == "--max-flash") flash = limit["bound"];
  EXPECT_GT(flash, 1024);
  EXPECT_EQ(nlohmann::json::parse(read_file(file("out/lock.json")))["feasible"], false);
  EXPECT_THAT(read_file(file("out/report.html")), HasSubstr("NO PLAN MEETS THE LIMITS"));
  std::vector<std::string> again{"--device", "stm32f746"};
  for (const auto& limit : json["nearest_limits"]) {
    if (!limit["option"].get<std::string>().starts_with("--")) continue;
    again.push_back(limit["option"]);
    again.push_back(limit["bound"].dump());
  }
  EXPECT_EQ(fit("again", again).exit_code, 0);
}

TEST_F(FitVerb, FitsAnFpga) {
  const CliRun run = fit("out", {"--device", "artix7-35t", "--minimise", "area", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_TRUE(run.json()["equal"]);
  EXPECT_TRUE(std::filesystem::exists(file("out/circuit/digits.sv")));
}

TEST_F(FitVerb, RefusesBeforeItWorks) {
  const auto message_of = [&](const std::vector<std::string>& options) {
    const CliRun run = fit("out", options);
    EXPECT_EQ(run.exit_code, 2);
    EXPECT_FALSE(std::filesystem::exists(file("out")));
    return run.err;
  };
  EXPECT_THAT(message_of({"--device", "stm32f745"}), HasSubstr("did you mean 'stm32f746'?"));
  EXPECT_THAT(message_of({"--device", "stm32f746", "--minimise", "speed"}),
              HasSubstr("cannot minimise 'speed'"));
  EXPECT_THAT(message_of({"--device", "stm32f746", "--minimise", "area"}),
              HasSubstr("has no area to minimise"));
  EXPECT_THAT(message_of({"--device", "stm32f746", "--max-lut", "100"}), HasSubstr("--max-lut"));
  EXPECT_THAT(message_of({"--device", "stm32f746", "--max-flash", "10q"}),
              HasSubstr("--max-flash"));
  EXPECT_THAT(message_of({"--device", "stm32f746", "--name", "1x"}), HasSubstr("--name 1x"));
  EXPECT_THAT(message_of({"--device", "stm32f746", "--samples", "0"}), HasSubstr("--samples 0"));
}

}  // namespace
}  // namespace tandem::test
