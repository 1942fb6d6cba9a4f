#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/file.h"

#include "tests/cli/cli_test.h"
#include "tests/support/paths.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;

class CompileVerb : public ::testing::Test {
 protected:
  void SetUp() override {
    write_file_atomic(folder_ / "net.tandem", small_module_text());
    net_ = (folder_ / "net.tandem").string();
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  TemporaryDir folder_;
  std::string net_;
};

TEST_F(CompileVerb, WritesAProjectAndProvesIt) {
  const CliRun run =
      run_cli({"compile", net_, "--device", "mps2-an386", "-o", path("out"), "--name", "tiny",
               "--samples", "20", "--machine-samples", "3", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto json = run.json();
  EXPECT_EQ(json["schema"], "tandem-compile/1");
  EXPECT_EQ(json["verification"]["equal"], true);
  ASSERT_EQ(json["verification"]["executions"].size(), 2U);
  for (const auto& execution : json["verification"]["executions"]) {
    EXPECT_EQ(execution["differing_values"], 0);
    EXPECT_GT(execution["compared_values"].get<int>(), 0);
  }
  for (const auto& file : json["files"])
    EXPECT_TRUE(std::filesystem::exists(folder_ / "out" / file.get<std::string>())) << file;
  EXPECT_THAT(read_file(folder_ / "out/c/tiny.h"), HasSubstr("tiny_run"));
  // The network in the folder is the authority: it reads back.
  EXPECT_EQ(run_cli({"show", path("out/tiny.tandem")}).exit_code, 0);
}

TEST_F(CompileVerb, RunsTheFirstLayersInPatchesWhereSramIsShort) {
  TANDEM_REQUIRE_DATA("models/mlperf_tiny");
  write_file_atomic(folder_ / "small.toml", small_device_text(30000));
  // The fastest plan needs more than 45,000 bytes, the input alone 27,648.
  const CliRun run =
      run_cli({"compile", (data_dir() / "models/mlperf_tiny/vww_96_int8.tflite").string(),
               "--device", path("small.toml"), "-o", path("out"), "--name", "vww", "--samples", "2",
               "--machine-samples", "1", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto json = run.json();
  EXPECT_EQ(json["fits"], true);
  EXPECT_EQ(json["verification"]["equal"], true);
  const auto measured = json["verification"]["executions"][1]["measured"];
  const auto total = nlohmann::json::parse(read_file(folder_ / "out/estimate.json"))["total"];
  EXPECT_LE(measured["arena_bytes"], 30000);
  for (const char* bytes : {"arena_bytes", "weights_bytes", "tables_bytes"})
    EXPECT_EQ(measured[bytes], total[bytes]["value"]) << bytes;
  const double instructions = total["instructions"]["value"];
  EXPECT_NEAR(measured["instructions_per_run"].get<double>() / instructions, 1, 0.15);
}

TEST_F(CompileVerb, NamesTheBytesThatAreMissing) {
  TANDEM_REQUIRE_DATA("models/mlperf_tiny");
  write_file_atomic(folder_ / "small.toml", small_device_text(20000));
  const std::string model = (data_dir() / "models/mlperf_tiny/vww_96_int8.tflite").string();
  const CliRun run = run_cli({"show", model, "--plan", "--device", path("small.toml"), "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto plan = run.json()["plan"];
  EXPECT_EQ(plan["fits"], false);
  const auto needed = plan["peak_bytes"]["sram"].get<std::int64_t>();
  EXPECT_GT(needed, 27648);
  EXPECT_LT(needed, 29000);
  std::string missing = std::to_string(needed - 20000);
  missing.insert(missing.size() - 3, ",");
  EXPECT_THAT(plan["text"].get<std::string>(),
              HasSubstr("sram of small: " + missing + " bytes are missing"));
}

TEST_F(CompileVerb, LeavesNothingWhereItFails) {
  const std::string real =
      "tandem-module 1\ngraph @main(%x : f32[1,2]) -> (%y) {\n  %y : f32[1,2] = Relu(%x)\n}\n";
  write_file_atomic(folder_ / "real.tandem", real);
  const CliRun run =
      run_cli({"compile", path("real.tandem"), "--device", "stm32f746", "-o", path("out")});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("compress"));
  int entries = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    ++entries;
    EXPECT_THAT(entry.path().string(), ::testing::EndsWith(".tandem"));
  }
  EXPECT_EQ(entries, 2);
}

TEST_F(CompileVerb, RefusesAFolderOfSomebodyElse) {
  std::filesystem::create_directory(folder_ / "mine");
  write_file_atomic(folder_ / "mine/notes.txt", "keep");
  const CliRun run = run_cli({"compile", net_, "--device", "stm32f746", "-o", path("mine")});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("mine"));
  EXPECT_EQ(read_file(folder_ / "mine/notes.txt"), "keep");
}

TEST_F(CompileVerb, RefusesWhatMakesNoSense) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> refusals = {
      {{"compile", net_, "--device", "stm32f746"}, "--output"},
      {{"compile", net_, "--device", "stm32f746", "-o", path("o"), "--name", "3x"}, "--name 3x"},
      {{"compile", net_, "--device", "stm32f746", "-o", path("o"), "--samples", "0"}, "--samples"},
      {{"compile", net_, "--device", "stm32f746", "-o", path("o"), "--seed", "-1"}, "--seed"}};
  for (const auto& [arguments, message] : refusals) {
    const CliRun run = run_cli(arguments);
    EXPECT_EQ(run.exit_code, 2) << ::testing::PrintToString(arguments);
    EXPECT_THAT(run.err, HasSubstr(message));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "o"));
  }
}

}  // namespace
}  // namespace tandem::test
