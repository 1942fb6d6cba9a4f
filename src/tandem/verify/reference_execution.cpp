#include "tandem/verify/reference_execution.h"

#include <chrono>

#include "tandem/graph/evaluate.h"
#include "tandem/verify/samples.h"

namespace tandem {

Samples ReferenceExecution::run(std::span<const Tensor> inputs) {
  const std::int64_t count = check_samples(module_, inputs);
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::vector<Tensor>> results;
  for (std::int64_t sample = 0; sample < count; ++sample)
    results.push_back(evaluate(module_, module_.main(), one_sample(inputs, sample)));
  measured_["seconds"] =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return stack(results);
}

std::map<ValueId, Tensor> ReferenceExecution::trace(std::span<const Tensor> inputs) {
  std::map<ValueId, Tensor> seen;
  evaluate(module_, module_.main(), one_sample(inputs, 0), nullptr,
           [&](ValueId value, const Tensor& tensor) { seen.insert_or_assign(value, tensor); });
  return seen;
}

}  // namespace tandem
