#include "tandem/runtime/cpu_target.h"

#include "tandem/base/error.h"
#include "tandem/runtime/host_plan.h"

namespace tandem {

std::vector<Issue> CpuTarget::check(const Module& module) const { return check_host(module); }

Artifacts CpuTarget::emit(const Module&, const Plan&, const std::string&) const {
  throw Error(
      "the target cpu runs here and has no sources; emit for a device (tandem list devices)");
}

}  // namespace tandem
