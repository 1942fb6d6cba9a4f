#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/file.h"

#include "tests/cli/cli_test.h"
#include "tests/support/paths.h"

namespace tandem::test {
namespace {

// MLPerf Tiny's ResNet on the STM32F746 with less SRAM than it has.
class PatchesOfResNet : public ::testing::Test {
 protected:
  static std::string model() {
    return (data_dir() / "models/mlperf_tiny/pretrainedResnet_quant.tflite").string();
  }
  std::string device_with(std::int64_t sram_bytes) {
    const auto file = folder_.path() / ("f746_" + std::to_string(sram_bytes) + ".toml");
    write_file_atomic(file, small_device_text(sram_bytes));
    return file.string();
  }
  nlohmann::json estimate(const std::string& device) {
    const CliRun run = run_cli({"estimate", model(), "--device", device, "--json"});
    EXPECT_TRUE(run.exit_code == 0 || run.exit_code == 1) << run.err;
    return run.json();
  }
  static double total(const nlohmann::json& estimate, const std::string& figure) {
    return estimate["total"][figure]["value"];
  }
  // C on this host and under QEMU equals the reference; what was said of QEMU.
  static nlohmann::json expect_equal(const std::string& folder) {
    const auto proof = nlohmann::json::parse(read_file(folder + "/verification.json"));
    nlohmann::json qemu;
    int compared = 0;
    for (const auto& execution : proof["executions"]) {
      if (execution["execution"] != "c" && execution["execution"] != "qemu") continue;
      EXPECT_GT(execution["compared_values"], 0);
      EXPECT_EQ(execution["differing_values"], 0) << execution["execution"];
      ++compared;
      if (execution["execution"] == "qemu") qemu = execution;
    }
    EXPECT_EQ(compared, 2) << folder;
    return qemu;
  }
  std::string place(const std::string& name) const { return (folder_.path() / name).string(); }

 private:
  TemporaryDir folder_;
};

TEST_F(PatchesOfResNet, FitOnHalfOfItsSram) {
  TANDEM_REQUIRE_DATA("models");
  TANDEM_REQUIRE_DATA("cifar10");
  const nlohmann::json whole = estimate("stm32f746");
  const auto half = static_cast<std::int64_t>(total(whole, "sram_bytes")) / 2;
  const CliRun run = run_cli({"fit",
                              model(),
                              "--data",
                              "cifar10:" + (data_dir() / "cifar10").string(),
                              "--preprocess",
                              "std=0.00392156862745098",
                              "--calibration",
                              "16",
                              "--selection",
                              "64",
                              "--limit",
                              "50",
                              "--samples",
                              "3",
                              "--max-accuracy-drop",
                              "10%",
                              "--device",
                              device_with(half),
                              "-o",
                              place("fit")});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  const auto lock = nlohmann::json::parse(read_file(place("fit/lock.json")));
  EXPECT_TRUE(lock["plan"].contains("patches"));
  EXPECT_LE(lock["measures"]["sram_bytes"], half);
  // Kept rows are computed once, so patches take hardly more instructions.
  const auto planned = nlohmann::json::parse(read_file(place("fit/estimate.json")));
  EXPECT_LT(total(planned, "instructions"), 1.05 * total(whole, "instructions"));
  expect_equal(place("fit"));
  // The linker's map says what was planned.
  const CliRun compiled =
      run_cli({"compile", place("fit/pretrainedResnet_quant.tandem"), "--device", device_with(half),
               "--samples", "3", "--machine-samples", "1", "-o", place("c")});
  EXPECT_EQ(compiled.exit_code, 0) << compiled.err;
  const nlohmann::json measured = expect_equal(place("c"))["measured"];
  EXPECT_EQ(measured["arena_bytes"], total(planned, "arena_bytes"));
  EXPECT_LE(measured["arena_bytes"], half);
}

TEST_F(PatchesOfResNet, ALooserLimitIsNeverSlowerAndWhatIsMissingIsNamed) {
  TANDEM_REQUIRE_DATA("models");
  double cycles = std::numeric_limits<double>::infinity();
  for (const std::int64_t limit : {17'000, 20'000, 24'000, 33'000, 34'000}) {
    const nlohmann::json planned = estimate(device_with(limit));
    EXPECT_LE(total(planned, "sram_bytes"), limit);
    EXPECT_LE(total(planned, "latency_cycles"), cycles) << limit;
    cycles = total(planned, "latency_cycles");
  }
  const CliRun missed = run_cli({"show", model(), "--plan", "--device", device_with(12'000)});
  EXPECT_NE(missed.out.find("bytes are missing"), std::string::npos) << missed.out;
}

}  // namespace
}  // namespace tandem::test
