#pragma once

#include <cstdint>

#include "tandem/kernels/real_lanes.h"

namespace tandem {

// One row times a constant matrix, which is read where it lies and from end to end: the time of it
// is that of reading.
struct VectorProduct {
  std::int64_t depth = 1, columns = 1;
  bool right_is_transposed = false;  // [columns, depth], not [depth, columns]
  const float *right = nullptr, *bias = nullptr;
  bool adds = false;  // what run() calls addend
  RealCall activation;

  // y[columns] = activation(x[depth] * right + bias + addend); y may be the addend. Parts that
  // threads compute depend on the shape alone.
  void run(const float* x, const float* addend, float* y) const;
};

}  // namespace tandem
