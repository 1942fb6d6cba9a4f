#include "tandem/verify/host_bench.h"

#include <algorithm>
#include <chrono>
#include <functional>

#include <nlohmann/json.hpp>

#include "tandem/base/random.h"
#include "tandem/base/threads.h"
#include "tandem/graph/operator.h"
#include "tandem/kernels/processor_rates.h"
#include "tandem/verify/samples.h"

namespace tandem {
namespace {

double seconds_of(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// So many runs take about two seconds.
std::int64_t runs_in(double seconds_of_one) {
  constexpr double kSeconds = 2;
  constexpr std::int64_t kLeast = 10, kMost = 10'000;
  return std::clamp(static_cast<std::int64_t>(kSeconds / seconds_of_one), kLeast, kMost);
}

// `run` as often as asked after a warm-up.
std::int64_t repeat(std::int64_t runs, const std::function<void()>& run) {
  const double first = seconds_of(run);
  const std::int64_t count = runs > 0 ? runs : runs_in(std::min(first, seconds_of(run)));
  for (std::int64_t i = 0; i < count / 10; ++i) run();
  return count;
}

double operations_of(const Module& module, const Node& node) {
  const Work work = node.op->work({module, module.main(), node});
  return 2 * static_cast<double>(work.total(OperationKind::kMultiplyAccumulate));
}

bool is_real(const Node& node) { return node.op->traits().domain == Domain::kReal; }

}  // namespace

HostBench bench(CpuExecution& execution, std::span<const Tensor> inputs, std::int64_t runs) {
  const Samples sample = one_of(inputs, 0);
  HostBench result;
  const std::int64_t count = repeat(runs, [&] { execution.run(sample); });
  for (std::int64_t i = 0; i < count; ++i)
    result.seconds.push_back(seconds_of([&] { execution.run(sample); }));
  std::ranges::sort(result.seconds);
  const Module& module = execution.prepared();
  for (const Node& node : module.main().nodes)
    if (is_real(node)) result.operations += operations_of(module, node);
  result.peak = thread_count() * operations_per_second(Products::kF32, thread_count());
  return result;
}

std::vector<StepTime> profile(CpuExecution& execution, std::span<const Tensor> inputs,
                              std::int64_t runs) {
  const Samples sample = one_of(inputs, 0);
  const std::int64_t count = repeat(runs, [&] { execution.run(sample); });
  const Module& module = execution.prepared();
  const std::vector<Node>& nodes = module.main().nodes;
  std::vector<StepSpan> last;
  std::vector<double> seconds(execution.plan().steps.size());
  for (std::int64_t i = 0; i < count; ++i) {
    last = execution.run_timed(sample);
    for (std::size_t at = 0; at < last.size(); ++at) seconds[at] += last[at].end - last[at].begin;
  }
  std::vector<StepTime> steps;
  for (std::size_t at = 0; at < last.size(); ++at) {
    const Step& step = execution.plan().steps[at];
    if (step.kind != StepKind::kRun || last[at].end == 0) continue;
    const Node& first = nodes[step.nodes[0]];
    StepTime time;
    time.name = first.name;
    time.op = first.op->name();
    time.form = step.form;
    for (const NodeId id : step.nodes) {
      if (id != step.nodes[0]) time.followers.emplace_back(nodes[id].op->name());
      if (is_real(nodes[id])) time.operations += operations_of(module, nodes[id]);
    }
    time.seconds = seconds[at] / static_cast<double>(count);
    time.begin = last[at].begin;
    time.end = last[at].end;
    steps.push_back(std::move(time));
  }
  return steps;
}

std::string chrome_trace(const std::vector<StepTime>& steps) {
  constexpr double kMicro = 1e6;
  nlohmann::ordered_json events = nlohmann::ordered_json::array();
  for (const StepTime& step : steps) {
    events.push_back({{"name", step.name},
                      {"cat", step.op},
                      {"ph", "X"},
                      {"ts", step.begin * kMicro},
                      {"dur", (step.end - step.begin) * kMicro},
                      {"pid", 1},
                      {"tid", 1},
                      {"args", {{"kernel", step.form}, {"followers", step.followers}}}});
  }
  return nlohmann::ordered_json{{"traceEvents", events}, {"displayTimeUnit", "ms"}}.dump(1) + "\n";
}

Samples plain_inputs(const Module& module, std::uint64_t seed) {
  Samples inputs;
  const Graph& graph = module.main();
  for (const ValueId id : graph.inputs) {
    const TensorType& type = graph.values[id].type;
    Shape shape = type.static_shape();
    shape.insert(shape.begin(), 1);
    Tensor input(type.format, shape);
    if (!type.format.is_uniform()) {
      const CounterRandom random(seed, "inputs/" + graph.values[id].name);
      std::vector<double> reals(static_cast<std::size_t>(input.size()));
      for (std::size_t i = 0; i < reals.size(); ++i) reals[i] = 2 * random.uniform(i) - 1;
      input = Tensor::from_reals(type.format, shape, reals);
    }
    inputs.push_back(std::move(input));
  }
  return inputs;
}

}  // namespace tandem
