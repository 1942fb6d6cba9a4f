#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tandem/graph/operator.h"

namespace tandem {

// A sliding window over the spatial axes of a convolution or pooling.
struct Window {
  std::vector<std::int64_t> kernel, strides, dilations, pads_begin, pads_end;

  std::size_t rank() const { return kernel.size(); }
  // floor((extent + pads - dilated kernel) / stride) + 1 for each axis; throws Error when an axis
  // is symbolic or smaller than the kernel.
  std::vector<std::int64_t> output_extents(const std::vector<std::int64_t>& input) const;
};

// The attributes strides, dilations and pads (all begins, then all ends, as in ONNX) of a node;
// empty lists mean ones and zeros. Throws Error on wrong lengths or values.
Window window_of(const NodeView& node, std::vector<std::int64_t> kernel);

// The specifications of those three attributes.
std::vector<AttributeSpec> window_attributes();

// Calls visit(output_position, kernel_position, input_position) with flattened spatial positions
// for every kernel element that meets the input; input_position is -1 in the padding.
template <typename Visit>
void for_each_window_element(const Window& window, const std::vector<std::int64_t>& input,
                             Visit visit) {
  const std::vector<std::int64_t> output = window.output_extents(input);
  const std::size_t rank = window.rank();
  std::int64_t output_count = 1, kernel_count = 1;
  for (std::size_t d = 0; d < rank; ++d) {
    output_count *= output[d];
    kernel_count *= window.kernel[d];
  }
  for (std::int64_t o = 0; o < output_count; ++o) {
    for (std::int64_t k = 0; k < kernel_count; ++k) {
      std::int64_t output_rest = o, kernel_rest = k, position = 0, scale = 1;
      for (std::size_t d = rank; d-- > 0;) {
        const std::int64_t at = (output_rest % output[d]) * window.strides[d] -
                                window.pads_begin[d] +
                                (kernel_rest % window.kernel[d]) * window.dilations[d];
        output_rest /= output[d];
        kernel_rest /= window.kernel[d];
        if (at < 0 || at >= input[d]) position = -1;
        if (position >= 0) position += at * scale;
        scale *= input[d];
      }
      visit(o, k, position);
    }
  }
}

}  // namespace tandem
