#include <algorithm>

#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_window.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

void conv(OnnxNode& node) {
  Attributes attributes = window_attributes(node, weights_kernel(node, 1));
  attributes["group"] = node.integer("group", 1);
  node.set(0, node.add("Conv", node.values(), std::move(attributes)));
}

void deform_conv(OnnxNode& node) {
  const Integers kernel = weights_kernel(node, 1);
  Attributes attributes = window_attributes(node, kernel);
  attributes["group"] = node.integer("group", 1);
  attributes["offset_group"] = node.integer("offset_group", 1);
  node.set(0, node.add("DeformConv", node.values(), std::move(attributes)));
}

// The attributes of a transposed convolution whose paddings follow from the result's extents.
struct TransposedPads {
  Integers pads, output_padding;
};

// What the result has too much is cut, the odd element at the end (SAME_UPPER) or the beginning;
// what it lacks is added at the end.
TransposedPads pads_for(OnnxNode& node, const Attributes& window, const Integers& kernel,
                        Integers output_padding, const Integers& extents, std::string_view mode) {
  const bool upper = mode == "SAME_UPPER", is_same = upper || mode == "SAME_LOWER";
  const auto inputs = spatial_dims(node);
  const std::size_t rank = kernel.size();
  TransposedPads result{Integers(2 * rank), std::move(output_padding)};
  const auto entry = [&](const char* name, std::size_t d) {
    const auto& list = std::get<Integers>(window.at(name));
    return list.empty() ? std::int64_t{1} : list[d];
  };
  for (std::size_t d = 0; d < rank; ++d) {
    const std::int64_t total = entry("strides", d) * (inputs[d].constant() - 1) +
                               result.output_padding[d] + (kernel[d] - 1) * entry("dilations", d) +
                               1 - extents[d];
    if (total < 0 && is_same) {
      OnnxNode::refuse(concat("its windows leave gaps on spatial axis ", d,
                              ", about which runtimes differ with auto_pad"),
                       "give it pads and output_padding");
    }
    if (total < 0) {
      result.output_padding[d] -= total;
      continue;
    }
    result.pads[d] = upper ? total / 2 : total - total / 2;
    result.pads[d + rank] = total - result.pads[d];
  }
  return result;
}

void conv_transpose(OnnxNode& node) {
  const Integers kernel = weights_kernel(node, 1);
  const std::size_t rank = kernel.size();
  const auto inputs = spatial_dims(node);
  if (inputs.size() != rank) {
    OnnxNode::refuse(concat("its kernel has ", rank, " axes, its input ", inputs.size()),
                     "give both the same number of spatial axes");
  }
  const std::string mode = auto_pad(node);
  Attributes attributes = {{"strides", window_attribute(node, "strides", rank)},
                           {"dilations", window_attribute(node, "dilations", rank)},
                           {"group", node.integer("group", 1)}};
  Integers pads = window_attribute(node, "pads", 2 * rank);
  Integers added = window_attribute(node, "output_padding", rank);
  added.resize(rank);
  Integers extents = window_attribute(node, "output_shape", rank);
  const bool is_same = mode == "SAME_UPPER" || mode == "SAME_LOWER";
  if (extents.empty() && is_same) {
    const auto& strides = std::get<Integers>(attributes["strides"]);
    for (std::size_t d = 0; d < rank; ++d)
      extents.push_back(inputs[d].constant() * (strides.empty() ? 1 : strides[d]));
  }
  if (!extents.empty()) {
    const TransposedPads fitted = pads_for(node, attributes, kernel, added, extents, mode);
    pads = fitted.pads;
    added = fitted.output_padding;
  } else if (mode == "VALID") {
    pads.clear();
  }
  attributes["pads"] = pads;
  attributes["output_padding"] = added;
  node.set(0, node.add("ConvTranspose", node.values(), std::move(attributes)));
}

void matmul(OnnxNode& node) { node.set(0, node.add("MatMul", node.values())); }

void gemm(OnnxNode& node) {
  const Attributes attributes = {{"alpha", node.real("alpha", 1)},
                                 {"beta", node.real("beta", 1)},
                                 {"transA", node.integer("transA", 0) != 0 ? std::int64_t{1} : 0},
                                 {"transB", node.integer("transB", 0) != 0 ? std::int64_t{1} : 0}};
  node.set(0, node.add("Gemm", node.values(), attributes));
}

void einsum(OnnxNode& node) {
  node.set(0, node.add("Einsum", node.values(), {{"equation", node.text("equation", "")}}));
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
  handlers["ConvTranspose"] = conv_transpose;
  handlers["DeformConv"] = deform_conv;
  handlers["MatMul"] = matmul;
  handlers["Gemm"] = gemm;
  handlers["Einsum"] = einsum;
  handlers["NegativeLogLikelihoodLoss"] = log_likelihood_loss;
  handlers["SoftmaxCrossEntropyLoss"] = cross_entropy_loss;
}

}  // namespace tandem
