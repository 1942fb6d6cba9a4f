#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// A Rescale that alone reads a Concat becomes one Rescale for each part, and so do the clamps and
// additions of constants behind it: each is then the same for all its elements, or runs behind the
// node that computes the part. For lowered functions; the module computes the same codes.
void split_rescales(Module& module);

}  // namespace tandem
