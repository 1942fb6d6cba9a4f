#pragma once

#include <memory>
#include <optional>

#include "tandem/runtime/host_network.h"
#include "tandem/runtime/program.h"
#include "tandem/verify/execution.h"

namespace tandem {

// The kernels of this processor, following a host plan; samples are spread over the threads,
// where no states lead from one to the next.
class CpuExecution final : public Execution {
 public:
  // Throws Error with all nodes that the kernels cannot take.
  explicit CpuExecution(Module module);
  std::string name() const override { return "cpu"; }
  std::map<ValueId, Tensor> trace(std::span<const Tensor> inputs) override;

 protected:
  Samples compute(std::span<const Tensor> inputs) override;

 private:
  Module module_;
  HostNetwork network_;
  Program program_;
};

}  // namespace tandem
