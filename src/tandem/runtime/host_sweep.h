#pragma once

#include <cstdint>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// Small random networks in which every form of a step of a host plan (host_plan.h) occurs many
// times, in sizes as trained networks have them: what the costs of a processor are fitted to. Real
// ones and, as lowered modules, 8-bit ones. The same seed gives the same networks; `rounds` says
// how many of each kind.
std::vector<Module> host_sweep(std::uint64_t seed, int rounds);

}  // namespace tandem
