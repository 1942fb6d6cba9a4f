#include "tandem/verify/execution.h"

#include <chrono>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/verify/c_execution.h"
#include "tandem/verify/circuit_execution.h"
#include "tandem/verify/cpu_execution.h"
#include "tandem/verify/qemu_execution.h"
#include "tandem/verify/reference_execution.h"

namespace tandem {

Samples Execution::run(std::span<const Tensor> inputs) {
  if (!built_) build();
  built_ = true;
  measured_.clear();
  const auto start = std::chrono::steady_clock::now();
  Samples outputs = compute(inputs);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  measured_["seconds"] = seconds.count();
  return outputs;
}

std::map<ValueId, Tensor> Execution::trace(std::span<const Tensor>) { return {}; }

std::int64_t check_samples(const Module& module, std::span<const Tensor> inputs) {
  const Graph& graph = module.main();
  if (inputs.size() != graph.inputs.size())
    throw Error(inputs.size(), " inputs given where the network has ", graph.inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Value& value = graph.values[graph.inputs[i]];
    const Shape wanted = value.type.static_shape();
    const Shape& given = inputs[i].shape();
    if (inputs[i].format() != value.type.format || given.empty() ||
        !std::equal(given.begin() + 1, given.end(), wanted.begin(), wanted.end()))
      throw Error("input '", value.name, "' takes samples of ", value.type.to_string(), ", not ",
                  inputs[i].format().name(), to_string(given), " (samples first)");
    if (given[0] != inputs[0].shape()[0])
      throw Error("input '", value.name, "' has ", given[0], " samples where the first has ",
                  inputs[0].shape()[0]);
  }
  return inputs.empty() ? 1 : inputs[0].shape()[0];
}

std::vector<std::string> execution_names() { return {"reference", "cpu", "c", "qemu", "circuit"}; }

std::unique_ptr<Execution> make_execution(std::string_view name, const Module& module,
                                          const ExecutionOptions& options) {
  if (name == "reference") return std::make_unique<ReferenceExecution>(module);
  if (name == "circuit") return std::make_unique<CircuitExecution>(module, options);
  if (name == "cpu") return std::make_unique<CpuExecution>(module);
  if (name == "c") return std::make_unique<CExecution>(module, options);
  if (name == "qemu") return std::make_unique<QemuExecution>(module, options);
  throw Error("no execution is called '", name, "'", suggestion(name, execution_names()));
}

}  // namespace tandem
