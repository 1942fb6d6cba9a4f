#include "tandem/compress/observed_network.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>

#include "tandem/base/error.h"
#include "tandem/base/threads.h"
#include "tandem/graph/evaluate.h"
#include "tandem/runtime/host_network.h"
#include "tandem/runtime/host_plan.h"
#include "tandem/runtime/program.h"
#include "tandem/transform/data_sizes.h"

namespace tandem {
namespace {

// Whether the first dimension of every input is the same symbol and all others are numbers.
bool has_leading_batch(const Graph& graph) {
  std::optional<Dim> batch;
  for (const ValueId id : graph.inputs) {
    const auto& shape = graph.values[id].type.shape;
    if (shape.empty() || shape[0].is_constant()) return false;
    if (batch && *batch != shape[0]) return false;
    batch = shape[0];
    if (!std::all_of(shape.begin() + 1, shape.end(), [](const Dim& d) { return d.is_constant(); }))
      return false;
  }
  return batch && *batch == Dim::symbol(batch->symbols().front());
}

bool kernels_take(const Module& module) {
  return check_host(module).empty() && data_sizes(module).empty();
}

}  // namespace

// The narrowed network with its symbols bound, ready to run.
class ObservedNetwork::Runner {
 public:
  explicit Runner(Module module) : module_(std::move(module)) {
    if (module_.main().outputs.empty() || !kernels_take(module_)) return;
    host_.emplace(prepare_for_host(module_));
    program_.emplace(host_->module, plan_host(host_->module, {.layouts = host_->layouts}));
  }

  // Bytes of the outputs.
  std::int64_t bytes() const {
    std::int64_t sum = 0;
    for (const ValueId output : module_.main().outputs) {
      const TensorType& type = module_.main().values[output].type;
      if (type.is_static())
        sum += element_count(type.static_shape()) * storage_bytes(type.format.storage());
    }
    return sum;
  }

  // May be called from several threads.
  std::vector<Tensor> run(std::span<const Tensor> inputs) {
    if (module_.main().outputs.empty()) return {};
    if (!program_) return evaluate(module_, module_.main(), inputs);
    std::vector<Tensor> outputs;
    for (const ValueId output : host_->module.main().outputs) {
      const TensorType& type = host_->module.main().values[output].type;
      outputs.emplace_back(type.format, type.static_shape());
    }
    std::vector<const std::byte*> from;
    std::vector<std::byte*> to;
    for (const Tensor& input : inputs) from.push_back(input.bytes().data());
    for (Tensor& output : outputs) to.push_back(output.mutable_bytes().data());
    std::unique_ptr<Program::Workspace> workspace = take();
    program_->restart(*workspace);
    program_->run(from, to, *workspace);
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(workspace));
    return outputs;
  }

 private:
  std::unique_ptr<Program::Workspace> take() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        auto workspace = std::move(free_.back());
        free_.pop_back();
        return workspace;
      }
    }
    return std::make_unique<Program::Workspace>(program_->workspace());
  }

  Module module_;
  std::optional<HostNetwork> host_;  // where the kernels take it
  std::optional<Program> program_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Program::Workspace>> free_;
};

ObservedNetwork::ObservedNetwork(const Module& network, std::vector<ValueId> values)
    : network_(network), values_(std::move(values)), narrowed_(network) {
  Graph& graph = narrowed_.main();
  graph.outputs.clear();
  graph.codings.clear();
  for (const ValueId value : values_) {
    ensure(network.main().values[value].constant == kNone, "a constant is observed");
    if (network.main().values[value].producer != kNone) graph.outputs.push_back(value);
  }
  narrowed_.functions = {{"main", narrowed_.functions.at("main")}};
  by_sample_ = has_leading_batch(network.main());
  remove_unused(narrowed_);
}

ObservedNetwork::~ObservedNetwork() = default;

ObservedNetwork::Runner& ObservedNetwork::runner_for(std::span<const Tensor> inputs) {
  auto symbols = symbols_of(network_.main(), inputs);
  if (by_sample_)
    for (auto& [name, value] : symbols) value = 1;
  for (auto& [known, runner] : runners_)
    if (known == symbols) return *runner;
  if (runners_.size() == 2) runners_.erase(runners_.begin());
  runners_.emplace_back(symbols, std::make_unique<Runner>(specialize(narrowed_, symbols)));
  return *runners_.back().second;
}

void ObservedNetwork::run(std::span<const Tensor> inputs, const Visitor& visit) {
  Runner& runner = runner_for(inputs);
  const std::int64_t samples = by_sample_ ? inputs.front().shape()[0] : 1;
  const std::int64_t step =
      std::clamp<std::int64_t>(kBytes / std::max<std::int64_t>(1, runner.bytes()), 1, samples);
  for (std::int64_t begin = 0; begin < samples; begin += step) {
    const std::int64_t count = std::min(step, samples - begin);
    std::vector<std::vector<Tensor>> seen(values_.size());
    for (auto& tensors : seen) tensors.resize(static_cast<std::size_t>(count));
    const auto run_one = [&](std::int64_t i) {
      std::vector<Tensor> sample;
      for (const Tensor& input : inputs)
        sample.push_back(by_sample_ ? input.rows(begin + i, begin + i + 1) : input);
      std::vector<Tensor> outputs = runner.run(sample);
      std::size_t output = 0;
      for (std::size_t v = 0; v < values_.size(); ++v) {
        Tensor& to = seen[v][static_cast<std::size_t>(i)];
        if (network_.main().values[values_[v]].producer != kNone) {
          to = std::move(outputs[output++]);
          continue;
        }
        const auto& ids = network_.main().inputs;
        to = sample[static_cast<std::size_t>(std::ranges::find(ids, values_[v]) - ids.begin())];
      }
    };
    if (count == 1) {
      run_one(0);  // on all threads
    } else {
      parallel_for(0, count, 1, [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t i = from; i < to; ++i) run_one(i);
      });
    }
    visit(seen);
  }
}

}  // namespace tandem
