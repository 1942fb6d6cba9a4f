#pragma once

#include <span>
#include <vector>

#include "tandem/ops/broadcast.h"
#include "tandem/ops/strides.h"
#include "tandem/ops/support.h"

namespace tandem {

// result[i] = function(a[i], b[i]) with NumPy's broadcasting; A and R are the storage types of the
// operands and of the result.
template <typename A, typename R, typename Function>
Tensor map_pairs(const Tensor& a, const Tensor& b, Format result, const Function& function) {
  Tensor y(result, broadcast_shapes(a.shape(), b.shape()));
  const A* left = a.data<A>().data();
  const A* right = b.data<A>().data();
  R* to = y.mutable_data<R>().data();
  for_each_run<2>(
      y.shape(), {broadcast_strides(a.shape(), y.shape()), broadcast_strides(b.shape(), y.shape())},
      [&](std::int64_t first, std::int64_t count, const auto& at, const auto& step) {
        const A* l = left + at[0];
        const A* r = right + at[1];
        R* out = to + first;
        if (step[0] == 1 && step[1] == 1) {
          for (std::int64_t i = 0; i < count; ++i) out[i] = function(l[i], r[i]);
        } else if (step[0] == 1 && step[1] == 0) {
          const A constant = *r;
          for (std::int64_t i = 0; i < count; ++i) out[i] = function(l[i], constant);
        } else {
          for (std::int64_t i = 0; i < count; ++i)
            out[i] = function(l[i * step[0]], r[i * step[1]]);
        }
      });
  return y;
}

}  // namespace tandem
