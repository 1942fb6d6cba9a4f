#pragma once

#include <optional>
#include <string>

#include "tandem/graph/module.h"

namespace tandem {

// The first difference between the functions "main" of two modules, in one line, or nullopt where
// they are equal up to names, order of nodes, and sharing of equal values: inputs, outputs and
// their codings in order, the same operators with the same attributes on the same constants. Nodes
// that no output needs do not count.
std::optional<std::string> difference(const Module& a, const Module& b);

}  // namespace tandem
