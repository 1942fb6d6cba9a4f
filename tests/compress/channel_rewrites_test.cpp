// The rewrites of channels on networks as they are trained: the function stays.
#include "tandem/compress/channel_rewrites.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/compress/recoder.h"
#include "tandem/data/batch.h"
#include "tandem/files/model_file.h"
#include "tandem/graph/printer.h"
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
  const BatchLayout layout(data, input);
  const Tensor batch = layout.reals(2, layout.fixed_batch() > 0 ? 3 : 5);
  for (const std::string& text : rewrites) {
    Module rewritten = network;
    const std::size_t places =
        rewrite_channels(rewritten, parse_channel_rewrite(text), data, QuantizerRules());
    EXPECT_GE(places, 3U) << text;
    EXPECT_LE(test::relative_difference(network, rewritten, batch), 1e-5) << text;
    // Powers of two change no bit of the outputs, but constants all the same.
    EXPECT_NE(print_module(rewritten), print_module(network)) << text;
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
