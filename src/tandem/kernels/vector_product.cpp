#include "tandem/kernels/vector_product.h"

#include <algorithm>

#include "tandem/base/threads.h"
#include "tandem/kernels/thread_memory.h"

namespace tandem {
namespace {

// Weights that one thread reads at a time.
constexpr std::int64_t kPartWeights = std::int64_t{1} << 16;

void finish_columns(const VectorProduct& product, std::int64_t begin, std::int64_t end,
                    const float* addend, float* y) {
  if (product.bias != nullptr)
    for (std::int64_t j = begin; j < end; ++j) y[j] += product.bias[j];
  if (product.adds)
    for (std::int64_t j = begin; j < end; ++j) y[j] += addend[j];
  if (product.activation.function != RealFunction::kCopy)
    apply(product.activation, y + begin, nullptr, y + begin, end - begin);
}

// Each column is the product with a row of weights.
void run_rows(const VectorProduct& product, const float* x, const float* addend, float* y) {
  const std::int64_t depth = product.depth;
  const std::int64_t grain = std::max<std::int64_t>(1, kPartWeights / depth);
  thread_local ThreadMemory memory;
  float* sums = memory.floats(product.columns);
  parallel_for(0, product.columns, grain, [&](std::int64_t from, std::int64_t to) {
    inner_products(x, product.right + from * depth, to - from, depth, sums + from);
    finish_columns(product, from, to, addend, sums);
    std::copy(sums + from, sums + to, y + from);
  });
}

// Ranges of rows of weights, each with sums of its own, which are added in their order.
void run_columns(const VectorProduct& product, const float* x, const float* addend, float* y) {
  constexpr std::int64_t kMostParts = 4,
                         kColumnBlock = 16384;  // sums that stay in the second cache
  const std::int64_t depth = product.depth, columns = product.columns;
  const std::int64_t parts =
      std::clamp<std::int64_t>(depth * columns / kPartWeights, 1, std::min(kMostParts, depth));
  thread_local ThreadMemory memory;
  float* sums = memory.floats(parts * columns);
  parallel_for(0, parts, 1, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t part = from; part < to; ++part) {
      const std::int64_t first = depth * part / parts, last = depth * (part + 1) / parts;
      float* own = sums + part * columns;
      std::fill(own, own + columns, 0.0F);
      for (std::int64_t j = 0; j < columns; j += kColumnBlock)
        add_weighted_rows(x + first, product.right + first * columns + j, last - first, columns,
                          std::min(kColumnBlock, columns - j), own + j);
    }
  });
  for (std::int64_t part = 1; part < parts; ++part)
    for (std::int64_t j = 0; j < columns; ++j) sums[j] += sums[part * columns + j];
  finish_columns(product, 0, columns, addend, sums);
  std::copy_n(sums, columns, y);
}

}  // namespace

void VectorProduct::run(const float* x, const float* addend, float* y) const {
  if (right_is_transposed)
    run_rows(*this, x, addend, y);
  else
    run_columns(*this, x, addend, y);
}

}  // namespace tandem
