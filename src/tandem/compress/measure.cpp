#include "tandem/compress/measure.h"

#include <algorithm>
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/compress/observed_network.h"
#include "tandem/data/batch.h"
#include "tandem/data/task.h"

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

// Reals of the samples from `begin` on.
void check_finite(const DataSet& data, const Tensor& reals, std::int64_t begin) {
  if (reals.format().storage() != Storage::kF32) return;
  const auto values = reals.data<float>();
  const auto bad = std::ranges::find_if(values, [](float v) { return !std::isfinite(v); });
  if (bad == values.end()) return;
  const std::int64_t at = bad - values.begin(), each = element_count(data.sample_shape());
  throw Error(data.name, ": element ", at % each, " of sample ",
              data.samples.source_index(begin + at / each), " (from 0) is ", *bad,
              "; mend the sample or leave it out");
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
    check_finite(data, inputs.front(), begin);
    visit(inputs);
  }
}

std::vector<Tensor> outputs_of(const Module& network, const DataSet& data) {
  const std::vector<ValueId>& outputs = network.main().outputs;
  ObservedNetwork running(network, outputs);
  std::vector<std::vector<Tensor>> parts(outputs.size());
  for_each_batch(network, data, [&](std::span<const Tensor> inputs) {
    running.run(inputs, [&](const std::vector<std::vector<Tensor>>& seen) {
      for (std::size_t i = 0; i < parts.size(); ++i)
        parts[i].insert(parts[i].end(), seen[i].begin(), seen[i].end());
    });
  });
  std::vector<Tensor> results;
  for (const auto& part : parts) results.push_back(joined(part));
  return results;
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
