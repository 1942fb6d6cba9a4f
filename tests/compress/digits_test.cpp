// The example network from its file to integers, on its own data.
#include <vector>

#include <gtest/gtest.h>

#include "tandem/compress/measure.h"
#include "tandem/compress/quantize_network.h"
#include "tandem/data/batch.h"
#include "tandem/data/task.h"
#include "tandem/files/onnx_reader.h"
#include "tandem/graph/evaluate.h"
#include "tandem/ops/register.h"
#include "tandem/transform/fold_batch_norm.h"

#include "tests/support/paths.h"

namespace tandem {
namespace {

DataSet digits(const std::string& split) {
  DataOptions options;
  options.source = "npz:" + (test::source_dir() / "examples/digits/digits.npz").string();
  options.split = split;
  return open_data(options);
}

Module digits_network() {
  register_operators();
  Module network = read_onnx(test::source_dir() / "examples/digits/digits.onnx");
  fold_batch_norm(network);
  return network;
}

// Accuracy of the lowered network on codes.
double lowered_accuracy(const Module& lowered, const DataSet& data) {
  const Graph& graph = lowered.main();
  const Value& input = graph.values[graph.inputs[0]];
  const Coding in = graph.codings.at(graph.inputs[0]), out = graph.codings.at(graph.outputs[0]);
  const Tensor scale = lowered.constants[out.scale].tensor;
  const Tensor offset = lowered.constants[out.offset].tensor;
  const BatchLayout layout(data, input.type);
  Accuracy accuracy;
  for (std::int64_t begin = 0; begin < data.count(); begin += 60) {
    const std::int64_t end = std::min(begin + 60, data.count());
    const Tensor codes =
        layout.coded(begin, end, input.type.format, lowered.constants[in.scale].tensor,
                     lowered.constants[in.offset].tensor);
    EXPECT_EQ(codes, layout.codes(begin, end)) << "the lowered network takes the bytes";
    const Tensor integers = evaluate(lowered, graph, std::vector<Tensor>{codes}).front();
    std::vector<double> scores;
    for (std::int64_t i = 0; i < integers.size(); ++i) {
      scores.push_back(static_cast<double>(integers.integer(i)) *
                           scale.real(scale.size() == 1 ? 0 : i % 10) +
                       offset.real(offset.size() == 1 ? 0 : i % 10));
    }
    const auto first = data.labels.begin() + begin;
    const std::vector<std::int64_t> labels(first, first + (end - begin));
    accuracy.add(Tensor::from_reals(Format::parse("f64"), integers.shape(), scores), labels);
  }
  return accuracy.value();
}

TEST(Digits, EightBitsLoseLessThanOnePoint) {
  const Module network = digits_network();
  const DataSet training = digits("train"), held_out = digits("test");
  const TrainingParts parts = split_training(training, 256, 256, 1);
  const BatchLayout layout(held_out, network.main().values[network.main().inputs[0]].type);
  SiteRules rules;
  rules.inputs["image"] = {held_out.samples.format(), layout.scale(), layout.offset()};
  const QuantizationSites sites = find_sites(network, rules);
  Calibration calibration(network, sites);
  for_each_batch(network, parts.calibration,
                 [&](std::span<const Tensor> inputs) { calibration.add(inputs); });
  const auto exact = outputs_of(network, held_out);
  const double reference = accuracy_of(exact, held_out, exact);
  EXPECT_NEAR(reference, 0.9833, 0.0001);
  for (const auto method : {RangeMethod::kMinMax, RangeMethod::kPercentile, RangeMethod::kMse}) {
    CompressRecipe recipe;
    recipe.activations.method = method;
    const Module quantized = quantize_network(network, sites, calibration, recipe);
    EXPECT_LT(relative_noise(exact, outputs_of(quantized, held_out)), 0.001);
    EXPECT_NEAR(lowered_accuracy(lower(quantized), held_out), reference, 0.01);
  }
}

}  // namespace
}  // namespace tandem
