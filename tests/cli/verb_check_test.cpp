#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/file.h"

#include "tests/cli/cli_test.h"
#include "tests/support/paths.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;

class CheckVerb : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& content) {
    write_file_atomic(folder_ / name, content);
    return (folder_ / name).string();
  }
  // A quantized network whose second, third and fourth layer have real weights.
  std::string half_quantized() {
    std::string text =
        "tandem-module 1\nsymbol N in [1,64]\nconstant @s : f32[] = [0.25]\n"
        "constant @w : f32[2,2] = [0.5,-0.5,0.25,1]\ngraph @main(%x : f32[N,2]) -> (%y3) {\n"
        "  %s = constant @s\n  %w = constant @w\n"
        "  %q : int4[N,2] = Quantize(%x, %s) {format = int4} \"q\"\n"
        "  %y0 : f32[N,2] = Dequantize(%q, %s) \"d\"\n";
    for (const std::string i : {"1", "2", "3"}) {
      const std::string before = std::to_string(std::stoi(i) - 1);
      text += "  %y" + i + " : f32[N,2] = MatMul(%y" + before + ", %w) \"layer" + i + "\"\n";
    }
    return write("half.tandem", text + "}\n");
  }
  TemporaryDir folder_;
};

TEST_F(CheckVerb, TakesALoweredNetwork) {
  const std::string net = write("net.tandem", small_module_text());
  for (const std::string target : {"c", "circuit", "cpu"}) {
    const CliRun run = run_cli({"check", net, "--target", target, "--json"});
    EXPECT_EQ(run.exit_code, 0) << run.err << run.out;
    const auto json = run.json();
    EXPECT_EQ(json["schema"], "tandem-check/1");
    EXPECT_EQ(json["target"], target);
    EXPECT_EQ(json["ok"], true);
    EXPECT_TRUE(json["issues"].empty());
  }
}

TEST_F(CheckVerb, NamesEveryNodeWithReasonAndRemedyForEveryTarget) {
  const std::string net = half_quantized();
  for (const std::string target : {"c", "circuit", "cpu"}) {
    const CliRun run = run_cli({"check", net, "--target", target, "--json"});
    EXPECT_EQ(run.exit_code, 2);
    const auto issues = run.json()["issues"];
    ASSERT_EQ(issues.size(), 3U) << run.out;
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(issues[i]["node"], "layer" + std::to_string(i + 1));
      EXPECT_EQ(issues[i]["op"], "MatMul");
      EXPECT_THAT(issues[i]["reason"].get<std::string>(), HasSubstr("real constant"));
      EXPECT_THAT(issues[i]["remedy"].get<std::string>(), HasSubstr("quantize"));
    }
  }
  const CliRun text = run_cli({"check", net});
  EXPECT_EQ(text.exit_code, 2);
  EXPECT_THAT(text.out, HasSubstr("the target c cannot take 3 nodes"));
  EXPECT_THAT(text.out, HasSubstr("MatMul 'layer2'"));
}

TEST_F(CheckVerb, JudgesARealNetworkAsItWouldBeRecoded) {
  const CliRun run = run_cli({"check", (source_dir() / "examples/digits/digits.onnx").string(),
                              "--target", "c", "--json"});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_EQ(run.json()["recoded"], true);
}

TEST_F(CheckVerb, NamesEveryNodeThatTheReaderRefuses) {
  // Three operators that do not exist.
  std::string bytes = read_file(source_dir() / "examples/digits/digits.onnx");
  int changed = 0;
  for (auto at = bytes.find("\"\x04Relu"); at != std::string::npos && changed < 3;
       at = bytes.find("\"\x04Relu", at + 1), ++changed)
    bytes.replace(at + 2, 4, "Rexu");
  ASSERT_EQ(changed, 3);
  const std::string net = write("rexu.onnx", bytes);
  for (const std::string target : {"c", "circuit"}) {
    const CliRun run = run_cli({"check", net, "--target", target, "--json"});
    EXPECT_EQ(run.exit_code, 2);
    const auto issues = run.json()["issues"];
    ASSERT_EQ(issues.size(), 3U) << run.out;
    for (const auto& issue : issues) {
      EXPECT_EQ(issue["op"], "Rexu");
      EXPECT_FALSE(issue["node"].get<std::string>().empty());
      EXPECT_FALSE(issue["reason"].get<std::string>().empty());
      EXPECT_FALSE(issue["remedy"].get<std::string>().empty());
    }
  }
}

TEST_F(CheckVerb, JudgesWhatFollowsANodeThatTheReaderRefuses) {
  std::string bytes = read_file(source_dir() / "examples/digits/digits.onnx");
  const auto relu = bytes.find("\"\x04Relu"), add = bytes.find(
                                                  "\"\x03"
                                                  "Add");
  ASSERT_TRUE(relu < add && add != std::string::npos);
  bytes.replace(relu + 2, 4, "Rexu");  // the reader knows no such operator
  bytes.replace(add + 2, 3, "Pow");    // of two computed values, it has no integer form
  for (const std::string target : {"c", "circuit"}) {
    const CliRun run = run_cli({"check", write("mixed.onnx", bytes), "--target", target, "--json"});
    EXPECT_EQ(run.exit_code, 2);
    const auto issues = run.json()["issues"];
    ASSERT_EQ(issues.size(), 2U) << run.out;
    EXPECT_EQ(issues[0]["op"], "Rexu");
    EXPECT_EQ(issues[1]["op"], "Pow");
  }
}

TEST_F(CheckVerb, NotesHowItJudgesAnInputThatNobodyCodes) {
  const std::string text =
      "tandem-module 1\nconstant @s : f32[] = [0.25]\ngraph @main(%x : f32[1,2]) -> (%y) {\n"
      "  %s = constant @s\n  %r : f32[1,2] = Relu(%x) \"relu\"\n"
      "  %q : int4[1,2] = Quantize(%r, %s) {format = int4} \"q\"\n"
      "  %y : f32[1,2] = Dequantize(%q, %s) \"d\"\n}\n";
  const std::string net = write("uncoded.tandem", text);
  const CliRun run = run_cli({"check", net, "--json"});
  EXPECT_EQ(run.exit_code, 0);
  const auto notes = run.json()["notes"];
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_THAT(notes[0].get<std::string>(), HasSubstr("x=uint8,1/255"));
  const CliRun said = run_cli({"check", net, "--input-coding", "x=uint8,1/255", "--json"});
  EXPECT_EQ(said.exit_code, 0);
  EXPECT_TRUE(said.json()["notes"].empty());
}

TEST_F(CheckVerb, TakesTheTargetOfADevice) {
  const std::string net = write("net.tandem", small_module_text());
  EXPECT_EQ(run_cli({"check", net, "--device", "stm32f746", "--json"}).json()["target"], "c");
}

TEST_F(CheckVerb, RefusesWhatMakesNoSense) {
  const std::string net = write("net.tandem", small_module_text());
  const std::vector<std::pair<std::vector<std::string>, std::string>> refusals = {
      {{"check", net, "--target", "circut"}, "did you mean 'circuit'?"},
      {{"check", net, "--target", "c", "--device", "stm32f746"}, "either --target or --device"},
      {{"check", net, "--device", "stm32f764"}, "did you mean 'stm32f746'?"},
      {{"check", net, "--input-coding", "x=int99,1"}, "--input-coding x"},
      {{"check", net, "--input-coding", "x=int8,1"}, "of integers already"},
      {{"check", "missing.onnx"}, "missing.onnx"}};
  for (const auto& [arguments, message] : refusals) {
    const CliRun run = run_cli(arguments);
    EXPECT_EQ(run.exit_code, 2) << ::testing::PrintToString(arguments);
    EXPECT_THAT(run.err, HasSubstr(message));
  }
}

TEST_F(CheckVerb, NamesTheFileThatIsTruncated) {
  const std::string bytes = read_file(source_dir() / "examples/digits/digits.onnx");
  const CliRun run = run_cli({"check", write("half.onnx", bytes.substr(0, bytes.size() / 2))});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("half.onnx"));
}

}  // namespace
}  // namespace tandem::test
