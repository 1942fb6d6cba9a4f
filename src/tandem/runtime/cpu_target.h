#pragma once

#include "tandem/plan/target.h"

namespace tandem {

// This processor as a target: check() says what its kernels cannot run. There are no sources to
// emit (Error); Program runs the plan.
class CpuTarget final : public Target {
 public:
  std::string name() const override { return "cpu"; }
  std::vector<Issue> check(const Module& module) const override;
  Artifacts emit(const Module& module, const Plan& plan, const std::string& name) const override;
};

}  // namespace tandem
