#pragma once

#include "tandem/verify/execution.h"

namespace tandem {

// evaluate() over the lowered module, sample by sample: the definition.
class ReferenceExecution final : public Execution {
 public:
  explicit ReferenceExecution(Module module) : module_(std::move(module)) {}
  std::string name() const override { return "reference"; }
  std::map<ValueId, Tensor> trace(std::span<const Tensor> inputs) override;

 protected:
  Samples compute(std::span<const Tensor> inputs) override;

 private:
  Module module_;
};

}  // namespace tandem
