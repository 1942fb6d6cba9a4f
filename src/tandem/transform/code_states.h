#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// Makes states of reals in "main" states of codes. Where all that reads a state quantizes it alike,
// it then holds what that Quantize makes of it. Where a state is updated with codes made real
// (Dequantize with constant parameters) and starts as one of their reals, it holds the codes. What
// "main" computes stays the same in every bit. A state whose codes nothing says stays real, one
// that nothing updates becomes a constant, and one that nothing reads is gone.
void code_states(Module& network);

// The Quantize with constant parameters through which alone a value is read: the first of equal
// ones. nullptr where they differ, or something else reads the value.
const Node* only_quantize(const Module& module, const Graph& graph, ValueId value);

}  // namespace tandem
