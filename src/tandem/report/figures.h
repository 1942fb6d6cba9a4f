#pragma once

#include <string>

#include "tandem/report/report.h"

namespace tandem {

// Internal to the room: the drawings of a report, as SVG.

// The lowered network, a box for each step of the plan (or each node without one) with what runs in
// it and the type of its result, data flowing down.
std::string network_figure(const Module& lowered, const Plan* plan);

// The arena over the steps of a sequential plan: a rectangle for each buffer, from its first to its
// last step and from its first to its last byte. "" where the plan has no arena.
std::string memory_figure(const Plan& plan);

}  // namespace tandem
