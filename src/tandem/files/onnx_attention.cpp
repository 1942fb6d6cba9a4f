#include <array>
#include <cmath>

#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_tensor.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// A positive factor, or 0 where the operator's default is meant.
double positive(OnnxNode& node, std::string_view name) {
  const double value = node.real(name, 0);
  if (node.has_attribute(name) && !(value > 0))
    OnnxNode::refuse(concat(name, " is ", value), "give it a positive value");
  return value;
}

std::string softmax_format(OnnxNode& node) {
  if (!node.has_attribute("softmax_precision")) return "same";
  const auto type = static_cast<std::int32_t>(node.integer("softmax_precision"));
  const auto format = onnx_format(type);
  if (!format || !format->is_float())
    OnnxNode::refuse(concat("softmax_precision is ", onnx_type_name(type)),
                     "use FLOAT, DOUBLE, FLOAT16 or BFLOAT16");
  return format->name();
}

std::string scores_stage(OnnxNode& node) {
  const std::int64_t mode = node.integer("qk_matmul_output_mode", 0);
  if (!node.has_output(3)) return "none";
  constexpr std::array kStages = {"product", "softcap", "mask", "softmax"};
  if (mode < 0 || mode >= static_cast<std::int64_t>(kStages.size()))
    OnnxNode::refuse(concat("qk_matmul_output_mode is ", mode), "correct the attribute");
  return kStages[static_cast<std::size_t>(mode)];
}

void attention(OnnxNode& node) {
  const double softcap = node.real("softcap", 0);
  const Attributes attributes = {
      {"scale", positive(node, "scale")},
      {"is_causal", std::int64_t{node.integer("is_causal", 0) != 0 ? 1 : 0}},
      {"q_num_heads", node.integer("q_num_heads", 0)},
      {"kv_num_heads", node.integer("kv_num_heads", 0)},
      {"softcap", softcap},
      {"left_window_size", node.integer("left_window_size", -1)},
      {"right_window_size", node.integer("right_window_size", -1)},
      {"softmax_format", softmax_format(node)},
      {"scores", scores_stage(node)}};
  const auto outputs = node.add_node("Attention", node.values(), attributes);
  for (std::size_t i = 0; i < outputs.size(); ++i) node.set(i, outputs[i]);
}

// The values of a graph inside the node over one value.
ValueId modified(OnnxNode& node, std::string_view attribute, ValueId value) {
  if (!node.has_attribute(attribute)) return value;
  const std::string name = node.name_value(attribute, value);
  const auto outputs = node.inline_graph(node.graph(attribute), {name}, attribute);
  if (outputs.size() != 1)
    OnnxNode::refuse(concat("its ", attribute, " has ", outputs.size(), " outputs"), "give it one");
  const ValueId result = node.value_named(outputs[0]);
  if (node.type_of_value(result) != node.type_of_value(value))
    OnnxNode::refuse(concat("its ", attribute, " makes ", node.type_of_value(result).to_string(),
                            " of ", node.type_of_value(value).to_string()),
                     "keep the type");
  return result;
}

// [N,groups,T,D] with each group as often as heads of queries share it.
ValueId repeated_heads(OnnxNode& node, ValueId x, std::int64_t heads) {
  const std::vector<Dim> shape = node.type_of_value(x).shape;
  const std::int64_t groups = shape[1].constant();
  if (groups < 1 || heads % groups != 0)
    OnnxNode::refuse(concat(groups, " heads of keys do not divide the ", heads, " of queries"),
                     "correct the inputs");
  if (groups == heads) return x;
  const ValueId apart = node.reshape(x, {shape[0], shape[1], 1, shape[2], shape[3]});
  const ValueId tiled =
      node.add("Tile", {apart}, {{"repeats", Integers{1, 1, heads / groups, 1, 1}}});
  return node.reshape(tiled, {shape[0], heads, shape[2], shape[3]});
}

// Attention whose scores, or weights, pass through graphs of their own.
void modified_attention(OnnxNode& node) {
  const std::vector<Dim> q = node.type(0).shape;
  const Format format = node.type(0).format;
  if (format.bits() < 32 || node.has_attribute("softmax_precision"))
    OnnxNode::refuse("its softmax has another precision than its graph", "use FLOAT or DOUBLE");
  const double given = positive(node, "scale");
  const double scale = given > 0 ? given : 1 / std::sqrt(static_cast<double>(q[3].constant()));
  const ValueId k = repeated_heads(node, node.value(1), q[1].constant());
  const ValueId v = repeated_heads(node, node.value(2), q[1].constant());
  const ValueId turned = node.add("Transpose", {k}, {{"perm", Integers{0, 1, 3, 2}}});
  const ValueId product = node.add("MatMul", {node.value(0), turned});
  const ValueId factor = node.add_constant(Tensor::scalar(scale, format));
  const ValueId scores = modified(node, "score_mod", node.add("Mul", {product, factor}));
  const ValueId weights = node.add("Softmax", {scores}, {{"axis", std::int64_t{-1}}});
  node.set(0, node.add("MatMul", {modified(node, "prob_mod", weights), v}));
}

// Attention whose softmax is in f32 at least.
void flex_attention(OnnxNode& node) {
  for (const std::size_t i : {0U, 1U, 2U})
    if (node.type(i).shape.size() != 4)
      OnnxNode::refuse(concat("its input is ", node.type(i).to_string()), "give it four axes");
  if (node.has_attribute("score_mod") || node.has_attribute("prob_mod"))
    return modified_attention(node);
  const bool is_given = node.has_attribute("softmax_precision");
  const std::string format = is_given                                      ? softmax_format(node)
                             : node.type(0).format == Format::parse("f64") ? "f64"
                                                                           : "f32";
  node.set(0, node.add_node("Attention", node.values(),
                            {{"scale", positive(node, "scale")}, {"softmax_format", format}})[0]);
}

void rotary_embedding(OnnxNode& node) {
  node.set(0, node.add("RotaryEmbedding", node.values(),
                       {{"interleaved", std::int64_t{node.integer("interleaved", 0) != 0 ? 1 : 0}},
                        {"num_heads", node.integer("num_heads", 0)},
                        {"rotary_size", node.integer("rotary_embedding_dim", 0)}}));
}

void linear_attention(OnnxNode& node) {
  node.ignore("chunk_size");  // of the speed only
  const double scale = node.real("scale", 0);
  const auto outputs = node.add_node("LinearAttention", node.values(),
                                     {{"q_num_heads", node.integer("q_num_heads")},
                                      {"kv_num_heads", node.integer("kv_num_heads")},
                                      {"scale", scale},
                                      {"update_rule", node.text("update_rule", "gated_delta")}});
  for (std::size_t i = 0; i < outputs.size(); ++i) node.set(i, outputs[i]);
}

// A depthwise convolution that looks back only, over the input behind its state.
void causal_conv_with_state(OnnxNode& node) {
  const ValueId x = node.value(0);
  const TensorType type = node.type(0), weights = node.type(1);
  if (type.shape.size() != 3 || weights.shape.size() != 3)
    OnnxNode::refuse("its input or weights have not three axes", "give it [N,C,length]");
  const std::int64_t kept = weights.shape[2].constant() - 1, channels = type.shape[1].constant();
  ValueId longer = x;
  if (kept > 0 && node.has(3))
    longer = node.add("Concat", {node.value(3), x}, {{"axis", std::int64_t{2}}});
  else if (kept > 0)
    longer = node.add("Pad", {x}, {{"pads", Integers{0, 0, kept, 0, 0, 0}}});
  ValueId y = node.add("Conv", {longer, node.value(1), node.value(2)}, {{"group", channels}});
  const std::string activation = node.text("activation", "none");
  if (activation == "silu" || activation == "swish")
    y = node.add("Mul", {y, node.add("Sigmoid", {y})});
  else if (activation != "none")
    OnnxNode::refuse(concat("its activation is '", activation, "'"), "use silu, swish or none");
  node.set(0, y);
  if (!node.has_output(1)) return;
  const std::int64_t length = type.shape[2].constant();
  node.set(1, node.add("Slice", {longer},
                       {{"starts", Integers{length}},
                        {"ends", Integers{length + kept}},
                        {"axes", Integers{2}}}));
}

}  // namespace

void add_attention_handlers(OnnxHandlers& handlers) {
  handlers["Attention"] = attention;
  handlers["preview:FlexAttention"] = flex_attention;
  handlers["RotaryEmbedding"] = rotary_embedding;
  handlers["LinearAttention"] = linear_attention;
  handlers["CausalConvWithState"] = causal_conv_with_state;
}

}  // namespace tandem
