#include "tandem/kernels/gemm.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace tandem {
namespace {

// One slice of the sum is this deep, so that a packed panel of b stays in the first-level cache.
constexpr std::int64_t kDepth = 256;
constexpr int kVectorBytes = 32;

template <typename T>
struct Lanes;
template <>
struct Lanes<float> {
  using Vector __attribute__((vector_size(kVectorBytes))) = float;
};
template <>
struct Lanes<double> {
  using Vector __attribute__((vector_size(kVectorBytes))) = double;
};

template <typename T>
constexpr std::int64_t kPanelColumns = 2 * kVectorBytes / sizeof(T);  // columns of c at a time

// Adds the products of `depth` terms to kRows rows and one panel of columns of c; `panel` holds b
// as [depth][kPanelColumns]. Only `columns` of the panel exist in c.
template <typename T, int kRows>
[[gnu::always_inline]] inline void add_tile(const T* a, std::int64_t a_stride, const T* panel,
                                            std::int64_t depth, T* c, std::int64_t c_stride,
                                            std::int64_t columns) {
  using Vector = typename Lanes<T>::Vector;
  T edge[kRows][kPanelColumns<T>] = {};
  const auto bytes = static_cast<std::size_t>(columns) * sizeof(T);
  for (int r = 0; r < kRows; ++r) std::memcpy(edge[r], c + r * c_stride, bytes);
  Vector low[kRows], high[kRows];
  for (int r = 0; r < kRows; ++r) {
    std::memcpy(&low[r], edge[r], kVectorBytes);
    std::memcpy(&high[r], edge[r] + kPanelColumns<T> / 2, kVectorBytes);
  }
  for (std::int64_t k = 0; k < depth; ++k, panel += kPanelColumns<T>) {
    Vector first, second;
    std::memcpy(&first, panel, kVectorBytes);
    std::memcpy(&second, panel + kPanelColumns<T> / 2, kVectorBytes);
    for (int r = 0; r < kRows; ++r) {
      const T factor = a[r * a_stride + k];
      low[r] += factor * first;
      high[r] += factor * second;
    }
  }
  for (int r = 0; r < kRows; ++r) {
    std::memcpy(edge[r], &low[r], kVectorBytes);
    std::memcpy(edge[r] + kPanelColumns<T> / 2, &high[r], kVectorBytes);
    std::memcpy(c + r * c_stride, edge[r], bytes);
  }
}

// Columns [column, column + columns) and terms [first, first + depth) of b, padded with zeros.
template <typename T>
[[gnu::always_inline]] inline void pack_panel(const T* b, std::int64_t n, std::int64_t depth,
                                              std::int64_t columns, T* panel) {
  for (std::int64_t k = 0; k < depth; ++k, panel += kPanelColumns<T>, b += n) {
    if (columns == kPanelColumns<T>) {
      std::memcpy(panel, b, kPanelColumns<T> * sizeof(T));
    } else {
      std::fill(std::copy_n(b, columns, panel), panel + kPanelColumns<T>, T{0});
    }
  }
}

template <typename T, int kRows>
[[gnu::always_inline]] inline void gemm_packed(const GemmShape& shape, const T* a, const T* b, T* c,
                                               T* panel) {
  for (std::int64_t first = 0; first < shape.depth; first += kDepth) {
    const std::int64_t depth = std::min(kDepth, shape.depth - first);
    for (std::int64_t column = 0; column < shape.n; column += kPanelColumns<T>) {
      const std::int64_t columns = std::min(kPanelColumns<T>, shape.n - column);
      pack_panel(b + first * shape.n + column, shape.n, depth, columns, panel);
      std::int64_t row = 0;
      for (; row + kRows <= shape.m; row += kRows) {
        add_tile<T, kRows>(a + row * shape.depth + first, shape.depth, panel, depth,
                           c + row * shape.c_stride + column, shape.c_stride, columns);
      }
      for (; row < shape.m; ++row) {
        add_tile<T, 1>(a + row * shape.depth + first, shape.depth, panel, depth,
                       c + row * shape.c_stride + column, shape.c_stride, columns);
      }
    }
  }
}

// Two rows fill the sixteen 128-bit registers that every x86-64 has.
template <typename T>
void gemm_baseline(const GemmShape& shape, const T* a, const T* b, T* c, T* panel) {
  gemm_packed<T, 2>(shape, a, b, c, panel);
}

#if defined(__x86_64__)
template <typename T>
__attribute__((target("avx2"))) void gemm_avx2(const GemmShape& shape, const T* a, const T* b, T* c,
                                               T* panel) {
  gemm_packed<T, 4>(shape, a, b, c, panel);
}
#endif

// A few rows do not repay the packing: row by row, the same sums in the same order.
template <typename T>
void gemm_rows(const GemmShape& shape, const T* a, const T* b, T* c) {
  for (std::int64_t i = 0; i < shape.m; ++i) {
    T* row = c + i * shape.c_stride;
    for (std::int64_t k = 0; k < shape.depth; ++k) {
      const T factor = a[i * shape.depth + k];
      const T* terms = b + k * shape.n;
      for (std::int64_t j = 0; j < shape.n; ++j) row[j] += factor * terms[j];
    }
  }
}

}  // namespace

template <typename T>
void gemm(const GemmShape& shape, const T* a, const T* b, T* c) {
  for (std::int64_t i = 0; i < shape.m; ++i) std::fill_n(c + i * shape.c_stride, shape.n, T{0});
  if (shape.m < 4) return gemm_rows(shape, a, b, c);
  std::vector<T> panel(static_cast<std::size_t>(std::min(kDepth, shape.depth) * kPanelColumns<T>));
#if defined(__x86_64__)
  static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
  if (has_avx2) return gemm_avx2(shape, a, b, c, panel.data());
#endif
  gemm_baseline(shape, a, b, c, panel.data());
}

template void gemm<float>(const GemmShape&, const float*, const float*, float*);
template void gemm<double>(const GemmShape&, const double*, const double*, double*);

}  // namespace tandem
