#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// Writes as one Gelu what exporters spell out as x / sqrt(2), Erf, + 1 and two products with x and
// 1/2, in any order of the operands. The module computes the same up to rounding.
void recognize_gelu(Module& module);

}  // namespace tandem
