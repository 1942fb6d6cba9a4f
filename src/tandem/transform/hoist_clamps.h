#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// Moves a Relu or Clip that follows a MaxPool or GlobalMaxPool to before it; a maximum commutes
// with every function that never falls. It stands before quantization: codes are then taken right
// behind the activation, so that the pool works on narrow codes instead of wide sums. The limits of
// a Clip must be constants or absent, and the pool must have no other reader; every other pair
// stays. The module computes the same numbers.
void hoist_clamps(Module& module);

}  // namespace tandem
