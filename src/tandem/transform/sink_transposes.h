#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// Moves the Transposes of a lowered "main" towards its outputs, so that neighbours cancel.
// Before: any verified module of integer primitives and data movement. After: the same function;
// a Transpose, or a Reshape that flattens a transposed value, is carried through element-wise
// primitives, reductions, Slice, Concat and Reshapes that split or join axes, is absorbed by the
// constants it meets (factors, thresholds, tables, the rows of a matrix), and is written only where
// an operator needs the original order. Where the carried order cannot be expressed, the Transpose
// stays where it was. Runs once, after lowering, since lowering brackets each convolution with two
// of them.
void sink_transposes(Module& module);

}  // namespace tandem
