#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// Computes once what a graph computes several times: of nodes with the same operator, attributes
// and inputs (constants of equal bits count as the same, and so do the operands of a commutative
// integer primitive in either order) the first stays and serves the readers of all. It runs before
// quantization, where an exporter writes the same nodes at every use, and after lowering, which
// brackets each of the convolutions that read one value with its own Transpose. Before: any
// verified module. After: the same function, bit for bit, under the same names of inputs and
// outputs; no graph has two such nodes, but for those whose results are both outputs or updates of
// states. Nodes with bodies stay. Constants stay apart even where they are equal: each is recoded
// for its own reader.
void merge_common_subexpressions(Module& module);

}  // namespace tandem
