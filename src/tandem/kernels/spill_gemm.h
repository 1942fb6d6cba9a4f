#pragma once

#include <cstdint>

#include "tandem/kernels/integer_gemm.h"

namespace tandem {

// Products of matrices of dynamic fixed point: 16-bit products are added exactly in 32 bits, chain
// by chain, and each chain's sum is spilled into f32.

// As many pairs of products as fit 32 bits whatever their signs, of magnitudes up to these; at
// least 1, for magnitudes below 2^15, and never more than 2^30.
std::int64_t safe_pairs(std::int64_t most_a, std::int64_t most_b);

// c[i,j] = the sum over chains of float(sum of a[i,k] * b[k,j] within the chain) * 2^exponent, the
// first chain first; a chain is `pairs` pairs of k. Where no chain leaves 32 bits, the same bits
// with every instruction set. `a` has padded_depth() columns.
void gemm_with_spills(const std::int16_t* a, std::int64_t rows, std::int64_t a_stride,
                      const PackedB16& b, std::int64_t pairs, int exponent, float* c,
                      std::int64_t c_stride);

}  // namespace tandem
