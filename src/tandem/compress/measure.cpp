#include "tandem/compress/measure.h"

#include <algorithm>
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/base/threads.h"
#include "tandem/data/batch.h"
#include "tandem/data/task.h"
#include "tandem/graph/evaluate.h"

namespace tandem {
namespace {

// Samples that are evaluated together where the network takes any number.
constexpr std::int64_t kBatch = 32;

// Rows of one output, batch after batch, as one tensor.
Tensor joined(const std::vector<Tensor>& parts) {
  ensure(!parts.empty(), "outputs of no batch");
  Shape shape = parts.front().shape();
  ensure(!shape.empty(), "an output has no axis of samples");
  std::vector<double> values;
  shape[0] = 0;
  for (const Tensor& part : parts) {
    const auto reals = part.to_reals();
    values.insert(values.end(), reals.begin(), reals.end());
    shape[0] += part.shape()[0];
  }
  return Tensor::from_reals(parts.front().format(), shape, values);
}

}  // namespace

void for_each_batch(const Module& network, const DataSet& data, const BatchVisitor& visit) {
  const Graph& graph = network.main();
  if (graph.inputs.size() != 1) {
    throw Error("the network has ", graph.inputs.size(),
                " inputs; a data set serves networks with one");
  }
  if (!network.states.empty()) {
    throw Error(
        "the network keeps the state '", network.states.front().name,
        "' from sample to sample, and streams are neither calibrated nor measured; quantize "
        "it in the program that trained it (run, compare and compile take it as it is)");
  }
  const Value& input = graph.values[graph.inputs[0]];
  const BatchLayout layout(data, input.type);
  const std::int64_t step = layout.fixed_batch() > 0 ? layout.fixed_batch() : kBatch;
  for (std::int64_t begin = 0; begin < data.count(); begin += step) {
    const std::int64_t end = std::min(begin + step, data.count());
    const std::vector<Tensor> inputs{layout.reals(begin, end, input.type.format)};
    visit(inputs);
  }
}

std::vector<Tensor> outputs_of(const Module& network, const DataSet& data) {
  std::vector<std::vector<Tensor>> batches;
  for_each_batch(network, data, [&](std::span<const Tensor> inputs) {
    batches.emplace_back(inputs.begin(), inputs.end());
  });
  parallel_for(0, static_cast<std::int64_t>(batches.size()), 1,
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   auto& batch = batches[static_cast<std::size_t>(i)];
                   batch = evaluate(network, network.main(), batch);
                 }
               });
  std::vector<std::vector<Tensor>> parts(network.main().outputs.size());
  for (auto& batch : batches)
    for (std::size_t i = 0; i < parts.size(); ++i) parts[i].push_back(std::move(batch[i]));
  std::vector<Tensor> outputs;
  for (const auto& part : parts) outputs.push_back(joined(part));
  return outputs;
}

double relative_noise(std::span<const Tensor> exact, std::span<const Tensor> approximate) {
  ensure(exact.size() == approximate.size() && !exact.empty(), "outputs of different networks");
  double sum = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const auto a = exact[i].to_reals(), b = approximate[i].to_reals();
    ensure(a.size() == b.size(), "outputs of different samples");
    double energy = 0, noise = 0;
    for (std::size_t k = 0; k < a.size(); ++k) {
      energy += a[k] * a[k];
      noise += (a[k] - b[k]) * (a[k] - b[k]);
    }
    if (noise > 0) sum += energy > 0 ? noise / energy : 1;
  }
  return sum / static_cast<double>(exact.size());
}

double accuracy_of(std::span<const Tensor> outputs, const DataSet& data,
                   std::span<const Tensor> reference) {
  Accuracy accuracy;
  accuracy.add(outputs.front(), data.labels.empty() ? top1(reference.front()) : data.labels);
  return accuracy.value();
}

}  // namespace tandem
