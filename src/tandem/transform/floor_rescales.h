#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// A Rescale that rounds to nearest and saturates, with the clamps and the zero point (IntAdd of one
// constant) behind it, becomes one Rescale that rounds down to codes of at most 8 bits: half a unit
// and the zero point go into the addend, the clamps into its format and one Clamp where that is
// wider. Where a sum may lie exactly between two codes, the addend that gives every sum its code is
// looked for at each step from code to code; a Rescale that has none stays. Values between must
// have no other reader. For lowered functions whose kernels like it; the module computes the same
// codes.
void floor_rescales(Module& module);

}  // namespace tandem
