#include "tandem/files/onnx_window.h"

#include <algorithm>

#include "tandem/base/text.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// SAME_*: ceil(extent / stride) windows; the odd element goes to the end (UPPER) or begin (LOWER).
Integers same_pads(const std::vector<Dim>& extents, const Integers& kernel, const Integers& strides,
                   const Integers& dilations, bool upper) {
  const std::size_t rank = extents.size();
  Integers pads(2 * rank);
  for (std::size_t d = 0; d < rank; ++d) {
    const std::int64_t extent = extents[d].constant();
    const std::int64_t stride = strides.empty() ? 1 : strides[d];
    const std::int64_t dilation = dilations.empty() ? 1 : dilations[d];
    if (stride < 1) OnnxNode::refuse("a stride is 0", "correct the attribute");
    const std::int64_t windows = (extent + stride - 1) / stride;
    const std::int64_t total =
        std::max<std::int64_t>(0, (windows - 1) * stride + (kernel[d] - 1) * dilation + 1 - extent);
    pads[d] = upper ? total / 2 : total - total / 2;
    pads[d + rank] = total - pads[d];
  }
  return pads;
}

}  // namespace

std::vector<Dim> spatial_dims(OnnxNode& node) {
  const auto& shape = node.type(0).shape;
  if (shape.size() < 3) {
    OnnxNode::refuse(concat("its input is ", node.type(0).to_string(), ", without spatial axes"),
                     "give it [N,C,spatial...]");
  }
  return {shape.begin() + 2, shape.end()};
}

std::vector<std::int64_t> window_attribute(OnnxNode& node, std::string_view name,
                                           std::size_t count) {
  Integers values = node.integers(name).value_or(Integers{});
  constexpr std::int64_t kLargest = std::int64_t{1} << 31;
  for (const std::int64_t value : values) {
    if (value < 0 || value > kLargest)
      OnnxNode::refuse(concat(name, " contains ", value), "correct the attribute");
  }
  if (!values.empty() && values.size() != count) {
    OnnxNode::refuse(concat(name, " has ", values.size(), " entries, not ", count),
                     "correct the attribute");
  }
  return values;
}

Attributes window_attributes(OnnxNode& node, const std::vector<std::int64_t>& kernel) {
  const std::size_t rank = kernel.size();
  const auto extents = spatial_dims(node);
  if (extents.size() != rank) {
    OnnxNode::refuse(concat("its kernel has ", rank, " axes, its input ", extents.size()),
                     "give both the same number of spatial axes");
  }
  const Integers strides = window_attribute(node, "strides", rank);
  const Integers dilations = window_attribute(node, "dilations", rank);
  Integers pads = window_attribute(node, "pads", 2 * rank);
  const std::string mode = auto_pad(node);
  if (mode == "SAME_UPPER" || mode == "SAME_LOWER")
    pads = same_pads(extents, kernel, strides, dilations, mode == "SAME_UPPER");
  else if (mode == "VALID")
    pads.clear();
  return {{"strides", strides}, {"dilations", dilations}, {"pads", pads}};
}

std::string auto_pad(OnnxNode& node) {
  std::string mode = node.text("auto_pad", "NOTSET");
  const std::vector<std::string> modes = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
  if (std::find(modes.begin(), modes.end(), mode) == modes.end())
    OnnxNode::refuse(concat("auto_pad is '", mode, "'", suggestion(mode, modes)),
                     "correct the attribute");
  return mode;
}

std::vector<std::int64_t> weights_kernel(OnnxNode& node, std::size_t weights) {
  const auto& shape = node.type(weights).shape;
  Integers kernel;
  for (std::size_t d = 2; d < shape.size(); ++d) kernel.push_back(shape[d].constant());
  if (const auto declared = node.integers("kernel_shape"); declared && *declared != kernel) {
    OnnxNode::refuse(concat("kernel_shape is ", to_string(*declared), ", but the weights are ",
                            node.type(weights).to_string()),
                     "correct the attribute");
  }
  return kernel;
}

}  // namespace tandem
