#pragma once

#include <string_view>
#include <vector>

#include "tandem/files/onnx_import.h"

namespace tandem {

// Internal to the room: attributes of windows, which convolutions and pools share.

// The spatial extents of x [N,C,spatial...]; refused where the rank is below 3.
std::vector<Dim> spatial_dims(OnnxNode& node);

// A list of numbers that are not negative, one for each of `count`; empty where it is absent.
std::vector<std::int64_t> window_attribute(OnnxNode& node, std::string_view name,
                                           std::size_t count);

// strides, dilations and pads of a convolution or pooling with the given kernel, auto_pad resolved.
Attributes window_attributes(OnnxNode& node, const std::vector<std::int64_t>& kernel);

// The kernel of the weights [.., .., kernel...]; refused where kernel_shape says otherwise.
std::vector<std::int64_t> weights_kernel(OnnxNode& node, std::size_t weights);

// Refused unless auto_pad is one that ONNX knows.
std::string auto_pad(OnnxNode& node);

}  // namespace tandem
