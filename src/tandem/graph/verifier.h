#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// Checks that the module is well formed: ids in range, names unique, every value computed before
// use and by one node, attributes complete, types equal to what the operators infer, constants,
// states and codings of the declared types. Throws Error naming graph and node.
void verify(const Module& module);

}  // namespace tandem
