#include "python/bindings/network.h"

#include "tandem/graph/evaluate.h"
#include "tandem/runtime/host_plan.h"
#include "tandem/transform/lower.h"

namespace tandem::python {
namespace {

// The kernels of a module that they can take as it is; nullptr for any other.
std::unique_ptr<CpuExecution> kernels_for(const Module& module) {
  const bool fits = module.states.empty() && is_lowered(module) && check_host(module).empty();
  return fits ? std::make_unique<CpuExecution>(module) : nullptr;
}

bool has_declared_types(const Module& module, std::span<const Tensor> inputs) {
  const Graph& graph = module.main();
  if (inputs.size() != graph.inputs.size()) return false;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (type_of(inputs[i]) != graph.values[graph.inputs[i]].type) return false;
  return true;
}

}  // namespace

std::vector<Tensor> Network::run(std::span<const Tensor> inputs) const {
  std::call_once(shared_->kernels_made, [&] { shared_->kernels = kernels_for(module()); });
  // evaluate() says what is wrong with an input.
  if (shared_->kernels == nullptr || !has_declared_types(module(), inputs))
    return evaluate(module(), module().main(), inputs);
  std::vector<Tensor> one;
  for (const Tensor& input : inputs) {
    Shape shape = input.shape();
    shape.insert(shape.begin(), 1);
    one.push_back(input.reshaped(shape));
  }
  const std::scoped_lock lock(shared_->kernels_run);
  std::vector<Tensor> outputs = shared_->kernels->run(one);
  for (Tensor& output : outputs)
    output = output.reshaped(Shape(output.shape().begin() + 1, output.shape().end()));
  return outputs;
}

}  // namespace tandem::python
