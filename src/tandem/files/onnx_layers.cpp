#include <algorithm>

#include "tandem/base/text.h"
#include "tandem/files/onnx_import.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// The spatial extents of x [N,C,spatial...]; refused where the rank is below 3.
std::vector<Dim> spatial_dims(OnnxNode& node) {
  const auto& shape = node.type(0).shape;
  if (shape.size() < 3) {
    OnnxNode::refuse(concat("its input is ", node.type(0).to_string(), ", without spatial axes"),
                     "give it [N,C,spatial...]");
  }
  return {shape.begin() + 2, shape.end()};
}

Integers window_attribute(OnnxNode& node, std::string_view name, std::size_t count) {
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

// strides, dilations and pads of a convolution or pooling with the given kernel.
Attributes window_attributes(OnnxNode& node, const Integers& kernel) {
  const std::size_t rank = kernel.size();
  const auto extents = spatial_dims(node);
  if (extents.size() != rank) {
    OnnxNode::refuse(concat("its kernel has ", rank, " axes, its input ", extents.size()),
                     "give both the same number of spatial axes");
  }
  const Integers strides = window_attribute(node, "strides", rank);
  const Integers dilations = window_attribute(node, "dilations", rank);
  Integers pads = window_attribute(node, "pads", 2 * rank);
  const std::string auto_pad = node.text("auto_pad", "NOTSET");
  if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
    pads = same_pads(extents, kernel, strides, dilations, auto_pad == "SAME_UPPER");
  } else if (auto_pad == "VALID") {
    pads.clear();
  } else if (auto_pad != "NOTSET") {
    OnnxNode::refuse(concat("auto_pad is '", auto_pad, "'",
                            suggestion(auto_pad, {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"})),
                     "correct the attribute");
  }
  return {{"strides", strides}, {"dilations", dilations}, {"pads", pads}};
}

void conv(OnnxNode& node) {
  const auto& weights = node.type(1).shape;
  Integers kernel;
  for (std::size_t d = 2; d < weights.size(); ++d) kernel.push_back(weights[d].constant());
  if (const auto declared = node.integers("kernel_shape"); declared && *declared != kernel) {
    OnnxNode::refuse(concat("kernel_shape is ", to_string(*declared), ", but the weights are ",
                            node.type(1).to_string()),
                     "correct the attribute");
  }
  Attributes attributes = window_attributes(node, kernel);
  attributes["group"] = node.integer("group", 1);
  node.set(0, node.add("Conv", node.values(), std::move(attributes)));
}

void pool(OnnxNode& node) {
  const auto declared = node.integers("kernel_shape");
  if (!declared) OnnxNode::refuse("attribute 'kernel_shape' is missing", "give it a value");
  const Integers kernel = window_attribute(node, "kernel_shape", declared->size());
  Attributes attributes = window_attributes(node, kernel);
  attributes["kernel"] = kernel;
  attributes["ceil_mode"] = node.integer("ceil_mode", 0);
  if (node.op() == "AveragePool")
    attributes["count_include_pad"] = node.integer("count_include_pad", 0);
  else if (node.integer("storage_order", 0) != 0)
    OnnxNode::refuse("storage_order is not 0", "use row-major storage");
  node.set(0, node.add(node.op(), {node.value(0)}, std::move(attributes)));
}

void global_pool(OnnxNode& node) { node.set(0, node.add(node.op(), node.values())); }

void matmul(OnnxNode& node) { node.set(0, node.add("MatMul", node.values())); }

void gemm(OnnxNode& node) {
  const Attributes attributes = {{"alpha", node.real("alpha", 1)},
                                 {"beta", node.real("beta", 1)},
                                 {"transA", node.integer("transA", 0) != 0 ? std::int64_t{1} : 0},
                                 {"transB", node.integer("transB", 0) != 0 ? std::int64_t{1} : 0}};
  node.set(0, node.add("Gemm", node.values(), attributes));
}

void batch_normalization(OnnxNode& node) {
  node.ignore("momentum");  // of training only
  if (node.integer("training_mode", 0) != 0)
    OnnxNode::refuse("it is in training mode", "export the model for inference (model.eval())");
  if (node.integer("spatial", 1) != 1)
    OnnxNode::refuse("it normalises every activation (spatial = 0)", "normalise per channel");
  const double epsilon = node.real("epsilon", 1e-5);
  node.set(0, node.add("BatchNormalization", node.values(), {{"epsilon", epsilon}}));
}

Attributes loss_attributes(OnnxNode& node) {
  Integers ignored;
  if (node.has_attribute("ignore_index")) ignored.push_back(node.integer("ignore_index"));
  return {{"reduction", node.text("reduction", "mean")}, {"ignored", ignored}};
}

void log_likelihood_loss(OnnxNode& node) {
  node.set(0, node.add("NegativeLogLikelihoodLoss", node.values(), loss_attributes(node)));
}

void cross_entropy_loss(OnnxNode& node) {
  const Attributes classes = {{"axis", std::int64_t{1}}};
  const ValueId log_probabilities = node.add("LogSoftmax", {node.value(0)}, classes);
  node.set(0, node.add("NegativeLogLikelihoodLoss",
                       {log_probabilities, node.value(1), node.value(2)}, loss_attributes(node)));
  node.set(1, log_probabilities);
}

}  // namespace

void add_layer_handlers(OnnxHandlers& handlers) {
  handlers["Conv"] = conv;
  handlers["MaxPool"] = handlers["AveragePool"] = pool;
  handlers["GlobalMaxPool"] = handlers["GlobalAveragePool"] = global_pool;
  handlers["MatMul"] = matmul;
  handlers["Gemm"] = gemm;
  handlers["BatchNormalization"] = batch_normalization;
  handlers["NegativeLogLikelihoodLoss"] = log_likelihood_loss;
  handlers["SoftmaxCrossEntropyLoss"] = cross_entropy_loss;
}

}  // namespace tandem
