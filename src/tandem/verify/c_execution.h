#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tandem/base/file.h"
#include "tandem/plan/plan.h"
#include "tandem/verify/execution.h"

namespace tandem {

struct CBatchOptions {
  std::string compiler = "cc";
  std::vector<std::string> flags = {"-O2"};
  // Under the address and undefined-behaviour sanitizers; what they find is an Error.
  bool sanitize = false;
  double timeout_seconds = 600;
  std::string folder = {};  // where it is built; empty: a temporary folder
};

// Runs many modules (symbols bound), each on its own samples, in one program: one compilation, one
// start. Returns the outputs of each. `plans` says how each is emitted.
std::vector<Samples> run_c_batch(std::span<const Module> modules, std::span<const Plan> plans,
                                 std::span<const Samples> inputs,
                                 const CBatchOptions& options = {});
// The same with the plans that plan_mcu() makes for the default device.
std::vector<Samples> run_c_batch(std::span<const Module> modules, std::span<const Samples> inputs,
                                 const CBatchOptions& options = {});

// The emitted C, compiled by the host's compiler.
class CExecution final : public Execution {
 public:
  CExecution(const Module& module, const ExecutionOptions& options);
  std::string name() const override { return "c"; }
  std::map<ValueId, Tensor> trace(std::span<const Tensor> inputs) override;
  const Plan& plan() const { return plan_; }

 protected:
  void build() override;
  Samples compute(std::span<const Tensor> inputs) override;

 private:
  std::string program(bool trace) const;

  Module module_;
  ExecutionOptions options_;
  Plan plan_;
  std::optional<TemporaryFolder> temporary_;
  std::string folder_, program_;
};

// What a program emitted with COptions::trace wrote for the last of `count` samples: the values of
// each step, then the outputs.
std::map<ValueId, Tensor> unpack_trace(const Module& module, const Plan& plan,
                                       const std::string& output, std::int64_t count);

}  // namespace tandem
