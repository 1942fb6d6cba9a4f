#pragma once

#include <memory>
#include <span>

#include "tandem/plan/plan.h"
#include "tandem/verify/execution.h"
#include "tandem/verify/verilator.h"

namespace tandem {

// The emitted circuit, simulated by Verilator. measured(): "latency_cycles" (first input beat to
// last output beat of the first sample), "interval_cycles" (between the last two samples, where
// there are two), "seconds" (of the simulation).
class CircuitExecution final : public Execution {
 public:
  // With the plan that is made for the device of the options, or a given one.
  CircuitExecution(const Module& module, const ExecutionOptions& options);
  CircuitExecution(const Module& module, Plan plan, const ExecutionOptions& options);

  std::string name() const override { return "circuit"; }
  // Simulates the same stages with every computed value as a further output.
  std::map<ValueId, Tensor> trace(std::span<const Tensor> inputs) override;
  const Plan& plan() const { return plan_; }

 protected:
  void build() override;
  Samples compute(std::span<const Tensor> inputs) override;

 private:
  Module module_;
  ExecutionOptions options_;
  Plan plan_;
  std::unique_ptr<VerilatedCircuits> circuits_;
};

}  // namespace tandem
