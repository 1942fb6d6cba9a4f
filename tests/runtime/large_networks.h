#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// Networks with the step kinds of whole ones, large enough for their steps to be cut into parts.
Module large_convolutions();
Module large_attention();

}  // namespace tandem
