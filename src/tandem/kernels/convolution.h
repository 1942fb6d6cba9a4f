#pragma once

#include <cstdint>

namespace tandem {

// A two-dimensional grouped convolution, channels first; one-dimensional ones have height 1.
//   x [batch, channels, height, width]
//   w [filters, channels / group, kernel_height, kernel_width]
//   y [batch, filters, out_height, out_width]
struct Convolution {
  std::int64_t batch = 1, channels = 1, height = 1, width = 1;
  std::int64_t filters = 1, group = 1;
  std::int64_t kernel_height = 1, kernel_width = 1;
  std::int64_t stride_height = 1, stride_width = 1;
  std::int64_t dilation_height = 1, dilation_width = 1;
  std::int64_t pad_top = 0, pad_left = 0;
  std::int64_t out_height = 1, out_width = 1;
};

// y = conv(x, w) + bias[filter] (bias may be null). Terms are added in the order of w's row, the
// bias last, so the bits depend neither on the batch nor on the host. T is float or double.
template <typename T>
void convolve(const Convolution& shape, const T* x, const T* w, const T* bias, T* y);

}  // namespace tandem
