#include "tandem/kernels/panel_kernels.h"

#include <array>
#include <utility>

#include "tandem/base/error.h"
#if defined(__x86_64__)
#include "tandem/kernels/intrinsics.h"
#endif

namespace tandem {

std::int64_t most_panel_pixels(std::int64_t lanes, int vectors) {
  // Twelve sums of 16 registers, 28 of 32.
  if (lanes == 8) return vectors == 3 ? 4 : 6;
  return vectors == 3 ? 9 : 14;
}

#if defined(__x86_64__)
namespace {

#define TANDEM_FMA __attribute__((target("avx2,fma")))
#define TANDEM_FMA512 __attribute__((target("avx512f,fma")))

template <int kPixels, int kVectors>
TANDEM_FMA void multiply_windows(const PanelWork& work) {
  constexpr int kLanes = 8;
  // Weights come in time, from the third cache too, only when they are asked for early.
  constexpr std::int64_t kAhead = 512;
  __m256 sums[kPixels][kVectors];
#pragma GCC unroll 6
  for (int p = 0; p < kPixels; ++p)
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v)
      sums[p][v] = _mm256_loadu_ps(work.from + p * work.from_stride + kLanes * v);
  const float* weights = work.weights;
  const std::int64_t end = work.last_channel;
  for (std::int64_t i = work.first_position; i < work.last_position; ++i) {
    const float* x[kPixels];
#pragma GCC unroll 6
    for (int p = 0; p < kPixels; ++p) x[p] = work.channels[p * work.positions + i];
    for (std::int64_t k = work.first_channel; k < end; ++k, weights += kLanes * kVectors) {
      _mm_prefetch(reinterpret_cast<const char*>(weights + kAhead), _MM_HINT_T0);
      if constexpr (kVectors == 3)
        _mm_prefetch(reinterpret_cast<const char*>(weights + kAhead + 2 * kLanes), _MM_HINT_T0);
      __m256 w[kVectors];
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) w[v] = _mm256_loadu_ps(weights + kLanes * v);
#pragma GCC unroll 6
      for (int p = 0; p < kPixels; ++p) {
        const __m256 a = _mm256_broadcast_ss(x[p] + k);
#pragma GCC unroll 3
        for (int v = 0; v < kVectors; ++v) sums[p][v] = _mm256_fmadd_ps(a, w[v], sums[p][v]);
      }
    }
  }
  const __m256 low = _mm256_set1_ps(work.low), high = _mm256_set1_ps(work.high);
#pragma GCC unroll 6
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t at = p * work.stride + kLanes * v;
      __m256 sum = sums[p][v];
      if (work.addend != nullptr) sum = _mm256_add_ps(sum, _mm256_loadu_ps(work.addend + at));
      sum = _mm256_min_ps(high, _mm256_max_ps(low, sum));  // in this order NaN stays
      _mm256_storeu_ps(work.y + at, sum);
    }
  }
}

template <int kPixels, int kVectors>
TANDEM_FMA512 void multiply_rows(const PanelWork& work) {
  constexpr int kLanes = 16;
  constexpr std::int64_t kAhead = 256;
  __m512 sums[kPixels][kVectors];
#pragma GCC unroll 14
  for (int p = 0; p < kPixels; ++p)
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v)
      sums[p][v] = _mm512_loadu_ps(work.from + p * work.from_stride + kLanes * v);
  // Five pixels are reached from one register with the scales that addresses have.
  const std::int64_t step = work.x_stride, three = 3 * step;
  const float* x[3] = {work.x, work.x + 5 * step, work.x + 10 * step};
  const float* weights = work.weights;
  const std::int64_t end = work.last_channel;
  for (std::int64_t k = work.first_channel; k < end; ++k, weights += kLanes * kVectors) {
    __m512 w[kVectors];
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) {
      w[v] = _mm512_loadu_ps(weights + kLanes * v);
      _mm_prefetch(reinterpret_cast<const char*>(weights + kAhead + kLanes * v), _MM_HINT_T0);
    }
#pragma GCC unroll 14
    for (int p = 0; p < kPixels; ++p) {
      const float* pixel = x[p / 5] + k;
      const __m512 a = _mm512_set1_ps(p % 5 == 3 ? pixel[three] : pixel[p % 5 * step]);
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) sums[p][v] = _mm512_fmadd_ps(a, w[v], sums[p][v]);
    }
  }
  const __m512 low = _mm512_set1_ps(work.low), high = _mm512_set1_ps(work.high);
  const auto last = static_cast<__mmask16>((1U << (work.filters - kLanes * (kVectors - 1))) - 1);
#pragma GCC unroll 14
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t at = p * work.stride + kLanes * v;
      const __mmask16 mask = v + 1 < kVectors ? static_cast<__mmask16>(0xffff) : last;
      __m512 sum = sums[p][v];
      if (work.addend != nullptr)
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, work.addend + at));
      sum = _mm512_min_ps(high, _mm512_max_ps(low, sum));
      _mm512_mask_storeu_ps(work.y + at, mask, sum);
    }
  }
}

template <int kVectors, std::size_t... kPixel>
PanelKernel windows_kernel(std::size_t pixel, std::index_sequence<kPixel...>) {
  static constexpr std::array<PanelKernel, sizeof...(kPixel)> kernels{
      multiply_windows<kPixel + 1, kVectors>...};
  return kernels[pixel];
}

template <int kVectors, std::size_t... kPixel>
PanelKernel rows_kernel(std::size_t pixel, std::index_sequence<kPixel...>) {
  static constexpr std::array<PanelKernel, sizeof...(kPixel)> kernels{
      multiply_rows<kPixel + 1, kVectors>...};
  return kernels[pixel];
}

}  // namespace

PanelKernel panel_kernel(std::int64_t lanes, std::int64_t pixels, int vectors) {
  const auto pixel = static_cast<std::size_t>(pixels - 1);
  if (lanes == 8) {
    return vectors == 1   ? windows_kernel<1>(pixel, std::make_index_sequence<6>())
           : vectors == 2 ? windows_kernel<2>(pixel, std::make_index_sequence<6>())
                          : windows_kernel<3>(pixel, std::make_index_sequence<4>());
  }
  return vectors == 1   ? rows_kernel<1>(pixel, std::make_index_sequence<14>())
         : vectors == 2 ? rows_kernel<2>(pixel, std::make_index_sequence<14>())
                        : rows_kernel<3>(pixel, std::make_index_sequence<9>());
}

#else

PanelKernel panel_kernel(std::int64_t, std::int64_t, int) {
  throw InternalError("panels without x86-64");
}

#endif

}  // namespace tandem
