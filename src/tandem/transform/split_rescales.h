#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// A Rescale that nothing but a Concat along the channels feeds becomes one Rescale for each part:
// each is then the same for all its channels, or runs behind the node that computes the part. For
// lowered functions; the module computes the same codes.
void split_rescales(Module& module);

}  // namespace tandem
