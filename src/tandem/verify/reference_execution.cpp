#include "tandem/verify/reference_execution.h"

#include <chrono>

#include "tandem/base/threads.h"
#include "tandem/graph/evaluate.h"
#include "tandem/verify/samples.h"

namespace tandem {

Samples ReferenceExecution::compute(std::span<const Tensor> inputs) {
  const std::int64_t count = check_samples(module_, inputs);
  if (!module_.states.empty()) return evaluate_samples(module_, inputs);
  std::vector<std::vector<Tensor>> results(static_cast<std::size_t>(count));
  parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t sample = begin; sample < end; ++sample) {
      results[static_cast<std::size_t>(sample)] =
          evaluate(module_, module_.main(), one_sample(inputs, sample));
    }
  });
  return stack(results);
}

std::map<ValueId, Tensor> ReferenceExecution::trace(std::span<const Tensor> inputs) {
  std::map<ValueId, Tensor> seen;
  evaluate_samples(module_, inputs, [&](ValueId value, const Tensor& tensor) {
    seen.insert_or_assign(value, tensor);
  });
  return seen;
}

}  // namespace tandem
