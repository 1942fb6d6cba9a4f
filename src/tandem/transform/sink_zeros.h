#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// Moves the addition of one number to codes of 8 bits, their zero point, behind the transposes,
// reshapes and slices that read it: what moves is bytes then, and a product sees codes with a zero.
void sink_zeros(Module& module);

}  // namespace tandem
