#include "tandem/verify/cpu_execution.h"

#include "tandem/base/threads.h"
#include "tandem/runtime/host_plan.h"
#include "tandem/verify/samples.h"

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
      parts_(split_at_data_sizes(module_)),
      network_(prepare_for_host(planned())),
      program_(network_.module, plan_host(network_.module, {.layouts = network_.layouts})) {}

Samples CpuExecution::empty_outputs(std::int64_t count) const {
  const Graph& graph = planned().main();
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
  const Samples outputs = run_kernels(inputs);
  return parts_ ? evaluate_samples(parts_->rest, outputs) : outputs;
}

Samples CpuExecution::run_kernels(std::span<const Tensor> inputs) {
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
  const Module& module = planned();
  const Program program(module, plan_host(module, {.fuse = false, .keep_values = true}));
  Program::Workspace workspace = program.workspace();
  const std::int64_t count = check_samples(module_, inputs);
  Samples outputs = empty_outputs(count);
  SampleWalk(inputs, outputs, count).run(program, workspace, 0, count);
  std::map<std::string, Tensor> named;
  for (const Node& node : module.main().nodes)
    for (const ValueId value : node.outputs)
      named.emplace(module.main().values[value].name, program.read(value, workspace));
  if (parts_) {
    const Graph& rest = parts_->rest.main();
    evaluate_samples(parts_->rest, outputs, [&](ValueId value, const Tensor& tensor) {
      named.insert_or_assign(rest.values[value].name, tensor);
    });
  }
  std::map<ValueId, Tensor> values;
  const Graph& graph = module_.main();
  for (const Node& node : graph.nodes)
    for (const ValueId value : node.outputs)
      if (const auto found = named.find(graph.values[value].name); found != named.end())
        values.emplace(value, found->second);
  return values;
}

}  // namespace tandem
