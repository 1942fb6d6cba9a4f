#include "tandem/ops/strides.h"

#include <algorithm>
#include <utility>

#include "tandem/base/error.h"

namespace tandem {

std::vector<std::int64_t> broadcast_strides(const Shape& from, const Shape& to) {
  ensure(from.size() <= to.size(), "broadcast to a lower rank");
  const std::size_t lead = to.size() - from.size();
  const auto dense = row_major_strides(from);
  std::vector<std::int64_t> strides(to.size(), 0);
  for (std::size_t d = 0; d < from.size(); ++d) {
    if (from[d] != to[lead + d] && from[d] != 1)
      throw Error("the shape ", to_string(from), " does not broadcast to ", to_string(to));
    if (from[d] != 1) strides[lead + d] = dense[d];
  }
  return strides;
}

Tensor strided_copy(const Tensor& from, Shape shape, std::int64_t offset,
                    const std::vector<std::int64_t>& strides) {
  Tensor result(from.format(), std::move(shape));
  visit_storage(from.format().storage(), [&]<typename T>() {
    const T* source = from.data<T>().data() + offset;
    T* target = result.mutable_data<T>().data();
    for_each_run<1>(result.shape(), {strides},
                    [&](std::int64_t first, std::int64_t count, const auto& at, const auto& step) {
                      const T* run = source + at[0];
                      T* to = target + first;
                      if (step[0] == 1) {
                        std::copy_n(run, count, to);
                      } else if (step[0] == 0) {
                        std::fill_n(to, count, *run);
                      } else {
                        for (std::int64_t i = 0; i < count; ++i) to[i] = run[i * step[0]];
                      }
                    });
  });
  return result;
}

}  // namespace tandem
