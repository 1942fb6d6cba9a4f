// What `tandem compress` says of numbers that it cannot take, and that it writes nothing then.

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/file.h"
#include "tandem/files/numpy.h"
#include "tandem/files/onnx_writer.h"

#include "tests/cli/cli_test.h"
#include "tests/support/networks.h"
#include "tests/support/paths.h"

namespace tandem::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class CompressBadInput : public ::testing::Test {
 protected:
  CompressBadInput() {
    const ValueId x = maker_.input("image", {2, 6, 6});
    const ValueId stem = maker_.unary("Relu", "stem.relu", maker_.conv("stem", x, 4, 3));
    const ValueId deep = maker_.unary("Relu", "deep.relu", maker_.conv("deep", stem, 4, 3, 4));
    network_ = maker_.finish(maker_.gemm("head", maker_.reshape_flat("flat", deep), 3));
    samples_ = maker_.random({40, 2, 6, 6});
  }

  // The constant that a node reads.
  Tensor& operand(const std::string& node_name, std::size_t input) {
    for (const Node& node : network_.main().nodes)
      if (node.name == node_name)
        return network_.constants[network_.main().values[node.inputs[input]].constant].tensor;
    throw InternalError("no such node");
  }
  float& weight(const std::string& node, std::size_t input, std::size_t element) {
    return operand(node, input).mutable_data<float>()[element];
  }

  CliRun compress(const std::vector<std::string>& options) {
    const std::string model = folder_ / "net.onnx", data = folder_ / "data.npz";
    write_file_atomic(model, write_onnx(network_, model).bytes);
    write_file_atomic(data, write_npz({{"train_samples", samples_}, {"test_samples", samples_}}));
    std::vector<std::string> arguments{"compress", model, "--data", "npz:" + data, "-o", output()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return run_cli(arguments);
  }
  std::string output() const { return folder_ / "out.tandem"; }

  // What the refusal says; nothing was written.
  std::string refusal(const std::vector<std::string>& options = {}) {
    const CliRun run = compress(options);
    EXPECT_EQ(run.exit_code, 2) << run.out;
    EXPECT_FALSE(std::filesystem::exists(output()));
    EXPECT_FALSE(std::filesystem::exists(output() + ".lock.json"));
    return run.err;
  }

  TemporaryDir folder_;
  NetworkMaker maker_;
  Module network_;
  Tensor samples_;
};

// Of a layer that the reader does not know as such (compress/bad_weights_test.cpp has the others).
TEST_F(CompressBadInput, WeightsThatAreNotFinite) {
  weight("stem", 1, 18 * 2 + 5) = kNan;
  EXPECT_THAT(refusal(), AllOf(HasSubstr("net.onnx"), HasSubstr("element 41 of 72 is NaN"),
                               HasSubstr("diverged")));
}

TEST_F(CompressBadInput, SamplesThatAreNotFinite) {
  const std::vector<std::string> all{"--calibration", "40", "--selection", "0"};
  samples_.mutable_data<float>()[72 * 7 + 13] = kNan;
  EXPECT_THAT(refusal(all), AllOf(HasSubstr("data.npz (train), calibration part: element 13 of "
                                            "sample 7 (from 0) is nan"),
                                  HasSubstr("leave it out")));
  samples_.mutable_data<float>()[72 * 7 + 13] = kInfinity;
  EXPECT_THAT(refusal({"--calibration", "40", "--selection", "0", "--activations", "f32",
                       "--rounding", "gptq"}),
              HasSubstr("(train), calibration part: element 13 of sample 7 (from 0) is inf"));
  EXPECT_THAT(refusal({"--activations", "f32"}), HasSubstr("(test): element 13 of sample 7"));
}

// Sums beyond all floats: the value is named.
TEST_F(CompressBadInput, ValuesThatOverflow) {
  for (std::size_t i = 0; i < 18; ++i) weight("stem", 1, i) = 3e38F;
  for (std::size_t i = 0; i < 72; ++i) samples_.mutable_data<float>()[i] = 1e3F;
  EXPECT_THAT(refusal(), AllOf(HasSubstr("value 'stem.relu'"), HasSubstr("is inf")));
}

TEST_F(CompressBadInput, NoSamplesForCalibration) {
  EXPECT_THAT(refusal({"--calibration", "0"}), HasSubstr("at least one sample is needed"));
  EXPECT_THAT(refusal({"--selection", "0", "--max-drop", "1"}), HasSubstr("--selection 0"));
  samples_ = Tensor(Format(), {0, 2, 6, 6});
  EXPECT_THAT(refusal(), AllOf(HasSubstr("data.npz"), HasSubstr("it holds no samples")));
}

TEST_F(CompressBadInput, FormatsThatCannotHoldALayer) {
  weight("deep", 1, 9 * 2 + 4) = 5;
  EXPECT_THAT(refusal({"--weights", "deep=fixed<8,6>"}),
              AllOf(HasSubstr("the weights of 'deep': output channel 2"),
                    HasSubstr("fewer fraction bits")));
  for (std::size_t i = 0; i < 72; ++i) samples_.mutable_data<float>()[i] = 100;
  EXPECT_THAT(refusal({"--activations", "stem.relu=fixed<8,7>"}),
              AllOf(HasSubstr("the activations of 'stem.relu'"), HasSubstr("fewer fraction bits")));
  EXPECT_THAT(refusal({"--activations", "image=log2<4>"}), HasSubstr("has no negative codes"));
  weight("deep", 1, 9 * 2 + 4) = 3e9F;
  EXPECT_THAT(refusal({"--scales", "f16"}),
              AllOf(HasSubstr("the activations of 'deep.relu'"), HasSubstr("use --scales f32")));
  EXPECT_THAT(
      refusal({"--scales", "f16", "--activations", "f32"}),
      AllOf(HasSubstr("the weights of 'deep': output channel 2"), HasSubstr("use --scales f32")));
}

TEST_F(CompressBadInput, PatternsThatMatchNothing) {
  EXPECT_THAT(refusal({"--weights", "steem=int4"}), HasSubstr("did you mean 'stem'?"));
  EXPECT_THAT(refusal({"--activations", "x*=int4"}), HasSubstr("x*"));
  EXPECT_THAT(refusal({"--only", "x*"}), HasSubstr("'x*' matches no layer"));
  EXPECT_THAT(refusal({"--ignore", "x*"}), HasSubstr("'x*' matches no layer"));
}

// Channels without weights, values that never vary.
TEST_F(CompressBadInput, ConstantChannelsAreNoHindrance) {
  for (std::size_t i = 0; i < 18; ++i) weight("stem", 1, 18 + i) = 0;
  for (std::size_t i = 0; i < 9; ++i) weight("deep", 1, i) = 0;
  weight("stem", 2, 1) = 0;
  weight("stem", 2, 2) = -1e4F;  // behind the Relu always 0
  const auto works = [&](const std::vector<std::string>& options) {
    const CliRun run = compress(options);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    EXPECT_LT(run.exit_code == 0 ? run.json()["relative_noise"].get<double>() : 1, 0.02)
        << ::testing::PrintToString(options);
  };
  for (const char* rounding : {"nearest", "gptq", "adaround", "descent"})
    works({"--rounding", rounding, "--bias-correction", "--json"});
  for (const char* rewrite : {"equalize", "smooth:0.5"}) works({"--rewrite", rewrite, "--json"});
  for (const char* method : {"minmax", "moving_average", "percentile", "mse"})
    works({"--method", method, "--granularity", "group:9", "--json"});
  samples_ = Tensor(Format(), {40, 2, 6, 6});
  for (const char* format : {"uint8", "e4m3", "pow2<4>"})
    works({"--activations", format, "--json"});
}

}  // namespace
}  // namespace tandem::test
