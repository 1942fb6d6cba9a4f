// The rewrites of channels on networks as they are trained: the function stays.
#include "tandem/compress/channel_rewrites.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/compress/recoder.h"
#include "tandem/data/batch.h"
#include "tandem/files/model_file.h"
#include "tandem/ops/register.h"

#include "tests/support/networks.h"
#include "tests/support/paths.h"

namespace tandem {
namespace {

class ChannelRewrites : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

Module prepared(const std::filesystem::path& path) {
  Module network = read_model(path);
  prepare_for_quantization(network);
  return network;
}

// The greatest difference beside the greatest output, over random samples.
void expect_kept(const Module& network, const std::vector<std::string>& rewrites) {
  const TensorType& input = network.main().values[network.main().inputs[0]].type;
  DataOptions options;
  options.source = "random:6";
  const DataSet data = open_data(options, input);
  const Tensor batch = BatchLayout(data, input).reals(2, 6);
  for (const std::string& text : rewrites) {
    Module rewritten = network;
    const std::size_t places =
        rewrite_channels(rewritten, parse_channel_rewrite(text), data, QuantizerRules());
    EXPECT_GE(places, 5U) << text;
    const double difference = test::relative_difference(network, rewritten, batch);
    EXPECT_LE(difference, 1e-5) << text;
    EXPECT_GT(difference, 0) << text << " changed nothing";
  }
}

TEST_F(ChannelRewrites, KeepAVisionTransformer) {
  expect_kept(prepared(test::source_dir() / "examples/transformers/vit.onnx"),
              {"smooth:0.5", "smooth:0.8", "ptf:3", "repq"});
}

TEST_F(ChannelRewrites, KeepAResNet) {
  TANDEM_REQUIRE_DATA("models/mlperf_tiny/pretrainedResnet.tflite");
  expect_kept(prepared(test::data_dir() / "models/mlperf_tiny/pretrainedResnet.tflite"),
              {"equalize", "smooth:0.5"});
}

TEST_F(ChannelRewrites, KeepAMobileNet) {
  TANDEM_REQUIRE_DATA("models/mlperf_tiny/vww_96_float.tflite");
  expect_kept(prepared(test::data_dir() / "models/mlperf_tiny/vww_96_float.tflite"),
              {"equalize", "smooth:0.5"});
}

}  // namespace
}  // namespace tandem
