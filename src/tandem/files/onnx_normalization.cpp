#include "tandem/files/onnx_import.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

ValueId number(OnnxNode& node, double value, ValueId like) {
  return node.add_constant(Tensor::scalar(value, node.type_of_value(like).format));
}

// Statistics are computed in f32 at least, whatever the format of the operands.
void check_stash(OnnxNode& node) {
  if (node.integer("stash_type", 1) != 1)
    OnnxNode::refuse("its stash_type is not FLOAT", "compute the statistics in FLOAT");
}

// The scale and bias of other types than x are cast to it.
ValueId as_x(OnnxNode& node, std::size_t input) {
  const Format format = node.type(0).format;
  const ValueId value = node.value(input);
  if (value == kNone || node.type_of_value(value).format == format) return value;
  return node.add("Cast", {value}, {{"to", format}});
}

void batch_normalization(OnnxNode& node) {
  node.ignore("momentum");  // of training only
  if (node.integer("training_mode", 0) != 0)
    OnnxNode::refuse("it is in training mode", "export the model for inference (model.eval())");
  if (node.integer("spatial", 1) != 1)
    OnnxNode::refuse("it normalises every activation (spatial = 0)", "normalise per channel");
  const double epsilon = node.real("epsilon", 1e-5);
  node.set(0, node.add("BatchNormalization",
                       {node.value(0), as_x(node, 1), as_x(node, 2), as_x(node, 3), as_x(node, 4)},
                       {{"epsilon", epsilon}}));
}

void layer_normalization(OnnxNode& node) {
  check_stash(node);
  const bool statistics = node.has_output(1) || node.has_output(2);
  const auto outputs = node.add_node("LayerNormalization", node.values(),
                                     {{"axis", node.integer("axis", -1)},
                                      {"epsilon", node.real("epsilon", 1e-5)},
                                      {"statistics", std::int64_t{statistics ? 1 : 0}}});
  node.set(0, outputs[0]);
  for (std::size_t i = 1; i < outputs.size(); ++i)
    node.set(i, node.type_of_value(outputs[i]).format == Format()
                    ? outputs[i]
                    : node.add("Cast", {outputs[i]}, {{"to", Format()}}));
}

void rms_normalization(OnnxNode& node) {
  check_stash(node);
  node.set(0,
           node.add("RMSNormalization", node.values(),
                    {{"axis", node.integer("axis", -1)}, {"epsilon", node.real("epsilon", 1e-5)}}));
}

// A number for each group, as operator set 18 has it, for each of its channels.
ValueId per_channel(OnnxNode& node, std::size_t input, std::int64_t groups) {
  const Dim channels = node.type(0).shape.at(1);
  const ValueId value = node.value(input);
  if (node.opset() >= 21 || node.type(input).shape == std::vector<Dim>{channels}) return value;
  const std::int64_t each = channels.constant() / groups;
  const ValueId column = node.reshape(value, {Dim(groups), Dim(1)});
  const std::vector<std::string> wide = {std::to_string(groups), std::to_string(each)};
  return node.reshape(node.add("Expand", {column}, {{"shape", wide}}), {channels});
}

void group_normalization(OnnxNode& node) {
  check_stash(node);
  const std::int64_t groups = node.integer("num_groups");
  if (node.type(0).shape.size() < 3 || groups < 1 ||
      node.type(0).shape[1].constant() % groups != 0) {
    OnnxNode::refuse(concat("num_groups ", groups, " does not fit ", node.type(0).to_string()),
                     "correct the attribute");
  }
  const ValueId scale = per_channel(node, 1, groups), bias = per_channel(node, 2, groups);
  node.set(0, node.add("GroupNormalization", {node.value(0), scale, bias},
                       {{"num_groups", groups}, {"epsilon", node.real("epsilon", 1e-5)}}));
}

// Groups of one channel.
void instance_normalization(OnnxNode& node) {
  if (node.type(0).shape.size() < 3)
    OnnxNode::refuse(concat("its input is ", node.type(0).to_string(), ", without spatial axes"),
                     "give it [N,C,spatial...]");
  node.set(0, node.add("GroupNormalization", node.values(),
                       {{"num_groups", node.type(0).shape[1].constant()},
                        {"epsilon", node.real("epsilon", 1e-5)}}));
}

void lrn(OnnxNode& node) {
  node.set(0, node.add("LRN", node.values(),
                       {{"size", node.integer("size")},
                        {"alpha", node.real("alpha", 1e-4)},
                        {"beta", node.real("beta", 0.75)},
                        {"bias", node.real("bias", 1)}}));
}

// x over its norm along an axis; zeros stay zeros.
void lp_normalization(OnnxNode& node) {
  const ValueId x = node.value(0);
  const std::int64_t p = node.integer("p", 2);
  if (p != 1 && p != 2) OnnxNode::refuse(concat("its p is ", p), "use the norm 1 or 2");
  const Attributes axes = {{"axes", Integers{node.integer("axis", -1)}}};
  const ValueId powers = p == 1 ? node.add("Abs", {x}) : node.add("Mul", {x, x});
  ValueId norm = node.add("ReduceSum", {powers}, axes);
  if (p == 2) norm = node.add("Sqrt", {norm});
  const ValueId is_zero = node.add("Equal", {norm, number(node, 0, norm)});
  node.set(0, node.add("Div", {x, node.add("Where", {is_zero, number(node, 1, norm), norm})}));
}

void mean_variance_normalization(OnnxNode& node) {
  const ValueId x = node.value(0);
  const Attributes axes = {{"axes", node.integers("axes").value_or(Integers{0, 2, 3})}};
  const ValueId centred = node.add("Sub", {x, node.add("ReduceMean", {x}, axes)});
  const ValueId variance = node.add("ReduceMean", {node.add("Mul", {centred, centred})}, axes);
  const ValueId deviation = node.add("Sqrt", {variance});
  constexpr double kEpsilon = 1e-9;  // of ONNX's function
  node.set(0, node.add("Div",
                       {centred, node.add("Add", {deviation, number(node, kEpsilon, deviation)})}));
}

}  // namespace

void add_normalization_handlers(OnnxHandlers& handlers) {
  handlers["BatchNormalization"] = batch_normalization;
  handlers["LayerNormalization"] = layer_normalization;
  handlers["RMSNormalization"] = rms_normalization;
  handlers["SimplifiedLayerNormalization"] = rms_normalization;  // ONNX Runtime's name of it
  handlers["GroupNormalization"] = group_normalization;
  handlers["InstanceNormalization"] = instance_normalization;
  handlers["LRN"] = lrn;
  handlers["LpNormalization"] = lp_normalization;
  handlers["MeanVarianceNormalization"] = mean_variance_normalization;
}

}  // namespace tandem
