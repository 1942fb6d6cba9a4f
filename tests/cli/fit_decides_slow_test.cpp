#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/file.h"

#include "tests/cli/cli_test.h"
#include "tests/support/paths.h"

namespace tandem::test {
namespace {

// `tandem fit` on the digits network, on real devices: what it decides follows what is asked.
class FitDecides : public ::testing::Test {
 protected:
  nlohmann::json fit(const std::string& device, const std::string& objective,
                     const std::vector<std::string>& limits) {
    const auto digits = source_dir() / "examples/digits";
    const std::string place = (folder_ / std::to_string(fits_++)).string();
    std::vector<std::string> arguments = {"fit",
                                          (digits / "digits.onnx").string(),
                                          "--data",
                                          "npz:" + (digits / "digits.npz").string(),
                                          "--calibration",
                                          "64",
                                          "--selection",
                                          "128",
                                          "--limit",
                                          "60",
                                          "--samples",
                                          "10",
                                          "--device",
                                          device,
                                          "--minimise",
                                          objective,
                                          "--json",
                                          "-o",
                                          place};
    arguments.insert(arguments.end(), limits.begin(), limits.end());
    const CliRun run = run_cli(arguments);
    EXPECT_TRUE(run.exit_code == 0 || run.exit_code == 1) << run.err;
    auto lock = nlohmann::json::parse(read_file(place + "/lock.json"));
    lock["exit_code"] = run.exit_code;
    return lock;
  }
  // What was chosen: the recoding and the plan, apart from the device's name.
  static std::string choice_of(const nlohmann::json& lock) {
    return lock["chosen"].dump() + lock["plan"].dump();
  }

 private:
  TemporaryDir folder_;
  int fits_ = 0;
};

TEST_F(FitDecides, DevicesAndLimitsLockDifferentChoices) {
  const auto fast = fit("stm32f746", "latency", {"--max-accuracy-drop", "1%"});
  const auto small = fit("stm32f746", "flash", {"--max-accuracy-drop", "10%"});
  const auto circuit = fit("artix7-35t", "area", {"--max-accuracy-drop", "1%"});
  const auto loose = fit("artix7-35t", "area", {"--max-accuracy-drop", "10%"});
  std::vector<std::string> choices;
  for (const auto& lock : {fast, small, circuit, loose}) {
    EXPECT_EQ(lock["exit_code"], 0);
    choices.push_back(choice_of(lock));
  }
  for (std::size_t i = 0; i < choices.size(); ++i)
    for (std::size_t k = 0; k < i; ++k) EXPECT_NE(choices[i], choices[k]) << i << " and " << k;
}

TEST_F(FitDecides, ATighterLimitNeverImprovesTheObjective) {
  const auto expect_monotone = [&](const std::string& device, const std::string& objective,
                                   const std::string& measure, const std::string& limit,
                                   const std::vector<std::string>& from_loose_to_tight) {
    double best = 0;
    for (const std::string& bound : from_loose_to_tight) {
      const auto lock = fit(device, objective, {limit, bound});
      if (lock["exit_code"] != 0) break;  // from here on nothing meets it
      const double reached = lock["measures"][measure];
      EXPECT_GE(reached, best) << device << " " << limit << " " << bound;
      best = reached;
    }
    EXPECT_GT(best, 0) << device << " " << limit;
  };
  expect_monotone("stm32f746", "latency", "latency_seconds", "--max-flash",
                  {"64KiB", "9500", "9000", "8500"});
  expect_monotone("artix7-35t", "area", "luts", "--max-accuracy-drop", {"20%", "5%", "1%"});
}

// On half of the SRAM that the network needs as a whole.
TEST_F(FitDecides, RunsInPatchesWhereSramIsShortAndNamesTheBytesThatAreMissing) {
  const auto whole = fit("stm32f746", "latency", {});
  EXPECT_FALSE(whole["plan"].contains("patches"));
  const double needed = whole["measures"]["sram_bytes"];
  const auto patched = fit("stm32f746", "latency", {"--max-sram", "1200"});
  EXPECT_EQ(patched["exit_code"], 0);
  EXPECT_LT(patched["measures"]["sram_bytes"], 0.55 * needed);
  EXPECT_TRUE(patched["plan"].contains("patches"));
  bool has_rows = false;
  for (const auto& step : patched["steps"]) has_rows = has_rows || step["tile"].contains("rows");
  EXPECT_TRUE(has_rows);

  const auto missed = fit("stm32f746", "latency", {"--max-sram", "1000"});
  EXPECT_EQ(missed["exit_code"], 1);
  const double least = missed["measures"]["sram_bytes"];
  EXPECT_LE(least, patched["measures"]["sram_bytes"]);
  for (const auto& limit : missed["limits"])
    EXPECT_EQ(limit["missing_bytes"], limit["option"] == "--max-sram" ? least - 1000 : 0);
  // What is named as the least is met.
  const auto again = fit("stm32f746", "latency", {"--max-sram", std::to_string(int(least))});
  EXPECT_EQ(again["exit_code"], 0);
}

}  // namespace
}  // namespace tandem::test
