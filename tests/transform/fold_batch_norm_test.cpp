#include "tandem/transform/fold_batch_norm.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/files/model_file.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"
#include "tandem/transform/constant_fold.h"
#include "tandem/transform/rewriter.h"

#include "tests/support/networks.h"
#include "tests/support/paths.h"

namespace tandem {
namespace {

using test::NetworkMaker;
using test::operators_of;
using test::relative_difference;

// Folds a copy and checks that it computes the same.
Module folded(NetworkMaker& maker, const Module& network, const Shape& sample) {
  Module result = network;
  fold_batch_norm(result);
  verify(result);
  Shape shape = sample;
  shape.insert(shape.begin(), 3);
  EXPECT_LT(relative_difference(network, result, maker.random(shape)), 1e-5);
  return result;
}

TEST(FoldBatchNorm, IntoConvolutions) {
  NetworkMaker maker;
  ValueId x = maker.input("x", {3, 6, 5});
  x = maker.batch_norm("norm1", maker.conv("plain", x, 4, 3, 1, false));
  x = maker.batch_norm("norm2", maker.conv("depthwise", x, 4, 3, 4, true));
  x = maker.batch_norm("norm3", maker.conv("pointwise", x, 6, 1, 1, true));
  const Module network = maker.finish(x);
  const Module result = folded(maker, network, {3, 6, 5});
  EXPECT_EQ(operators_of(result), (std::vector<std::string>{"Conv", "Conv", "Conv"}));
  const Graph& graph = result.main();
  EXPECT_EQ(graph.values[graph.outputs[0]].name, "norm3") << "outputs keep their names";
}

TEST(FoldBatchNorm, IntoMatrixProducts) {
  NetworkMaker maker;
  ValueId x = maker.input("x", {7});
  x = maker.batch_norm("norm1", maker.gemm("gemm", x, 5));
  x = maker.batch_norm("norm2", maker.matmul("matmul", x, 4));
  const Module result = folded(maker, maker.finish(x), {7});
  EXPECT_EQ(operators_of(result), (std::vector<std::string>{"Gemm", "MatMul", "Add"}));
}

TEST(FoldBatchNorm, RespectsFactorsOfGemm) {
  NetworkMaker maker;
  const ValueId x = maker.input("x", {7});
  const ValueId product =
      maker.builder().add("Gemm", {x, maker.constant({7, 3}, -1, 1), maker.constant({}, -1, 1)},
                          {{"alpha", 0.5}, {"beta", -3.0}}, "gemm");
  const Module result = folded(maker, maker.finish(maker.batch_norm("norm", product)), {7});
  EXPECT_EQ(operators_of(result), (std::vector<std::string>{"Gemm"}));
}

TEST(FoldBatchNorm, LeavesProductsThatOthersRead) {
  NetworkMaker maker;
  const ValueId product = maker.conv("conv", maker.input("x", {3, 4, 4}), 3, 1);
  const ValueId norm = maker.batch_norm("norm", product);
  const Module result = folded(maker, maker.finish(maker.add("sum", norm, product)), {3, 4, 4});
  EXPECT_EQ(operators_of(result), (std::vector<std::string>{"Conv", "BatchNormalization", "Add"}));
}

TEST(FoldBatchNorm, LeavesNormalizationsWithoutProduct) {
  NetworkMaker maker;
  const ValueId x = maker.input("x", {3, 4, 4});
  const Module result = folded(maker, maker.finish(maker.batch_norm("norm", x)), {3, 4, 4});
  EXPECT_EQ(operators_of(result), std::vector<std::string>{"BatchNormalization"});
}

// The network with a normalization of random parameters behind each convolution.
Module normalized(const Module& network, NetworkMaker& maker) {
  const auto parameter = [&](Rewriter& rewriter, std::int64_t channels, double low, double high) {
    return rewriter.builder().constant(maker.random({channels}, low, high));
  };
  Rewriter rewriter(network);
  for (const Node& node : network.main().nodes) {
    rewriter.copy(node);
    if (node.op->name() != "Conv") continue;
    const ValueId sums = node.outputs[0];
    const std::int64_t channels = network.main().values[sums].type.shape[1].constant();
    rewriter.set(sums,
                 rewriter.builder().add(
                     "BatchNormalization",
                     {rewriter.at(sums), parameter(rewriter, channels, 0.5, 1.5),
                      parameter(rewriter, channels, -1, 1), parameter(rewriter, channels, -1, 1),
                      parameter(rewriter, channels, 0.5, 2)},
                     {}, node.name + ".normalized"));
  }
  Module result = rewriter.finish();
  verify(result);
  return result;
}

void expect_kept(const std::filesystem::path& path) {
  register_operators();
  Module network = read_model(path);
  fold_constants(network);
  NetworkMaker maker;
  const Module with_norms = normalized(network, maker);
  const Graph& graph = network.main();
  std::vector<std::int64_t> sample;
  for (const Dim& dim : graph.values[graph.inputs[0]].type.shape)
    sample.push_back(dim.is_constant() ? dim.constant() : 1);
  Module result = with_norms;
  fold_batch_norm(result);
  const auto left = operators_of(result), before = operators_of(with_norms);
  EXPECT_GE(std::ranges::count(before, "BatchNormalization"), 4);
  EXPECT_EQ(std::ranges::count(left, "BatchNormalization"), 0);
  EXPECT_LT(relative_difference(with_norms, result, maker.random(sample)), 1e-5);
}

TEST(FoldBatchNorm, KeepsAVisionTransformer) {
  expect_kept(test::source_dir() / "examples/transformers/vit.onnx");
}

TEST(FoldBatchNorm, KeepsAResNet) {
  TANDEM_REQUIRE_DATA("models/mlperf_tiny/pretrainedResnet.tflite");
  expect_kept(test::data_dir() / "models/mlperf_tiny/pretrainedResnet.tflite");
}

TEST(FoldBatchNorm, KeepsAMobileNet) {
  TANDEM_REQUIRE_DATA("models/mlperf_tiny/vww_96_float.tflite");
  expect_kept(test::data_dir() / "models/mlperf_tiny/vww_96_float.tflite");
}

}  // namespace
}  // namespace tandem
