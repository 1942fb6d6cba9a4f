#include "tandem/verify/cpu_execution.h"

#include <chrono>

#include "tandem/base/threads.h"
#include "tandem/runtime/host_plan.h"

namespace tandem {
namespace {

// Bytes of one sample of a tensor whose first axis counts samples.
std::size_t sample_bytes(const Tensor& samples, std::int64_t count) {
  return count == 0 ? 0 : samples.bytes().size() / static_cast<std::size_t>(count);
}

// Runs samples [begin, end) one after the other.
void run_samples(const Program& program, std::span<const Tensor> inputs,
                 std::span<std::byte* const> outputs, std::span<const std::size_t> output_bytes,
                 std::int64_t begin, std::int64_t end, std::int64_t count) {
  Program::Workspace workspace = program.workspace();
  std::vector<const std::byte*> from(inputs.size());
  std::vector<std::byte*> to(outputs.size());
  for (std::int64_t sample = begin; sample < end; ++sample) {
    const auto at = static_cast<std::size_t>(sample);
    for (std::size_t i = 0; i < inputs.size(); ++i)
      from[i] = inputs[i].bytes().data() + at * sample_bytes(inputs[i], count);
    for (std::size_t i = 0; i < outputs.size(); ++i) to[i] = outputs[i] + at * output_bytes[i];
    program.run(from, to, workspace);
  }
}

}  // namespace

CpuExecution::CpuExecution(Module module)
    : module_(std::move(module)),
      network_(prepare_for_host(module_)),
      program_(network_.module, plan_host(network_.module, {.layouts = network_.layouts})) {}

Samples CpuExecution::compute(std::span<const Tensor> inputs) {
  const std::int64_t count = check_samples(module_, inputs);
  const Graph& graph = module_.main();
  Samples results;
  for (const ValueId output : graph.outputs) {
    const TensorType& type = graph.values[output].type;
    Shape shape = type.static_shape();
    shape.insert(shape.begin(), count);
    results.emplace_back(type.format, shape);
  }
  std::vector<std::byte*> to;
  std::vector<std::size_t> bytes;
  for (Tensor& result : results) {
    to.push_back(result.mutable_bytes().data());
    bytes.push_back(sample_bytes(result, count));
  }
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    run_samples(program_, inputs, to, bytes, begin, end, count);
  };
  if (!module_.states.empty()) {
    run(0, count);
    return results;
  }
  // One sample alone runs on all threads, many run side by side.
  constexpr std::int64_t kGrain = 16;
  if (count < kGrain)
    run(0, count);
  else
    parallel_for(0, count, kGrain, run);
  return results;
}

std::map<ValueId, Tensor> CpuExecution::trace(std::span<const Tensor> inputs) {
  const Graph& graph = module_.main();
  const Program program(module_, plan_host(module_, {.fuse = false, .keep_values = true}));
  Program::Workspace workspace = program.workspace();
  Samples outputs;
  std::vector<std::byte*> to;
  for (const ValueId output : graph.outputs)
    outputs.emplace_back(graph.values[output].type.format,
                         graph.values[output].type.static_shape());
  for (Tensor& output : outputs) to.push_back(output.mutable_bytes().data());
  const std::int64_t count = check_samples(module_, inputs);
  for (std::int64_t sample = 0; sample < count; ++sample) {
    std::vector<const std::byte*> from;
    for (const Tensor& input : inputs)
      from.push_back(input.bytes().data() +
                     static_cast<std::size_t>(sample) * sample_bytes(input, count));
    program.run(from, to, workspace);
  }
  std::map<ValueId, Tensor> values;
  for (const Node& node : graph.nodes)
    for (const ValueId value : node.outputs) values.emplace(value, program.read(value, workspace));
  return values;
}

}  // namespace tandem
