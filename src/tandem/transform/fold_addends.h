#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// Merges every addition of a constant for each channel into the bias of the Conv or Gemm before it,
// or into the constant of the addition before it, of "main". Afterwards none is left whose sum
// nobody else reads and whose bias is a constant. The module computes the same up to f32 rounding.
void fold_addends(Module& module);

}  // namespace tandem
