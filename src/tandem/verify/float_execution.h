#pragma once

#include "tandem/verify/execution.h"

namespace tandem {

// evaluate() over a network as it was read, on reals: what "float" means. Inputs and outputs are
// samples as for the other executions, of the formats of the network's own inputs and outputs.
// Samples are evaluated in batches where the batch is a symbol.
class FloatExecution final : public Execution {
 public:
  // Throws Error where a symbol is not the batch of every input, or a batch is fixed above 1.
  explicit FloatExecution(Module network);
  std::string name() const override { return "float"; }
  std::map<ValueId, Tensor> trace(std::span<const Tensor> inputs) override;

 protected:
  Samples compute(std::span<const Tensor> inputs) override;

 private:
  Module network_;
  std::int64_t batch_ = 1;
  bool by_sample_ = false;  // no batch, or an output that a batch would mix
};

// Seconds that evaluate() spends in each node of "main" for all samples, one at a time on one
// thread: of a network as it was read or lowered.
std::vector<double> seconds_per_node(const Module& module, std::span<const Tensor> inputs);

// The symbol that stands for the batch: the first dimension of every input, and of nothing else in
// them. "" where the inputs have none. Throws Error naming a symbol that has to be bound.
std::string batch_symbol(const Module& network);

}  // namespace tandem
