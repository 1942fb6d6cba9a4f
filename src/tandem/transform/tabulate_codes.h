#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// Codes of at most 8 bits that depend, element by element, on one other value of codes of at most 8
// bits become one Table of it: an activation spelled out in reals, requantized twice and multiplied
// with its argument, is a function of 256 codes. Constants on the way must be the same for all
// elements. For lowered functions; the module computes the same codes.
void tabulate_codes(Module& module);

}  // namespace tandem
