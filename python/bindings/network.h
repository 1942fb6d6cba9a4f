#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/verify/cpu_execution.h"

namespace tandem::python {

// A module as Python holds it, with the kernels that run it. Threads may share it.
class Network {
 public:
  // `source` is the file that it was read from, or empty.
  explicit Network(Module module, std::string source = "")
      : shared_(std::make_shared<Shared>(std::move(module), std::move(source))) {}

  const Module& module() const { return shared_->module; }
  const std::string& source() const { return shared_->source; }

  // The outputs of "main" for its inputs, both in the graph's order. A module of integers without
  // states runs on this CPU's kernels where they take all of it, else by Operator::evaluate.
  std::vector<Tensor> run(std::span<const Tensor> inputs) const;

 private:
  struct Shared {
    Shared(Module read, std::string from) : module(std::move(read)), source(std::move(from)) {}
    Module module;
    std::string source;
    std::once_flag kernels_made;
    std::unique_ptr<CpuExecution> kernels;  // null where they do not take the module
    std::mutex kernels_run;                 // an execution serves one thread at a time
  };
  std::shared_ptr<Shared> shared_;
};

}  // namespace tandem::python
