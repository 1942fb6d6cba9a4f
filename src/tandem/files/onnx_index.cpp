#include <algorithm>

#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_tensor.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

std::int64_t scalar_integer(OnnxNode& node, std::size_t input, std::string_view what) {
  const Tensor& tensor = node.required_constant(input, what);
  if (tensor.size() != 1 || !tensor.format().is_integer())
    OnnxNode::refuse(concat(what, " is no single integer"), "correct the input");
  return tensor.to_integers()[0];
}

void gather(OnnxNode& node) {
  node.set(0, node.add(node.op(), node.values(), {{"axis", node.integer("axis", 0)}}));
}

void gather_nd(OnnxNode& node) {
  node.set(0, node.add("GatherND", node.values(), {{"batch_dims", node.integer("batch_dims", 0)}}));
}

// Scatter is the older name of ScatterElements.
void scatter_elements(OnnxNode& node) {
  node.set(0, node.add("ScatterElements", node.values(),
                       {{"axis", node.integer("axis", 0)},
                        {"reduction", node.text("reduction", "none")}}));
}

void scatter_nd(OnnxNode& node) {
  node.set(0,
           node.add("ScatterND", node.values(), {{"reduction", node.text("reduction", "none")}}));
}

void tensor_scatter(OnnxNode& node) {
  node.set(0,
           node.add("TensorScatter", node.values(),
                    {{"axis", node.integer("axis", -2)}, {"mode", node.text("mode", "linear")}}));
}

// Positions may be of any number type; the depth is a number too.
void one_hot(OnnxNode& node) {
  ValueId positions = node.value(0);
  if (!node.type(0).format.is_integer())
    positions = node.add("Cast", {positions}, {{"to", Format::integer(64, true)}});
  const double depth = node.scalar(1, "its depth");
  constexpr double kDeepest = 1 << 30;
  if (!(depth >= 0 && depth <= kDeepest))
    OnnxNode::refuse(concat("its depth is ", depth), "correct the depth");
  node.set(0, node.add("OneHot", {positions, node.value(2)},
                       {{"depth", static_cast<std::int64_t>(depth)},
                        {"axis", node.integer("axis", -1)}}));
}

void trilu(OnnxNode& node) {
  const std::int64_t k = node.has(1) ? scalar_integer(node, 1, "its diagonal k") : 0;
  const std::int64_t upper = node.integer("upper", 1) != 0 ? 1 : 0;
  node.set(0, node.add("Trilu", {node.value(0)}, {{"upper", upper}, {"k", k}}));
}

void cumulative(OnnxNode& node) {
  node.set(0, node.add(node.op(), {node.value(0)},
                       {{"axis", scalar_integer(node, 1, "its axis")},
                        {"exclusive", node.integer("exclusive", 0)},
                        {"reverse", node.integer("reverse", 0)}}));
}

void reverse_sequence(OnnxNode& node) {
  node.set(0, node.add("ReverseSequence", node.values(),
                       {{"batch_axis", node.integer("batch_axis", 1)},
                        {"time_axis", node.integer("time_axis", 0)}}));
}

// Ones on a diagonal, in the shape of the input.
void eye_like(OnnxNode& node) {
  const TensorType& like = node.type(0);
  Format format = like.format;
  if (node.has_attribute("dtype"))
    format = required_format(node.integer("dtype"), "it makes elements of type ");
  if (like.shape.size() != 2)
    OnnxNode::refuse(concat("its input is ", like.to_string(), ", no matrix"), "give it [N,M]");
  const Shape shape = like.static_shape();
  const std::int64_t k = std::clamp(node.integer("k", 0), -shape[0], shape[1]);
  node.charge(element_count(shape));
  std::vector<double> ones(static_cast<std::size_t>(element_count(shape)), 0);
  for (std::int64_t row = 0; row < shape[0]; ++row)
    if (row + k >= 0 && row + k < shape[1])
      ones[static_cast<std::size_t>(row * shape[1] + row + k)] = 1;
  node.set(0, node.add_constant(Tensor::from_reals(format, shape, ones)));
}

void arg_extreme(OnnxNode& node) {
  const Attributes attributes = {{"axis", node.integer("axis", 0)},
                                 {"keepdims", node.integer("keepdims", 1)},
                                 {"select_last_index", node.integer("select_last_index", 0)}};
  node.set(0, node.add(node.op(), {node.value(0)}, attributes));
}

void top_k(OnnxNode& node) {
  const std::int64_t k = node.has(1) ? scalar_integer(node, 1, "its k") : node.integer("k");
  node.ignore("sorted");  // sorted elements are one of the orders that sorted = 0 allows
  const auto outputs = node.add_node(
      "TopK", {node.value(0)},
      {{"k", k}, {"axis", node.integer("axis", -1)}, {"largest", node.integer("largest", 1)}});
  for (std::size_t i = 0; i < outputs.size(); ++i) node.set(i, outputs[i]);
}

}  // namespace

void add_index_handlers(OnnxHandlers& handlers) {
  handlers["Gather"] = handlers["GatherElements"] = gather;
  handlers["GatherND"] = gather_nd;
  handlers["ScatterElements"] = handlers["Scatter"] = scatter_elements;
  handlers["ScatterND"] = scatter_nd;
  handlers["TensorScatter"] = tensor_scatter;
  handlers["OneHot"] = one_hot;
  handlers["Trilu"] = trilu;
  handlers["CumSum"] = handlers["CumProd"] = cumulative;
  handlers["ReverseSequence"] = reverse_sequence;
  handlers["EyeLike"] = eye_like;
  handlers["ArgMax"] = handlers["ArgMin"] = arg_extreme;
  handlers["TopK"] = top_k;
}

}  // namespace tandem
