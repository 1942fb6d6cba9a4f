#include <limits>

#include "tandem/files/onnx_import.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

ValueId number(OnnxNode& node, double value, const Format& format) {
  return node.add_constant(Tensor::scalar(value, format));
}

// [1,C,1,...] with the shape of class numbers or class weights.
std::vector<Dim> class_shape(std::size_t rank, const Dim& classes) {
  std::vector<Dim> shape(rank, 1);
  shape[1] = classes;
  return shape;
}

// Whether a class is the target's, bool [N,C,d...]; the class to be ignored never is.
ValueId is_target(OnnxNode& node, const std::vector<Dim>& scores) {
  const std::int64_t classes = scores.at(1).constant();
  const TensorType target = node.type(1);
  Integers numbers;
  for (std::int64_t c = 0; c < classes; ++c) numbers.push_back(c);
  const std::int64_t none = std::numeric_limits<std::int32_t>::min();
  if (node.has_attribute("ignore_index")) {
    const std::int64_t ignored = node.integer("ignore_index");
    if (ignored >= 0 && ignored < classes) numbers[static_cast<std::size_t>(ignored)] = none;
  }
  std::vector<Dim> column = target.shape;
  column.insert(column.begin() + 1, Dim(1));
  const ValueId wanted = node.reshape(node.value(1), column);
  const ValueId candidates =
      node.reshape(node.add_constant(Tensor::from_integers(target.format, {classes}, numbers)),
                   class_shape(scores.size(), scores[1]));
  return node.add("Equal", {candidates, wanted});
}

// The loss over log probabilities [N,C,d...] of targets [N,d...].
ValueId negative_log_likelihood(OnnxNode& node, ValueId logarithms) {
  const TensorType type = node.type_of_value(logarithms);
  if (type.shape.size() < 2 || node.type(1).shape.size() + 1 != type.shape.size()) {
    OnnxNode::refuse(
        concat("its scores are ", type.to_string(), ", its targets ", node.type(1).to_string()),
        "give it [N,C,d...] and [N,d...]");
  }
  const std::string reduction = node.text("reduction", "mean");
  const ValueId chosen = is_target(node, type.shape);
  const ValueId zero = number(node, 0, type.format);
  ValueId weights = number(node, 1, type.format);
  if (node.has(2))
    weights = node.reshape(node.value(2), class_shape(type.shape.size(), type.shape[1]));
  const ValueId losses = node.add("Mul", {node.add("Neg", {logarithms}), weights});
  const Attributes classes = {{"axes", Integers{1}}, {"keepdims", std::int64_t{0}}};
  const ValueId each = node.add("ReduceSum", {node.add("Where", {chosen, losses, zero})}, classes);
  if (reduction == "none") return each;
  const Attributes all = {{"keepdims", std::int64_t{0}}};
  const ValueId sum = node.add("ReduceSum", {each}, all);
  if (reduction == "sum") return sum;
  if (reduction != "mean")
    OnnxNode::refuse(concat("its reduction is '", reduction, "'"), "use none, sum or mean");
  const ValueId counted = node.add("Where", {chosen, weights, zero});
  return node.add("Div", {sum, node.add("ReduceSum", {counted}, all)});
}

void nll_loss(OnnxNode& node) { node.set(0, negative_log_likelihood(node, node.value(0))); }

void cross_entropy_loss(OnnxNode& node) {
  const ValueId logarithms = node.add("LogSoftmax", {node.value(0)}, {{"axis", std::int64_t{1}}});
  node.set(0, negative_log_likelihood(node, logarithms));
  node.set(1, logarithms);
}

}  // namespace

void add_loss_handlers(OnnxHandlers& handlers) {
  handlers["NegativeLogLikelihoodLoss"] = nll_loss;
  handlers["SoftmaxCrossEntropyLoss"] = cross_entropy_loss;
}

}  // namespace tandem
