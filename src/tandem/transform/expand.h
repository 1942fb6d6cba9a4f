#pragma once

#include <functional>

#include "tandem/graph/module.h"
#include "tandem/graph/operator.h"

namespace tandem {

// Writes the nodes of "main" that have bodies, and for which `keeps` is false, as their first body,
// and those of the bodies likewise. The module computes the same.
void expand_composites(Module& module, const std::function<bool(const NodeView&)>& keeps);

}  // namespace tandem
