#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// A hybrid network (weights of codes, activations real or coded sample by sample with a computed
// scale) as the network of reals that it approximates: constants behind Dequantize become their
// reals, and Dequantize(Quantize(x * (steps / range)), range / steps) becomes x. Other quantizers
// stay. Stands before quantization, which chooses codes of its own.
void make_real(Module& network);

}  // namespace tandem
