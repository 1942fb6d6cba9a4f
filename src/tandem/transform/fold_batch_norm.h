#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// Merges every BatchNormalization into the Conv, Gemm or MatMul before it: the filter of channel c
// is multiplied by f = scale / sqrt(variance + epsilon), and the bias becomes
// (bias - mean) * f + shift (Jacob et al., "Quantization and Training of Neural Networks for
// Efficient Integer-Arithmetic-Only Inference", CVPR 2018, section 3.2). It stands before
// quantization, so that the ranges of the weights are those that the network computes with.
// Afterwards no such pair is left whose parameters and weights are real constants, whose product
// nobody else reads and whose channels are those of the product (a matrix product of rank 2); all
// others stay as they are, which costs nothing: their lowering is exact too. The module computes
// the same up to f32 rounding.
void fold_batch_norm(Module& module);

}  // namespace tandem
