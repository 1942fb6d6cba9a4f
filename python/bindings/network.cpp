#include "python/bindings/network.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/evaluate.h"
#include "tandem/plan/target.h"
#include "tandem/runtime/host_plan.h"

namespace tandem::python {
namespace {

// What prevents the kernels from running a module whose symbols are bound.
std::vector<Issue> kernel_issues(const Module& bound) {
  std::vector<Issue> issues = check_host(bound);
  for (const State& state : bound.states)
    issues.push_back({state.name, "state", "run() starts it anew each time", "use \"reference\""});
  return issues;
}

}  // namespace

Network::Kernels& Network::kernels_for(const Symbols& symbols) const {
  constexpr std::size_t kMostKept = 8;
  std::list<Kernels>& kept = shared_->kernels;
  const auto known = std::ranges::find(kept, symbols, &Kernels::symbols);
  if (known != kept.end()) {
    kept.splice(kept.begin(), kept, known);
    return kept.front();
  }
  Module bound = symbols.empty() ? module() : specialize(module(), symbols);
  Kernels kernels{symbols, kernel_issues(bound), nullptr};
  if (kernels.issues.empty()) kernels.execution = std::make_unique<CpuExecution>(std::move(bound));
  kept.push_front(std::move(kernels));
  if (kept.size() > kMostKept) kept.pop_back();
  return kept.front();
}

void Network::with_kernels(std::span<const Tensor> inputs,
                           const std::function<void(CpuExecution&, const Samples&)>& use) const {
  if (!run_on_kernels(inputs, use))
    throw_issues(kernels_for(symbols_of(module().main(), inputs)).issues, "cpu");
}

bool Network::run_on_kernels(std::span<const Tensor> inputs,
                             const std::function<void(CpuExecution&, const Samples&)>& use) const {
  const Symbols symbols = symbols_of(module().main(), inputs);
  Samples sample;
  for (const Tensor& input : inputs) {
    Shape shape = input.shape();
    shape.insert(shape.begin(), 1);
    sample.push_back(input.reshaped(shape));
  }
  const std::scoped_lock lock(shared_->kernels_run);
  const Kernels& kernels = kernels_for(symbols);
  if (kernels.execution != nullptr) use(*kernels.execution, sample);
  return kernels.execution != nullptr;
}

std::vector<Tensor> Network::run(std::span<const Tensor> inputs,
                                 const std::string& execution) const {
  const std::vector<std::string> known = {"auto", "cpu", "reference"};
  if (std::ranges::find(known, execution) == known.end())
    throw Error("no execution is called '", execution, "'", suggestion(execution, known));
  if (execution == "reference") return evaluate(module(), module().main(), inputs);
  std::vector<Tensor> outputs;
  const auto compute = [&](CpuExecution& kernels, const Samples& sample) {
    outputs = kernels.run(sample);
  };
  if (execution == "cpu") {
    with_kernels(inputs, compute);
  } else if (!run_on_kernels(inputs, compute)) {
    return evaluate(module(), module().main(), inputs);
  }
  for (Tensor& output : outputs)
    output = output.reshaped(Shape(output.shape().begin() + 1, output.shape().end()));
  return outputs;
}

}  // namespace tandem::python
