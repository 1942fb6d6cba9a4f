#pragma once

#include <memory>
#include <optional>

#include "tandem/runtime/host_network.h"
#include "tandem/runtime/program.h"
#include "tandem/transform/data_sizes.h"
#include "tandem/verify/execution.h"

namespace tandem {

// The kernels of this processor, following a host plan: exact on integers, within rounding on
// reals, the same bits for any number of threads. Samples are spread over the threads, where no
// states lead from one to the next; few run one after the other, each on all threads. What depends
// on sizes that data decide is computed by the operators' definitions.
class CpuExecution final : public Execution {
 public:
  // Throws Error with all nodes that the kernels cannot take.
  explicit CpuExecution(Module module);
  std::string name() const override { return "cpu"; }
  std::map<ValueId, Tensor> trace(std::span<const Tensor> inputs) override;

  // The network as its kernels like it, and the plan that they follow.
  const Module& prepared() const { return network_.module; }
  const Plan& plan() const { return program_.plan(); }
  // Runs the first sample, and says when each step of the plan ran.
  std::vector<StepSpan> run_timed(std::span<const Tensor> inputs);

 protected:
  Samples compute(std::span<const Tensor> inputs) override;

 private:
  // What the kernels run: the network, or what of it has sizes that are known.
  const Module& planned() const { return parts_ ? parts_->sized : module_; }
  Samples empty_outputs(std::int64_t count) const;
  Samples run_kernels(std::span<const Tensor> inputs);

  Module module_;
  std::optional<SplitNetwork> parts_;  // where data decide sizes
  HostNetwork network_;
  Program program_;
  std::optional<Program::Workspace> workspace_;  // of samples that run one after the other
};

}  // namespace tandem
