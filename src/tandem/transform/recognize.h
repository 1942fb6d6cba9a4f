#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// Writes as one Gelu what exporters spell out in either of its forms, in any order of the operands:
// x / sqrt(2), Erf, + 1 and two products with x and 1/2; or sqrt(2 / pi) (x + 0.044715 x^3), Tanh,
// + 1 and the same products. The module computes the same up to rounding.
void recognize_gelu(Module& module);

}  // namespace tandem
