#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/file.h"

#include "tests/cli/cli_test.h"
#include "tests/support/paths.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;

class EstimateVerb : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& content) {
    write_file_atomic(folder_ / name, content);
    return (folder_ / name).string();
  }
  TemporaryDir folder_;
};

TEST_F(EstimateVerb, SaysValueSourceAndUncertaintyOfEveryFigure) {
  const std::string net = write("net.tandem", small_module_text());
  const CliRun run = run_cli({"estimate", net, "--device", "stm32f746", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto json = run.json();
  EXPECT_EQ(json["schema"], "tandem-estimate/1");
  EXPECT_EQ(json["device"], "stm32f746");
  EXPECT_EQ(json["fits"], true);
  EXPECT_TRUE(json["notes"].empty());
  const auto& total = json["total"];
  EXPECT_EQ(total["weights_bytes"]["value"], 6);  // 3 x 2 weights of 4 bits, a byte each
  EXPECT_EQ(total["weights_bytes"]["source"], "exact");
  EXPECT_EQ(total["io_bytes"]["value"], 0);
  EXPECT_EQ(total["arena_bytes"]["value"], total["sram_bytes"]["value"]);
  EXPECT_GE(total["arena_bytes"]["value"], total["arena_bound_bytes"]["value"]);
  EXPECT_EQ(total["multiply_accumulates"]["value"], 6);
  EXPECT_GT(total["instructions"]["value"], 0);
  EXPECT_GT(total["instructions"]["relative_uncertainty"], 0);
  const CliRun text = run_cli({"estimate", net, "--device", "stm32f746", "--steps"});
  EXPECT_THAT(text.out, HasSubstr("latency_seconds"));
  EXPECT_THAT(text.out, HasSubstr("dense"));
}

TEST_F(EstimateVerb, CountsInputsAndOutputsWhereTheyLie) {
  const std::string net = write("net.tandem", small_module_text());
  const auto total = run_cli({"estimate", net, "--device", "stm32f746", "--io", "caller", "--json"})
                         .json()["total"];
  EXPECT_EQ(total["io_bytes"]["value"], 5);  // three codes in, two out
  EXPECT_EQ(total["arena_bytes"]["value"], 0);
  const CliRun unknown = run_cli({"estimate", net, "--device", "stm32f746", "--io", "aren"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("did you mean 'arena'"));
}

TEST_F(EstimateVerb, StepsAddUpToTheTotal) {
  const std::string digits = (source_dir() / "examples/digits/digits.onnx").string();
  const auto json = run_cli({"estimate", digits, "--device", "stm32f411", "--json"}).json();
  double weights = 0, work = 0;
  for (const auto& step : json["steps"]) {
    weights += step["figures"].contains("weights_bytes")
                   ? step["figures"]["weights_bytes"]["value"].get<double>()
                   : 0;
    work += step["figures"].contains("multiply_accumulates")
                ? step["figures"]["multiply_accumulates"]["value"].get<double>()
                : 0;
  }
  EXPECT_EQ(json["total"]["weights_bytes"]["value"], weights);
  EXPECT_EQ(json["total"]["multiply_accumulates"]["value"], work);
  EXPECT_THAT(json["notes"][0].get<std::string>(), HasSubstr("recode it to 8 bits"));
}

TEST_F(EstimateVerb, SaysWhereANetworkDoesNotFit) {
  // The same device with 64 bytes of SRAM.
  std::string device = read_file(source_dir() / "devices/stm32f746.toml");
  const auto sram = device.find("bytes = ", device.find("sram"));
  ASSERT_NE(sram, std::string::npos);
  device.replace(sram, device.find('\n', sram) - sram, "bytes = 64");
  const CliRun run = run_cli({"estimate", (source_dir() / "examples/digits/digits.onnx").string(),
                              "--device", write("small.toml", device)});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("does not fit"));
}

TEST_F(EstimateVerb, NamesTheNearestKeyOfAWrongDevice) {
  std::string device = read_file(source_dir() / "devices/stm32f746.toml");
  const auto clock = device.find("clock");
  ASSERT_NE(clock, std::string::npos);
  device.replace(clock, 5, "clok");
  const CliRun run = run_cli({"estimate", write("net.tandem", small_module_text()), "--device",
                              write("wrong.toml", device)});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("wrong.toml"));
  EXPECT_THAT(run.err, HasSubstr("'clok'"));
}

TEST_F(EstimateVerb, RefusesWhatMakesNoSense) {
  const std::string net = write("net.tandem", small_module_text());
  const std::vector<std::pair<std::vector<std::string>, std::string>> refusals = {
      {{"estimate", net}, "--device"},
      {{"estimate", net, "--device", "stm32f764"}, "did you mean 'stm32f746'?"},
      {{"estimate", net, "--device", "stm32f746", "--minimise", "latncy"},
       "did you mean 'latency'?"},
      {{"estimate", net, "--device", "stm32f746", "--preprocess", "mean=0.5"},
       "--preprocess has no meaning without --data"},
      {{"estimate", "missing.tandem", "--device", "stm32f746"}, "missing.tandem"}};
  for (const auto& [arguments, message] : refusals) {
    const CliRun run = run_cli(arguments);
    EXPECT_EQ(run.exit_code, 2) << ::testing::PrintToString(arguments);
    EXPECT_THAT(run.err, HasSubstr(message));
  }
}

}  // namespace
}  // namespace tandem::test
