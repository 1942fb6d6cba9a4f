#include "tandem/kernels/convolution.h"

#include <algorithm>
#include <vector>

#include "tandem/kernels/gemm.h"

namespace tandem {
namespace {

// Columns are gathered for so many bytes of patches at a time, to stay in the second-level cache.
constexpr std::int64_t kPatchBytes = 128 << 10;

// The outputs o of one axis with 0 <= o * stride + offset < extent.
struct Interval {
  std::int64_t begin, end;
};
Interval inside(std::int64_t outputs, std::int64_t stride, std::int64_t offset,
                std::int64_t extent) {
  const std::int64_t begin = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  const std::int64_t end = offset >= extent ? 0 : (extent - 1 - offset) / stride + 1;
  return {std::min(begin, outputs), std::clamp(end, std::min(begin, outputs), outputs)};
}

// One row of patches: what kernel element (ky, kx) meets in output positions [first, last).
template <typename T>
void gather_row(const Convolution& s, const T* plane, std::int64_t ky, std::int64_t kx,
                std::int64_t first, std::int64_t last, T* to) {
  const std::int64_t offset = kx * s.dilation_width - s.pad_left;
  const Interval valid = inside(s.out_width, s.stride_width, offset, s.width);
  while (first < last) {
    const std::int64_t oy = first / s.out_width;
    const std::int64_t begin = first - oy * s.out_width;
    const std::int64_t end = std::min(s.out_width, begin + last - first);
    const std::int64_t iy = oy * s.stride_height + ky * s.dilation_height - s.pad_top;
    first += end - begin;
    if (iy < 0 || iy >= s.height) {
      to = std::fill_n(to, end - begin, T{0});
      continue;
    }
    const T* row = plane + iy * s.width;
    const std::int64_t from = std::clamp(valid.begin, begin, end);
    const std::int64_t until = std::clamp(valid.end, from, end);
    to = std::fill_n(to, from - begin, T{0});
    if (s.stride_width == 1) {
      to = std::copy_n(row + from + offset, until - from, to);
    } else {
      for (std::int64_t ox = from; ox < until; ++ox) *to++ = row[ox * s.stride_width + offset];
    }
    to = std::fill_n(to, end - until, T{0});
  }
}

// Matrix product of the filters with gathered patches, for one image and one group.
template <typename T>
void convolve_gathered(const Convolution& s, const T* x, const T* w, T* y,
                       std::vector<T>& patches) {
  const std::int64_t channels = s.channels / s.group, filters = s.filters / s.group;
  const std::int64_t positions = s.out_height * s.out_width;
  const std::int64_t depth = channels * s.kernel_height * s.kernel_width;
  const std::int64_t fitting = kPatchBytes / static_cast<std::int64_t>(sizeof(T)) / depth;
  const std::int64_t block = std::min(positions, std::max<std::int64_t>(32, fitting & ~15));
  patches.resize(static_cast<std::size_t>(block * depth));
  for (std::int64_t first = 0; first < positions; first += block) {
    const std::int64_t last = std::min(positions, first + block);
    T* to = patches.data();
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t ky = 0; ky < s.kernel_height; ++ky)
        for (std::int64_t kx = 0; kx < s.kernel_width; ++kx, to += last - first)
          gather_row(s, x + c * s.height * s.width, ky, kx, first, last, to);
    gemm({filters, last - first, depth, positions}, w, patches.data(), y + first);
  }
}

// One channel with one filter: a matrix product with one row, done without gathering.
template <typename T>
void convolve_plane(const Convolution& s, const T* x, const T* w, T* y) {
  std::fill_n(y, s.out_height * s.out_width, T{0});
  for (std::int64_t ky = 0; ky < s.kernel_height; ++ky) {
    const std::int64_t row_offset = ky * s.dilation_height - s.pad_top;
    const Interval rows = inside(s.out_height, s.stride_height, row_offset, s.height);
    for (std::int64_t kx = 0; kx < s.kernel_width; ++kx) {
      const T factor = w[ky * s.kernel_width + kx];
      const std::int64_t offset = kx * s.dilation_width - s.pad_left;
      const Interval columns = inside(s.out_width, s.stride_width, offset, s.width);
      for (std::int64_t oy = rows.begin; oy < rows.end; ++oy) {
        const T* from = x + (oy * s.stride_height + row_offset) * s.width + offset;
        T* to = y + oy * s.out_width;
        if (s.stride_width == 1) {
          for (std::int64_t ox = columns.begin; ox < columns.end; ++ox) to[ox] += factor * from[ox];
        } else {
          for (std::int64_t ox = columns.begin; ox < columns.end; ++ox)
            to[ox] += factor * from[ox * s.stride_width];
        }
      }
    }
  }
}

bool is_pointwise(const Convolution& s) {
  return s.kernel_height == 1 && s.kernel_width == 1 && s.stride_height == 1 &&
         s.stride_width == 1 && s.out_height == s.height && s.out_width == s.width;
}

}  // namespace

template <typename T>
void convolve(const Convolution& s, const T* x, const T* w, const T* bias, T* y) {
  const std::int64_t channels = s.channels / s.group, filters = s.filters / s.group;
  const std::int64_t plane = s.height * s.width, positions = s.out_height * s.out_width;
  const std::int64_t depth = channels * s.kernel_height * s.kernel_width;
  std::vector<T> patches;
  for (std::int64_t n = 0; n < s.batch; ++n) {
    for (std::int64_t g = 0; g < s.group; ++g) {
      const T* from = x + (n * s.channels + g * channels) * plane;
      const T* weights = w + g * filters * depth;
      T* to = y + (n * s.filters + g * filters) * positions;
      if (channels == 1 && filters == 1) {
        convolve_plane(s, from, weights, to);
      } else if (is_pointwise(s)) {
        gemm({filters, positions, depth, positions}, weights, from, to);
      } else {
        convolve_gathered(s, from, weights, to, patches);
      }
    }
    if (bias == nullptr) continue;
    for (std::int64_t f = 0; f < s.filters; ++f) {
      T* to = y + (n * s.filters + f) * positions;
      for (std::int64_t p = 0; p < positions; ++p) to[p] += bias[f];
    }
  }
}

template void convolve<float>(const Convolution&, const float*, const float*, const float*, float*);
template void convolve<double>(const Convolution&, const double*, const double*, const double*,
                               double*);

}  // namespace tandem
