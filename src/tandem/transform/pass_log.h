#pragma once

#include <functional>
#include <iosfwd>
#include <string_view>

#include "tandem/graph/module.h"

namespace tandem {

// Where run_pass() reports; at first nowhere. Only the command line (--log-passes) and tests set
// it.
void set_pass_log(std::ostream* log);

// Applies a pass. Where a log is set it prints the pass's name, the number of nodes before and
// after, its milliseconds, and, where the network changed, the network (large constants elided).
void run_pass(std::string_view name, Module& module, const std::function<void(Module&)>& pass);

}  // namespace tandem
