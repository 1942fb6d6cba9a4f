#include "tandem/verify/circuit_execution.h"

#include <algorithm>
#include <chrono>

#include "tandem/base/error.h"
#include "tandem/device/device.h"
#include "tandem/mapping/dataflow_buffers.h"
#include "tandem/plan/dataflow.h"

namespace tandem {
namespace {

CircuitInputs circuit_inputs(const Module& module, std::span<const Tensor> inputs) {
  CircuitInputs result;
  result.inputs.assign(inputs.begin(), inputs.end());
  for (const ValueId output : module.main().outputs)
    result.outputs.push_back(module.main().values[output].type.static_shape());
  return result;
}

Plan plan_for(const Module& module, const ExecutionOptions& options) {
  const Device device =
      find_device(options.device.empty() ? default_device("dataflow_fpga") : options.device);
  Plan plan = plan_dataflow(module, device.name);
  size_buffers(module, plan);
  return plan;
}

}  // namespace

CircuitExecution::CircuitExecution(const Module& module, const ExecutionOptions& options)
    : CircuitExecution(module, options.plan ? *options.plan : plan_for(module, options), options) {}

CircuitExecution::CircuitExecution(const Module& module, Plan plan, const ExecutionOptions& options)
    : module_(module), options_(options), plan_(std::move(plan)) {
  throw_issues(check_dataflow(module_), "circuit");
}

void CircuitExecution::build() {
  circuits_ = std::make_unique<VerilatedCircuits>(
      std::vector<Circuit>{{"network", build_pipeline(module_, plan_)}},
      VerilatorOptions{.folder = options_.folder, .timeout_seconds = options_.timeout_seconds});
}

Samples CircuitExecution::compute(std::span<const Tensor> inputs) {
  check_samples(module_, inputs);
  CircuitRun run = circuits_->run({circuit_inputs(module_, inputs)}, options_.stall_seed).front();
  measured_["latency_cycles"] = static_cast<double>(run.latency());
  const auto& ends = run.frame_ends;
  if (ends.size() > 1)
    measured_["interval_cycles"] = static_cast<double>(ends.back() - ends[ends.size() - 2]);
  return std::move(run.outputs);
}

std::map<ValueId, Tensor> CircuitExecution::trace(std::span<const Tensor> inputs) {
  Module tapped = module_;
  Graph& graph = tapped.main();
  DataflowChoices choices = choices_of(plan_);
  choices.output_lanes.clear();
  graph.outputs.clear();
  for (const NodeId node : dataflow_nodes(module_))
    for (const ValueId value : graph.nodes[node].outputs) graph.outputs.push_back(value);
  graph.codings.clear();
  Plan plan = plan_dataflow(tapped, plan_.device, choices);
  size_buffers(tapped, plan);
  VerilatedCircuits circuits({{"traced", build_pipeline(tapped, plan)}},
                             VerilatorOptions{.timeout_seconds = options_.timeout_seconds});
  const Samples outputs = circuits.run({circuit_inputs(tapped, inputs)}).front().outputs;
  std::map<ValueId, Tensor> values;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const ValueId value = graph.outputs[i];
    values.insert_or_assign(value, outputs[i].reshaped(graph.values[value].type.static_shape()));
  }
  return values;
}

}  // namespace tandem
