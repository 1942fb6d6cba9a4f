#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/plan/target.h"
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

  // The outputs of "main" for its inputs, both in the graph's order, by an execution: "cpu" (this
  // CPU's kernels), "reference" (Operator::evaluate) or "auto", cpu where the kernels take the
  // module, else reference. Throws Error on another name, or where cpu is asked and cannot be.
  std::vector<Tensor> run(std::span<const Tensor> inputs, const std::string& execution) const;

  // Calls use(execution, inputs as one sample) for the kernels of these inputs' shapes, one thread
  // at a time. Throws Error where they do not take the module.
  void with_kernels(std::span<const Tensor> inputs,
                    const std::function<void(CpuExecution&, const Samples&)>& use) const;

 private:
  // The same, but false where they do not take it.
  bool run_on_kernels(std::span<const Tensor> inputs,
                      const std::function<void(CpuExecution&, const Samples&)>& use) const;

  using Symbols = std::map<std::string, std::int64_t>;
  // The module with its symbols bound, ready to run, or why the kernels do not take it.
  struct Kernels {
    Symbols symbols;
    std::vector<Issue> issues;
    std::unique_ptr<CpuExecution> execution;
  };
  struct Shared {
    Shared(Module read, std::string from) : module(std::move(read)), source(std::move(from)) {}
    Module module;
    std::string source;
    std::mutex kernels_run;      // an execution serves one thread at a time
    std::list<Kernels> kernels;  // those that ran last, newest first
  };
  Kernels& kernels_for(const Symbols& symbols) const;

  std::shared_ptr<Shared> shared_;
};

}  // namespace tandem::python
