#pragma once

#include <cstdint>

namespace tandem {

// The product of row-major matrices, c[i,j] = sum_k a[i,k] * b[k,j], with m x depth, depth x n and
// m x n elements. Rows of c lie `c_stride` elements apart; rows of a and b follow one another.
struct GemmShape {
  std::int64_t m = 0, n = 0, depth = 0;
  std::int64_t c_stride = 0;
};

// Every c[i,j] is summed in the order of k from 0, each product and each sum rounded to T, so the
// bits depend neither on the host's instruction set nor on the sizes. T is float or double.
template <typename T>
void gemm(const GemmShape& shape, const T* a, const T* b, T* c);

}  // namespace tandem
