#include "tandem/compress/class_biases.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "tandem/base/error.h"
#include "tandem/compress/measure.h"
#include "tandem/compress/observed_network.h"
#include "tandem/graph/operator.h"
#include "tandem/transform/fold_addends.h"
#include "tandem/transform/rewriter.h"

namespace tandem {
namespace {

constexpr int kBiasSteps = 1000;
constexpr double kLeastGradient = 1e-7;

// The gradient of the mean loss: predicted less actual frequencies, and the pull of the prior.
std::vector<double> gradient_at(std::span<const double> scores, const std::vector<double>& biases,
                                const std::vector<double>& frequencies, double prior) {
  const std::size_t classes = biases.size(), samples = scores.size() / classes;
  std::vector<double> gradient(classes, 0.0), shares(classes);
  for (std::size_t s = 0; s < samples; ++s) {
    const std::span<const double> row = scores.subspan(s * classes, classes);
    double greatest = row[0] + biases[0], sum = 0;
    for (std::size_t c = 1; c < classes; ++c) greatest = std::max(greatest, row[c] + biases[c]);
    for (std::size_t c = 0; c < classes; ++c)
      sum += shares[c] = std::exp(row[c] + biases[c] - greatest);
    for (std::size_t c = 0; c < classes; ++c) gradient[c] += shares[c] / sum;
  }
  for (std::size_t c = 0; c < classes; ++c) {
    gradient[c] = gradient[c] / static_cast<double>(samples) - frequencies[c] + prior * biases[c];
  }
  return gradient;
}

// The value that a monotone end of the network maps to its first output.
ValueId class_scores(const Module& network) {
  const Graph& graph = network.main();
  ValueId value = graph.outputs.at(0);
  while (graph.values[value].producer != kNone) {
    const Node& node = graph.nodes[graph.values[value].producer];
    const std::string_view op = node.op->name();
    const bool is_end = op == "Quantize" || op == "Dequantize" || op == "Softmax" ||
                        op == "LogSoftmax" || op == "Reshape" || op == "Flatten" ||
                        op == "Squeeze" || op == "Identity";
    if (!is_end) break;
    value = node.inputs[0];
  }
  if (graph.values[value].producer == kNone)
    throw Error("--class-biases: no layer computes the first output");
  return value;
}

// [1, classes], with ones behind where the scores have such axes.
Shape bias_shape(const Value& scores) {
  const std::vector<Dim>& dims = scores.type.shape;
  Shape shape{1};
  for (std::size_t axis = 1; axis < dims.size(); ++axis)
    shape.push_back(dims[axis].is_constant() ? dims[axis].constant() : 0);
  const std::int64_t classes = shape.size() < 2 ? 0 : *std::ranges::max_element(shape);
  if (classes < 2 || element_count(shape) != classes) {
    throw Error("--class-biases: '", scores.name,
                "' is no score for each of several classes, [samples, classes]");
  }
  return shape;
}

}  // namespace

std::vector<double> fit_class_biases(std::span<const double> scores, std::size_t classes,
                                     std::span<const std::int64_t> labels) {
  ensure(!labels.empty() && scores.size() == labels.size() * classes, "scores and labels differ");
  const auto samples = static_cast<double>(labels.size());
  std::vector<double> frequencies(classes, 0.0);
  for (const std::int64_t label : labels) {
    if (label < 0 || label >= static_cast<std::int64_t>(classes))
      throw Error("the label ", label, " is none of the network's ", classes, " classes");
    frequencies[static_cast<std::size_t>(label)] += 1 / samples;
  }
  // Nesterov's steps for a function whose second derivatives lie between the prior's and 1/2 more
  // (Boehning, "Multinomial logistic regression algorithm", 1992).
  const double prior = 1 / (samples * kClassBiasDeviation * kClassBiasDeviation);
  const double steepest = 0.5 + prior, root = std::sqrt(prior / steepest);
  const double momentum = (1 - root) / (1 + root);
  std::vector<double> biases(classes, 0.0), ahead = biases;
  for (int step = 0; step < kBiasSteps; ++step) {
    const std::vector<double> gradient = gradient_at(scores, ahead, frequencies, prior);
    double greatest = 0;
    for (std::size_t c = 0; c < classes; ++c) {
      const double next = ahead[c] - gradient[c] / steepest;
      ahead[c] = next + momentum * (next - biases[c]);
      biases[c] = next;
      greatest = std::max(greatest, std::abs(gradient[c]));
    }
    if (greatest < kLeastGradient) break;
  }
  return biases;
}

std::vector<double> add_class_biases(Module& network, std::span<const DataSet* const> labelled) {
  const ValueId value = class_scores(network);
  const Shape shape = bias_shape(network.main().values[value]);
  const auto classes = static_cast<std::size_t>(element_count(shape));
  std::vector<double> scores;
  std::vector<std::int64_t> labels;
  ObservedNetwork running(network, {value});
  for (const DataSet* data : labelled) {
    if (data->count() == 0) continue;
    if (data->labels.empty())
      throw Error("--class-biases: ", data->name, " has no labels to fit them to");
    labels.insert(labels.end(), data->labels.begin(), data->labels.end());
    for_each_batch(network, *data, [&](std::span<const Tensor> inputs) {
      running.run(inputs, [&](const std::vector<std::vector<Tensor>>& seen) {
        for (const Tensor& part : seen[0]) {
          const auto reals = part.to_reals();
          scores.insert(scores.end(), reals.begin(), reals.end());
        }
      });
    });
  }
  std::vector<double> biases = fit_class_biases(scores, classes, labels);
  Rewriter rewriter(network);
  for (const Node& node : network.main().nodes) {
    rewriter.copy(node);
    if (node.outputs[0] != value) continue;
    const ValueId constant = rewriter.builder().constant(
        Tensor::from_reals(Format(), shape, biases), node.name + ".class_biases");
    rewriter.set(value, rewriter.builder().add("Add", {rewriter.at(value), constant}, {},
                                               node.name + ".with_class_biases"));
  }
  network = rewriter.finish();
  fold_addends(network);
  return biases;
}

}  // namespace tandem
