#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// A quantized network (Quantize and Dequantize around its operators) with its codes computed by
// exact integer primitives, as lower() would, and its reals as they are: inputs and outputs stay
// real, and what lies between a Dequantize and a Quantize but has no exact integer form (Softmax,
// normalizations) goes on computing reals. Operators that lower() only approximates stay real too.
// The function computed is the network's own, but that sums of products of codes are exact where
// the network adds reals. A network with states stays as it is.
void lower_codes(Module& network);

}  // namespace tandem
