#include "tandem/verify/float_execution.h"

#include <algorithm>
#include <chrono>

#include "tandem/base/error.h"
#include "tandem/base/threads.h"
#include "tandem/graph/evaluate.h"
#include "tandem/verify/samples.h"

namespace tandem {
namespace {

// How many samples are evaluated together; results do not depend on it. Many, because what is done
// once for a batch (decoding weights) is then cheap, but few enough that values stay small.
std::int64_t batch_size(const Module& network, const std::string& batch) {
  constexpr std::int64_t kMost = 256, kElements = std::int64_t{1} << 22;
  const Module one = specialize(network, {{batch, 1}});
  std::int64_t largest = 1;
  for (const Node& node : one.main().nodes) {
    for (const ValueId output : node.outputs) {
      const TensorType& type = one.main().values[output].type;
      if (type.is_static()) largest = std::max(largest, element_count(type.static_shape()));
    }
  }
  return std::clamp<std::int64_t>(kElements / largest, 1, kMost);
}

// Samples [begin, end) as a batch: [samples, 1, ...] becomes [samples, ...].
std::vector<Tensor> batch_of(std::span<const Tensor> inputs, std::int64_t begin, std::int64_t end) {
  std::vector<Tensor> batch;
  for (const Tensor& input : inputs) {
    Shape shape(input.shape().begin() + 1, input.shape().end());
    shape[0] = end - begin;
    batch.push_back(input.rows(begin, end).reshaped(shape));
  }
  return batch;
}

void check_inputs(const Module& network, std::span<const Tensor> inputs) {
  const std::string batch = batch_symbol(network);
  check_samples(batch.empty() ? network : specialize(network, {{batch, 1}}), inputs);
}

// The results of batches one after the other, [samples, 1, ...] for each output.
Samples joined(const std::vector<std::vector<Tensor>>& batches, std::int64_t count) {
  Samples results;
  for (std::size_t output = 0; output < batches.front().size(); ++output) {
    const Tensor& first = batches.front()[output];
    Shape shape = first.shape();
    ensure(!shape.empty(), "an output without batch was joined");
    shape[0] = 1;
    shape.insert(shape.begin(), count);
    Tensor result(first.format(), shape);
    auto to = result.mutable_bytes().begin();
    for (const auto& batch : batches)
      to = std::copy(batch[output].bytes().begin(), batch[output].bytes().end(), to);
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace

std::string batch_symbol(const Module& network) {
  const Graph& graph = network.main();
  std::string batch;
  for (const ValueId id : graph.inputs) {
    const Value& input = graph.values[id];
    for (std::size_t d = 0; d < input.type.shape.size(); ++d) {
      const Dim& dim = input.type.shape[d];
      if (dim.is_constant()) continue;
      const std::string symbol = dim.symbols().front();
      const bool leads = d == 0 && dim == Dim::symbol(symbol) && (batch.empty() || batch == symbol);
      if (!leads) {
        throw Error("input '", input.name, "' is ", input.type.to_string(), "; bind ", symbol,
                    " to a number (--bind ", symbol, "=...): only the first dimension, the batch, ",
                    "may stay a symbol");
      }
      batch = symbol;
    }
  }
  return batch;
}

FloatExecution::FloatExecution(Module network) : network_(std::move(network)) {
  const std::string batch = batch_symbol(network_);
  const Graph& graph = network_.main();
  // Outputs of a batch fall apart into samples only where the batch leads them.
  for (const ValueId output : graph.outputs) {
    const auto& shape = graph.values[output].type.shape;
    if (!batch.empty() && (shape.empty() || shape[0] != Dim::symbol(batch))) by_sample_ = true;
  }
  if (batch.empty() || !network_.states.empty()) by_sample_ = true;
  if (!by_sample_) {
    batch_ = batch_size(network_, batch);
  } else if (!batch.empty()) {
    network_ = specialize(network_, {{batch, 1}});
  }
}

Samples FloatExecution::compute(std::span<const Tensor> inputs) {
  check_inputs(network_, inputs);
  if (!network_.states.empty()) return evaluate_samples(network_, inputs);
  const std::int64_t count = inputs.empty() ? 1 : inputs[0].shape()[0];
  const std::int64_t batch = batch_;
  std::vector<std::vector<Tensor>> results(static_cast<std::size_t>((count + batch - 1) / batch));
  parallel_for(
      0, static_cast<std::int64_t>(results.size()), 1, [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t i = from; i < to; ++i) {
          const std::int64_t begin = i * batch, end = std::min(count, begin + batch);
          const auto arguments = by_sample_ ? one_sample(inputs, i) : batch_of(inputs, begin, end);
          results[static_cast<std::size_t>(i)] = evaluate(network_, network_.main(), arguments);
        }
      });
  return by_sample_ ? stack(results) : joined(results, count);
}

std::map<ValueId, Tensor> FloatExecution::trace(std::span<const Tensor> inputs) {
  std::map<ValueId, Tensor> seen;
  evaluate_samples(network_, inputs, [&](ValueId value, const Tensor& tensor) {
    seen.insert_or_assign(value, tensor);
  });
  return seen;
}

std::vector<double> seconds_per_node(const Module& module, std::span<const Tensor> inputs) {
  using Watch = std::chrono::steady_clock;
  const Graph& graph = module.main();
  std::vector<double> seconds(graph.nodes.size());
  std::vector<Tensor> states = initial_states(module);
  const std::int64_t count = inputs.empty() ? 1 : inputs[0].shape()[0];
  for (std::int64_t sample = 0; sample < count; ++sample) {
    Watch::time_point before = Watch::now();
    evaluate(module, graph, one_sample(inputs, sample), &states, [&](ValueId value, const Tensor&) {
      const Watch::time_point now = Watch::now();
      seconds[graph.values[value].producer] += std::chrono::duration<double>(now - before).count();
      before = now;
    });
  }
  return seconds;
}

}  // namespace tandem
