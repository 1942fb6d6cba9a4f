#pragma once

#include <functional>
#include <span>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// Codes of at most 8 bits that depend, element by element, on one other value of codes of at most 8
// bits become one Table of it: an activation spelled out in reals, requantized twice and multiplied
// with its argument, is a function of 256 codes. Constants on the way must be the same for all
// elements, or differ along one axis (a normalization by channel): then each index has a table of
// its own; a Rescale alone that rounds down stays what it is then. For lowered functions; the
// module computes the same codes. `evaluate` computes the outputs of "main" for its inputs,
// exactly: evaluate() or something faster.
using CodeEvaluator = std::function<std::vector<Tensor>(const Module&, std::span<const Tensor>)>;
void tabulate_codes(Module& module, const CodeEvaluator& evaluate);
void tabulate_codes(Module& module);

}  // namespace tandem
