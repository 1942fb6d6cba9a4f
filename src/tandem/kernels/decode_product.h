#pragma once

#include <cstdint>
#include <vector>

#include "tandem/kernels/decode_weights.h"

namespace tandem {

// y[m,i] = sum_k w[i,k] * x[m,k] for few rows m of x, with w packed. Rows of w lie eight to a
// panel, each panel is summed by one thread, in an order that depends on the shape and the
// instruction set alone: the bits are the same for any number of threads.

// With f32: each number is exact before it is multiplied. `x_stride` and `y_stride` are elements
// from row to row.
void decode_product(const DecodeWeights& w, const float* x, std::int64_t rows,
                    std::int64_t x_stride, float* y, std::int64_t y_stride);

// Rows of x as codes in [-127, 127] with one scale for each `group` of them.
struct CodedRows {
  std::int64_t rows = 0, depth = 0, padded_depth = 0, group = 0;
  std::vector<std::int8_t> codes;  // [rows, padded_depth], zeros behind the depth
  std::vector<float> scales;       // [rows, groups()]
  std::int64_t groups() const { return (padded_depth + group - 1) / group; }
};

// The greatest magnitude of a group goes to 127, ties to even. Groups of 32, or as many as share a
// scale of w where these are more; kSuperGroup for nested scales. Error for NaN and infinities.
void code_rows(const DecodeWeights& w, const float* x, std::int64_t rows, std::int64_t x_stride,
               CodedRows& coded);

// Whether there is a product with coded rows: of integers, whose sums fit 32 bits.
bool takes_coded_rows(const DecodeWeights& w);

// With codes: products and sums within a group are exact integers, each is scaled in f32 (a
// multiplication by the product of both scales) and added in order of the groups. The same bits
// with every instruction set.
void decode_product(const DecodeWeights& w, const CodedRows& x, float* y, std::int64_t y_stride);

}  // namespace tandem
