#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_window.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

Integers declared_kernel(OnnxNode& node) {
  const auto declared = node.integers("kernel_shape");
  if (!declared) OnnxNode::refuse("attribute 'kernel_shape' is missing", "give it a value");
  return window_attribute(node, "kernel_shape", declared->size());
}

Attributes pool_attributes(OnnxNode& node) {
  const Integers kernel = declared_kernel(node);
  Attributes attributes = window_attributes(node, kernel);
  attributes["kernel"] = kernel;
  attributes["ceil_mode"] = node.integer("ceil_mode", 0);
  return attributes;
}

void average_pool(OnnxNode& node) {
  Attributes attributes = pool_attributes(node);
  attributes["count_include_pad"] = node.integer("count_include_pad", 0);
  node.set(0, node.add("AveragePool", {node.value(0)}, std::move(attributes)));
}

// Of integers the greatest is found among the same numbers in f32.
void max_pool(OnnxNode& node) {
  Attributes attributes = pool_attributes(node);
  const Format format = node.type(0).format;
  const bool is_coded = format.is_integer() && format.bits() <= 16;
  const ValueId x =
      is_coded ? node.add("Cast", {node.value(0)}, {{"to", Format()}}) : node.value(0);
  const ValueId y = node.add("MaxPool", {x}, attributes);
  node.set(0, is_coded ? node.add("Cast", {y}, {{"to", format}}) : y);
  attributes["storage_order"] = node.integer("storage_order", 0);
  if (node.has_output(1)) node.set(1, node.add("MaxPoolIndices", {x}, std::move(attributes)));
}

void lp_pool(OnnxNode& node) {
  Attributes attributes = pool_attributes(node);
  attributes["p"] = node.integer("p", 2);
  node.set(0, node.add("LpPool", {node.value(0)}, std::move(attributes)));
}

void global_pool(OnnxNode& node) { node.set(0, node.add(node.op(), node.values())); }

// A window over all spatial axes.
void global_lp_pool(OnnxNode& node) {
  Integers kernel;
  for (const Dim& dim : spatial_dims(node)) kernel.push_back(dim.constant());
  node.set(0,
           node.add("LpPool", {node.value(0)}, {{"kernel", kernel}, {"p", node.integer("p", 2)}}));
}

// Positions are counted in a result whose extents follow from the window; a greater output_shape
// adds zeros at the end.
void max_unpool(OnnxNode& node) {
  const Integers kernel = declared_kernel(node);
  const std::size_t rank = kernel.size();
  const auto inputs = spatial_dims(node);
  if (inputs.size() != rank) {
    OnnxNode::refuse(concat("its kernel has ", rank, " axes, its input ", inputs.size()),
                     "give both the same number of spatial axes");
  }
  const Integers strides = window_attribute(node, "strides", rank);
  const Integers pads = window_attribute(node, "pads", 2 * rank);
  Integers extents;
  for (std::size_t d = 0; d < rank; ++d) {
    const std::int64_t padding = pads.empty() ? 0 : pads[d] + pads[d + rank];
    extents.push_back((inputs[d].constant() - 1) * (strides.empty() ? 1 : strides[d]) + kernel[d] -
                      padding);
  }
  ValueId y = node.add("MaxUnpool", {node.value(0), node.value(1)}, {{"extents", extents}});
  if (node.has(2)) {
    const Integers wanted = node.integers(2, "its output shape");
    if (wanted.size() != rank + 2)
      OnnxNode::refuse(concat("its output shape has ", wanted.size(), " entries"),
                       "give one for each axis");
    Integers added(2 * (rank + 2));
    for (std::size_t d = 0; d < rank; ++d) {
      added[rank + 4 + d] = wanted[d + 2] - extents[d];
      if (added[rank + 4 + d] < 0)
        OnnxNode::refuse("its output shape is smaller than its window makes it",
                         "correct the output shape");
    }
    y = node.add("Pad", {y}, {{"pads", added}});
  }
  node.set(0, y);
}

}  // namespace

void add_pool_handlers(OnnxHandlers& handlers) {
  handlers["MaxPool"] = max_pool;
  handlers["AveragePool"] = average_pool;
  handlers["LpPool"] = lp_pool;
  handlers["GlobalMaxPool"] = handlers["GlobalAveragePool"] = global_pool;
  handlers["GlobalLpPool"] = global_lp_pool;
  handlers["MaxUnpool"] = max_unpool;
}

}  // namespace tandem
