#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/verify/cpu_execution.h"

namespace tandem::python {

// A module as Python holds it, with the kernels that run it. Threads may share it.
class Network {
 public:
  explicit Network(Module module) : shared_(std::make_shared<Shared>(std::move(module))) {}

  const Module& module() const { return shared_->module; }

  // The outputs of "main" for its inputs, both in the graph's order. A module of integers without
  // states runs on this CPU's kernels where they take all of it, else by Operator::evaluate.
  std::vector<Tensor> run(std::span<const Tensor> inputs) const;

 private:
  struct Shared {
    explicit Shared(Module read) : module(std::move(read)) {}
    Module module;
    std::mutex mutex;  // of what follows
    bool kernels_tried = false;
    std::unique_ptr<CpuExecution> kernels;
  };
  std::shared_ptr<Shared> shared_;
};

}  // namespace tandem::python
