#include "tandem/verify/cpu_execution.h"

#include "tandem/base/threads.h"
#include "tandem/runtime/host_plan.h"

namespace tandem {
namespace {

// Bytes of one sample of a tensor whose first axis counts samples.
std::size_t sample_bytes(const Tensor& samples, std::int64_t count) {
  return count == 0 ? 0 : samples.bytes().size() / static_cast<std::size_t>(count);
}

// Where the samples of inputs and outputs begin, one after the other.
class SampleWalk {
 public:
  SampleWalk(std::span<const Tensor> inputs, std::span<Tensor> outputs, std::int64_t count) {
    for (const Tensor& input : inputs) {
      from_.push_back(input.bytes().data());
      input_bytes_.push_back(sample_bytes(input, count));
    }
    for (Tensor& output : outputs) {
      to_.push_back(output.mutable_bytes().data());
      output_bytes_.push_back(sample_bytes(output, count));
    }
  }

  // Runs samples [begin, end) one after the other.
  void run(const Program& program, Program::Workspace& workspace, std::int64_t begin,
           std::int64_t end, std::vector<StepSpan>* spans = nullptr) const {
    std::vector<const std::byte*> from(from_);
    std::vector<std::byte*> to(to_);
    for (std::int64_t sample = begin; sample < end; ++sample) {
      const auto at = static_cast<std::size_t>(sample);
      for (std::size_t i = 0; i < from.size(); ++i) from[i] = from_[i] + at * input_bytes_[i];
      for (std::size_t i = 0; i < to.size(); ++i) to[i] = to_[i] + at * output_bytes_[i];
      program.run(from, to, workspace, spans);
    }
  }

 private:
  std::vector<const std::byte*> from_;
  std::vector<std::byte*> to_;
  std::vector<std::size_t> input_bytes_, output_bytes_;  // of one sample
};

}  // namespace

CpuExecution::CpuExecution(Module module)
    : module_(std::move(module)),
      network_(prepare_for_host(module_)),
      program_(network_.module, plan_host(network_.module, {.layouts = network_.layouts})) {}

Samples CpuExecution::empty_outputs(std::int64_t count) const {
  const Graph& graph = module_.main();
  Samples outputs;
  for (const ValueId output : graph.outputs) {
    const TensorType& type = graph.values[output].type;
    Shape shape = type.static_shape();
    shape.insert(shape.begin(), count);
    outputs.emplace_back(type.format, shape);
  }
  return outputs;
}

Samples CpuExecution::compute(std::span<const Tensor> inputs) {
  const std::int64_t count = check_samples(module_, inputs);
  Samples outputs = empty_outputs(count);
  const SampleWalk walk(inputs, outputs, count);
  // One sample alone runs on all threads, many run side by side.
  constexpr std::int64_t kGrain = 16;
  if (module_.states.empty() && count >= kGrain) {
    parallel_for(0, count, kGrain, [&](std::int64_t begin, std::int64_t end) {
      Program::Workspace workspace = program_.workspace();
      walk.run(program_, workspace, begin, end);
    });
    return outputs;
  }
  if (!workspace_) workspace_ = program_.workspace();
  program_.restart(*workspace_);
  walk.run(program_, *workspace_, 0, count);
  return outputs;
}

std::vector<StepSpan> CpuExecution::run_timed(std::span<const Tensor> inputs) {
  const std::int64_t count = check_samples(module_, inputs);
  Samples outputs = empty_outputs(count);
  if (!workspace_) workspace_ = program_.workspace();
  program_.restart(*workspace_);
  std::vector<StepSpan> spans;
  SampleWalk(inputs, outputs, count).run(program_, *workspace_, 0, 1, &spans);
  return spans;
}

std::map<ValueId, Tensor> CpuExecution::trace(std::span<const Tensor> inputs) {
  const Graph& graph = module_.main();
  const Program program(module_, plan_host(module_, {.fuse = false, .keep_values = true}));
  Program::Workspace workspace = program.workspace();
  const std::int64_t count = check_samples(module_, inputs);
  Samples outputs = empty_outputs(count);
  SampleWalk(inputs, outputs, count).run(program, workspace, 0, count);
  std::map<ValueId, Tensor> values;
  for (const Node& node : graph.nodes)
    for (const ValueId value : node.outputs) values.emplace(value, program.read(value, workspace));
  return values;
}

}  // namespace tandem
