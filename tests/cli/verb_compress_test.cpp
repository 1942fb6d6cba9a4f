#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/file.h"
#include "tandem/graph/printer.h"

#include "tests/cli/cli_test.h"
#include "tests/support/networks.h"
#include "tests/support/paths.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;

class CompressVerb : public ::testing::Test {
 protected:
  CliRun compress(const std::vector<std::string>& options, const std::string& output = "") {
    const auto digits = source_dir() / "examples/digits";
    std::vector<std::string> arguments = {"compress", (digits / "digits.onnx").string(),
                                          "--data",   "npz:" + (digits / "digits.npz").string(),
                                          "--limit",  "100",
                                          "-o",       output.empty() ? this->output() : output};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return run_cli(arguments);
  }
  std::string output(const std::string& name = "out.tandem") const {
    return (folder_ / name).string();
  }
  TemporaryDir folder_;
};

TEST_F(CompressVerb, WritesTheNetworkAndItsChoices) {
  const CliRun run = compress({"--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto json = run.json();
  EXPECT_EQ(json["schema"], "tandem-compress/1");
  EXPECT_EQ(json["samples"], 100);
  EXPECT_GE(json["accuracy"]["lowered"].get<double>(), 0.95);
  EXPECT_EQ(json["weight_bytes"], 5832) << "5,472 codes and 90 scales";
  EXPECT_EQ(json["layers"][0]["result"], "uint8") << "the bytes of the data";
  EXPECT_EQ(json["layers"][0]["scale"], 0.0625);
  EXPECT_EQ(json["data"]["calibration_samples"], 256);
  const std::string lock = read_file(output() + ".lock.json");
  EXPECT_EQ(nlohmann::json::parse(lock)["layers"], json["layers"]);
  const CliRun shown = run_cli({"show", output()});
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("metadata \"preprocessing\""));
}

TEST_F(CompressVerb, TheSameSeedGivesTheSameBytes) {
  ASSERT_EQ(compress({"--calibration", "64"}).exit_code, 0);
  ASSERT_EQ(compress({"--calibration", "64"}, output("again.tandem")).exit_code, 0);
  ASSERT_EQ(compress({"--calibration", "64", "--seed", "2"}, output("other.tandem")).exit_code, 0);
  EXPECT_EQ(read_file(output()), read_file(output("again.tandem")));
  EXPECT_NE(read_file(output()), read_file(output("other.tandem")));
}

TEST_F(CompressVerb, SingleLayersHaveTheirOwnWidths) {
  const auto json = compress({"--weights", "int6", "--weights", "head=int4", "--activations",
                              "stem*=uint5", "--json"})
                        .json();
  std::map<std::string, std::string> weights, results;
  for (const auto& layer : json["layers"]) {
    weights[layer["layer"]] = layer.value("weights", "");
    results[layer["layer"]] = layer.value("result", "");
  }
  EXPECT_EQ(weights["stem"], "int6");
  EXPECT_EQ(weights["head"], "int4");
  EXPECT_EQ(results["stem.relu"], "uint5");
  EXPECT_EQ(results["depthwise.relu"], "uint8");
}

TEST_F(CompressVerb, FitsWeightsIntoBytes) {
  const auto json = compress({"--max-weight-bytes", "3000", "--selection", "64", "--json"}).json();
  EXPECT_LE(json["weight_bytes"].get<int>(), 3000);
  EXPECT_GT(json["weight_bytes"].get<int>(), 2000);
  const CliRun none = compress({"--max-weight-bytes", "1000", "--selection", "64"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("the narrowest weights tried take 1728 bytes"));
}

TEST_F(CompressVerb, IgnoredLayersStayReal) {
  const CliRun run = compress({"--ignore", "head*"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("left real: head, head.relu"));
  EXPECT_THAT(run.out, HasSubstr("does not lower"));
}

TEST_F(CompressVerb, WritesOnnxThatReadsBack) {
  ASSERT_EQ(compress({"--weights", "int4"}, output("out.onnx")).exit_code, 0);
  const CliRun shown = run_cli({"show", output("out.onnx")});
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("int4"));
}

// What is reported is what the file computes.
TEST_F(CompressVerb, WritesTensorFlowLiteThatReadsBack) {
  const CliRun run = compress({"--json"}, output("out.tflite"));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const double accuracy = run.json()["accuracy"]["lowered"].get<double>();
  EXPECT_GE(accuracy, 0.95);
  const std::string data = "npz:" + (source_dir() / "examples/digits/digits.npz").string();
  for (const char* execution : {"reference", "cpu"}) {
    const CliRun again = run_cli({"run", output("out.tflite"), "--data", data, "--limit", "100",
                                  "--execution", execution, "--json"});
    ASSERT_EQ(again.exit_code, 0) << again.err;
    EXPECT_EQ(again.json()["accuracy"].get<double>(), accuracy) << execution;
  }
}

TEST_F(CompressVerb, WritesTensorFlowLiteWithRealLayers) {
  const CliRun run = compress({"--ignore", "head*"}, output("out.tflite"));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run_cli({"show", output("out.tflite")}).out, HasSubstr("head"));
}

TEST_F(CompressVerb, NamesEveryLayerThatTensorFlowLiteCannotTake) {
  const CliRun run = compress({"--weights", "int16"}, output("out.tflite"));
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("5 nodes cannot be written as TensorFlow Lite"));
  EXPECT_THAT(run.err, HasSubstr("'stem' (Conv): its weights are int16; quantize weights to int8"));
  const CliRun narrow = compress({"--activations", "int4"}, output("out.tflite"));
  EXPECT_THAT(narrow.err, HasSubstr("compress the network with --activations int8"));
  EXPECT_FALSE(std::filesystem::exists(output("out.tflite")));
}

TEST_F(CompressVerb, RangesByTheErrorOfTheOutput) {
  const auto noise = [&](const std::string& method) {
    const CliRun run = compress({"--weights", "int4", "--activations", "uint4", "--weight-method",
                                 method, "--method", method, "--json"});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return run.json()["relative_noise"].get<double>();
  };
  EXPECT_LT(noise("output_error"), noise("mse"));
}

// In every file, as integers.
TEST_F(CompressVerb, FitsClassBiases) {
  for (const char* name : {"out.tandem", "out.onnx", "out.tflite"}) {
    const CliRun run = compress({"--class-biases", "--json"}, output(name));
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(run.json()["class_biases"].size(), 10U);
    EXPECT_GT(run.json()["accuracy"]["lowered"].get<double>(), 0.95) << name;
  }
  EXPECT_THAT(compress({"--class-biases"}).out, HasSubstr("class biases: "));
}

TEST_F(CompressVerb, NestsScales) {
  for (const char* name : {"out.tandem", "out.onnx"}) {
    const CliRun run = compress(
        {"--weights", "int6", "--granularity", "group:8", "--scales", "uint8:16", "--json"},
        output(name));
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(run.json()["scales"], "uint8:16");
    EXPECT_GT(run.json()["accuracy"]["lowered"].get<double>(), 0.95) << name;
    const CliRun again = run_cli({"run", output(name), "--data",
                                  "npz:" + (source_dir() / "examples/digits/digits.npz").string(),
                                  "--execution", "cpu", "--limit", "100"});
    EXPECT_EQ(again.exit_code, 0) << again.err;
  }
}

// Five bits of exponent in both operands of attention need sums of more than 63.
TEST_F(CompressVerb, SaysWhyThereAreNoIntegers) {
  const std::string network = output("transformer.tandem");
  write_file_atomic(network, print_module(small_transformer({.blocks = 1})));
  std::vector<std::string> arguments = {"compress",  network,         "--data", "random:64",
                                        "--weights", "e5m2",          "-o",     output(),
                                        "--json",    "--activations", "e5m2"};
  const auto json = run_cli(arguments).json();
  EXPECT_THAT(json["not_lowered"].get<std::string>(), HasSubstr("63 bits"));
  EXPECT_FALSE(json["accuracy"].contains("lowered"));
  EXPECT_TRUE(json["accuracy"].contains("recoded"));
  EXPECT_TRUE(std::filesystem::exists(output()));
  arguments.erase(std::ranges::find(arguments, "--json"));
  EXPECT_THAT(run_cli(arguments).out, HasSubstr("it does not lower to integers: "));
}

TEST_F(CompressVerb, SkipsTheAccuracy) {
  const CliRun run =
      run_cli({"compress", (source_dir() / "examples/digits/digits.onnx").string(), "--data",
               "npz:" + (source_dir() / "examples/digits/digits.npz").string(), "--selection", "0",
               "--skip-accuracy", "--json", "-o", output()});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_FALSE(run.json().contains("accuracy"));
  EXPECT_TRUE(std::filesystem::exists(output()));
  EXPECT_THAT(compress({"--skip-accuracy"}).err, HasSubstr("leave out --limit"));
}

TEST_F(CompressVerb, RefusesBadOptionsByName) {
  const auto message_of = [&](const std::vector<std::string>& options) {
    const CliRun run = compress(options);
    EXPECT_EQ(run.exit_code, 2);
    return run.err;
  };
  EXPECT_THAT(message_of({"--weights", "int1"}), HasSubstr("2 to 16 bits"));
  EXPECT_THAT(message_of({"--scales", "f32:8"}), HasSubstr("nested scales are codes of at most 8"));
  EXPECT_THAT(message_of({"--token-block", "8"}), HasSubstr("--token-block says how"));
  EXPECT_THAT(message_of({"--weights", "log2<4>"}), HasSubstr("has no negative codes"));
  EXPECT_THAT(message_of({"--weights", "e4m4x"}), HasSubstr("--weights e4m4x"));
  EXPECT_THAT(message_of({"--weights", "fixed<8,9>"}), HasSubstr("fewer fraction bits"));
  EXPECT_THAT(message_of({"--activations", "pow2<9>"}), HasSubstr("pow2<2> to pow2<6>"));
  EXPECT_THAT(message_of({"--activations", "f32", "--activations", "int8"}),
              HasSubstr("leaves all activations real"));
  EXPECT_THAT(message_of({"--granularity", "group:0"}), HasSubstr("a group has 2 to 2^20"));
  EXPECT_THAT(message_of({"--scales", "f64"}), HasSubstr("they are f32, f16, bf16 or e8m0"));
  EXPECT_THAT(message_of({"--rounding", "gtpq"}), HasSubstr("did you mean 'gptq'?"));
  EXPECT_THAT(message_of({"--rewrite", "smoth"}), HasSubstr("did you mean 'smooth'?"));
  EXPECT_THAT(message_of({"--rewrite", "smooth:2"}), HasSubstr("lies in [0,1]"));
  EXPECT_THAT(message_of({"--rewrite", "repq"}), HasSubstr("the network has no normalization"));
  EXPECT_THAT(message_of({"--candidate", "int4"}), HasSubstr("--candidate is for --advise"));
  EXPECT_THAT(message_of({"--advise"}), HasSubstr("leave out -o"));
  EXPECT_THAT(message_of({"--weights", "hed=int4"}), HasSubstr("did you mean 'head'?"));
  EXPECT_THAT(message_of({"--ignore", "nothing*"}), HasSubstr("matches no layer"));
  EXPECT_THAT(message_of({"--method", "max"}), HasSubstr("unknown calibration method 'max'"));
  EXPECT_THAT(message_of({"--percentile", "99"}), HasSubstr("--method percentile"));
  EXPECT_THAT(message_of({"--split", "train"}), HasSubstr("--split train"));
  EXPECT_THAT(message_of({"--calibration", "0"}), HasSubstr("--calibration 0"));
  EXPECT_THAT(message_of({"--exponential", "shfit"}), HasSubstr("did you mean 'shift'?"));
  EXPECT_THAT(message_of({"--exponential", "shift"}), HasSubstr("the network has no Softmax"));
}

// Its residual stream has 16 bits unless a pattern says otherwise.
TEST_F(CompressVerb, TakesATransformer) {
  const std::string network = output("transformer.tandem");
  write_file_atomic(network, print_module(small_transformer({.blocks = 1})));
  const auto json_of = [&](const std::vector<std::string>& options) {
    std::vector<std::string> arguments = {"compress", network, "--data", "random:64",
                                          "--json",   "-o",    output()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const CliRun run = run_cli(arguments);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return run.json();
  };
  const auto result_of = [](const nlohmann::json& json, const std::string& layer) {
    for (const auto& entry : json["layers"])
      if (entry["layer"] == layer) return entry.value("result", "");
    return std::string("no such layer");
  };
  const auto json = json_of({"--method", "minmax"});
  EXPECT_EQ(result_of(json, "block0.sum1"), "int16");
  EXPECT_EQ(result_of(json, "block0.norm1"), "uint8");
  EXPECT_LT(json["relative_noise"].get<double>(), 1e-2);
  EXPECT_LT(json["lowered_codes"]["relative_noise"].get<double>(), 1e-3);
  const auto narrow = json_of({"--activations", "block0.sum*=int8", "--exponential", "shift"});
  EXPECT_EQ(result_of(narrow, "block0.sum1"), "int8");
  EXPECT_EQ(result_of(narrow, "block0.out.bias"), "int16");
  EXPECT_THAT(read_file(output()), HasSubstr("exponential = \"shift\""));
  const CliRun onnx = run_cli({"compress", network, "--data", "random:64", "--exponential",
                               "polynomial", "-o", output("out.onnx")});
  EXPECT_EQ(onnx.exit_code, 2);
  EXPECT_THAT(onnx.err, HasSubstr("its exponential polynomial is not written"));
}

TEST_F(CompressVerb, EveryFormatIsMeasuredAsIntegers) {
  for (const char* format : {"e4m3", "e3m2", "khot<8,2>"}) {
    const CliRun run = compress({"--weights", format, "--activations", format, "--json"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_GE(run.json()["accuracy"]["lowered"].get<double>(), 0.9) << format;
    // The file says the same as the module that was measured.
    const std::string data = "npz:" + (source_dir() / "examples/digits/digits.npz").string();
    const CliRun again = run_cli(
        {"compare", output(), "--executions", "reference,cpu,c", "--data", data, "--limit", "20"});
    EXPECT_EQ(again.exit_code, 0) << format << again.out << again.err;
  }
}

TEST_F(CompressVerb, RewrittenNetworksAreTheSameInEveryExecution) {
  const std::string transformer = output("transformer.tandem");
  write_file_atomic(transformer, print_module(small_transformer({.blocks = 1})));
  const std::string digits = (source_dir() / "examples/digits/digits.onnx").string();
  const std::string images = "npz:" + (source_dir() / "examples/digits/digits.npz").string();
  const auto expect_equal = [&](const std::string& network, const std::string& data,
                                const std::string& rewrite) {
    const CliRun run = run_cli({"compress", network, "--data", data, "--rewrite", rewrite,
                                "--limit", "64", "-o", output()});
    ASSERT_EQ(run.exit_code, 0) << rewrite << run.err;
    const CliRun compared = run_cli(
        {"compare", output(), "--executions", "reference,cpu,c", "--data", data, "--limit", "20"});
    EXPECT_EQ(compared.exit_code, 0) << rewrite << compared.out << compared.err;
  };
  expect_equal(digits, images, "equalize");
  for (const char* rewrite : {"smooth:0.5", "ptf:3", "repq"})
    expect_equal(transformer, "random:64", rewrite);
}

TEST_F(CompressVerb, RoundingByTheOutputKeepsNarrowWeightsUseful) {
  const auto accuracy = [&](const char* rounding) {
    const CliRun run = compress({"--weights", "int3", "--rounding", rounding, "--json"});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return run.json()["accuracy"]["lowered"].get<double>();
  };
  const double nearest = accuracy("nearest");
  for (const char* rounding : {"gptq", "adaround", "descent"})
    EXPECT_GT(accuracy(rounding), nearest + 0.1) << rounding;
}

TEST_F(CompressVerb, GivesBitsBackUntilTheAccuracyHolds) {
  const CliRun run =
      compress({"--weights", "int3", "--max-drop", "1", "--selection", "128", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_GE(run.json()["accuracy"]["lowered"].get<double>(), 0.95);
  EXPECT_GE(run.json()["widened"].size(), 1U);
  EXPECT_LE(run.json()["widened"].size(), 3U) << "only where it is needed";
}

TEST_F(CompressVerb, AdvisesWithoutWriting) {
  const auto digits = source_dir() / "examples/digits";
  const CliRun run = run_cli({"compress", (digits / "digits.onnx").string(), "--data",
                              "npz:" + (digits / "digits.npz").string(), "--advise", "--candidate",
                              "int8", "--candidate", "e2m1", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto json = run.json();
  EXPECT_EQ(json["schema"], "tandem-advice/1");
  for (const auto& tensor : json["tensors"]) EXPECT_EQ(tensor["formats"].size(), 2U);
  EXPECT_EQ(json["tensors"][0]["recommended"], "int8");
  const CliRun rounded =
      run_cli({"compress", (digits / "digits.onnx").string(), "--data",
               "npz:" + (digits / "digits.npz").string(), "--advise", "--rounding", "gptq"});
  EXPECT_EQ(rounded.exit_code, 2);
  EXPECT_THAT(rounded.err, HasSubstr("nearest codes of single tensors"));
}

TEST_F(CompressVerb, ChecksTheOutputBeforeItWorks) {
  const CliRun suffix = compress({}, output("out.txt"));
  EXPECT_EQ(suffix.exit_code, 2);
  EXPECT_THAT(suffix.err, HasSubstr(".onnx, .tflite or .tandem"));
  const CliRun place = compress({}, "/proc/nowhere/out.tandem");
  EXPECT_EQ(place.exit_code, 2);
}

TEST_F(CompressVerb, LogsPasses) {
  const CliRun run = compress({"--log-passes"});
  ASSERT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.err, HasSubstr("pass fold_batch_norm: 16 -> 13 nodes"));
}

}  // namespace
}  // namespace tandem::test
