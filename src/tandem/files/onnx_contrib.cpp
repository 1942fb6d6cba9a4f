// ONNX Runtime's own operators over reals: fused layers, activations and normalisations.
#include "tandem/files/onnx_contrib.h"

#include <numeric>

#include "tandem/files/onnx_window.h"

namespace tandem {

using Axes = std::vector<std::int64_t>;

ValueId constant_like(OnnxNode& node, double number, ValueId like) {
  return node.add_constant(Tensor::scalar(number, node.type_of_value(like).format));
}

ValueId cast_to(OnnxNode& node, ValueId x, const Format& format) {
  return node.type_of_value(x).format == format ? x : node.add("Cast", {x}, {{"to", format}});
}

ValueId permuted(OnnxNode& node, ValueId x, const Axes& perm) {
  Axes same(perm.size());
  std::iota(same.begin(), same.end(), 0);
  return perm == same ? x : node.add("Transpose", {x}, {{"perm", perm}});
}

ValueId sliced(OnnxNode& node, ValueId x, std::int64_t axis, std::int64_t begin, std::int64_t end) {
  return node.add("Slice", {x},
                  {{"starts", Axes{begin}}, {"ends", Axes{end}}, {"axes", Axes{axis}}});
}

ValueId channels_first(OnnxNode& node, ValueId x) {
  const auto rank = static_cast<std::int64_t>(node.type_of_value(x).shape.size());
  if (rank < 3) OnnxNode::refuse("its input has no spatial axes", "give it [N,spatial...,C]");
  Axes perm = {0, rank - 1};
  for (std::int64_t d = 1; d + 1 < rank; ++d) perm.push_back(d);
  return permuted(node, x, perm);
}

ValueId channels_last(OnnxNode& node, ValueId x) {
  const auto rank = static_cast<std::int64_t>(node.type_of_value(x).shape.size());
  Axes perm = {0};
  for (std::int64_t d = 2; d < rank; ++d) perm.push_back(d);
  perm.push_back(1);
  return permuted(node, x, perm);
}

std::vector<double> float_list(OnnxNode& node, std::string_view name) {
  const auto* attribute = node.attribute(name);
  if (attribute == nullptr) return {};
  return {attribute->floats().begin(), attribute->floats().end()};
}

ValueId activated(OnnxNode& node, ValueId x, const std::vector<double>& parameters) {
  const std::string name = node.text("activation", "");
  const auto parameter = [&](std::size_t index, double otherwise) {
    return index < parameters.size() ? parameters[index] : otherwise;
  };
  if (name.empty()) return x;
  if (name == "Relu" || name == "Tanh" || name == "Sigmoid" || name == "HardSwish" ||
      name == "Softplus")
    return node.add(name, {x});
  if (name == "LeakyRelu") return node.add(name, {x}, {{"alpha", parameter(0, 0.01)}});
  if (name == "HardSigmoid")
    return node.add(name, {x}, {{"alpha", parameter(0, 0.2)}, {"beta", parameter(1, 0.5)}});
  if (name == "Clip" && parameters.size() == 2)
    return node.add(
        name, {x, constant_like(node, parameters[0], x), constant_like(node, parameters[1], x)});
  OnnxNode::refuse(concat("its activation is ", name), "put the function behind it as a node");
}

namespace {

// ---- Layers ----------------------------------------------------------------------------------

// activation(conv(x, w) + b + z)
ValueId fused_convolution(OnnxNode& node, ValueId x) {
  Attributes attributes = window_attributes(node, weights_kernel(node, 1));
  attributes["group"] = node.integer("group", 1);
  return node.add("Conv", {x, node.value(1), node.value(2)}, std::move(attributes));
}

void fused_conv(OnnxNode& node) {
  ValueId y = fused_convolution(node, node.value(0));
  if (node.has(3)) y = node.add("Add", {y, node.value(3)});
  node.set(0, activated(node, y, float_list(node, "activation_params")));
}

// A matrix whose rows stand on the first axis, before its batch, with those behind it; and a
// transposed one.
ValueId turned(OnnxNode& node, std::size_t input, bool batch, bool matrix) {
  const ValueId x = node.value(input);
  const auto rank = static_cast<std::int64_t>(node.type(input).shape.size());
  if (rank < 2) return x;
  Axes perm(static_cast<std::size_t>(rank));
  std::iota(perm.begin(), perm.end(), 0);
  if (batch) std::rotate(perm.begin(), perm.begin() + 1, perm.end() - 1);
  if (matrix) std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return permuted(node, x, perm);
}

void fused_matmul(OnnxNode& node) {
  const bool batch_a = node.integer("transBatchA", 0) != 0;
  const bool batch_b = node.integer("transBatchB", 0) != 0;
  const ValueId a = turned(node, 0, batch_a, node.integer("transA", 0) != 0);
  const ValueId b = turned(node, 1, batch_b, node.integer("transB", 0) != 0);
  ValueId y = node.add("MatMul", {a, b});
  if (const double alpha = node.real("alpha", 1); alpha != 1)
    y = node.add("Mul", {y, constant_like(node, alpha, y)});
  node.set(0, y);
}

void fused_gemm(OnnxNode& node) {
  const ValueId y = node.add("Gemm", node.values(),
                             {{"alpha", node.real("alpha", 1)},
                              {"beta", node.real("beta", 1)},
                              {"transA", std::int64_t{node.integer("transA", 0) != 0 ? 1 : 0}},
                              {"transB", std::int64_t{node.integer("transB", 0) != 0 ? 1 : 0}}});
  std::vector<double> parameters;
  for (const char* name : {"activation_alpha", "activation_beta"})
    if (node.has_attribute(name)) parameters.push_back(node.real(name, 0));
  node.set(0, activated(node, y, parameters));
}

// Codes and reals alike.
void nhwc_max_pool(OnnxNode& node) {
  const auto kernel = node.integers("kernel_shape");
  if (!kernel) OnnxNode::refuse("attribute 'kernel_shape' is missing", "give it a value");
  const ValueId x = channels_first(node, node.value(0));
  const auto rank = node.type(0).shape.size() - 2;
  if (kernel->size() != rank || node.text("auto_pad", "NOTSET") != "NOTSET")
    OnnxNode::refuse("its kernel does not fit its input, or it pads by itself",
                     "give it kernel_shape and pads");
  const Format format = node.type(0).format;
  const ValueId real = format.is_float() ? x : cast_to(node, x, Format());
  const ValueId y = node.add("MaxPool", {real},
                             {{"kernel", *kernel},
                              {"strides", window_attribute(node, "strides", rank)},
                              {"dilations", window_attribute(node, "dilations", rank)},
                              {"pads", window_attribute(node, "pads", 2 * rank)},
                              {"ceil_mode", node.integer("ceil_mode", 0)}});
  const ValueId coded = format.is_float() ? y : cast_to(node, y, format);
  node.set(0, channels_last(node, coded));
}

// ---- Activations -----------------------------------------------------------------------------

ValueId with_bias(OnnxNode& node) {
  return node.has(1) ? node.add("Add", {node.value(0), node.value(1)}) : node.value(0);
}

void fast_gelu(OnnxNode& node) {
  node.set(0, node.add("Gelu", {with_bias(node)}, {{"approximate", std::string("tanh")}}));
}

void bias_gelu(OnnxNode& node) { node.set(0, node.add("Gelu", {with_bias(node)})); }

// x * sigmoid(alpha * x)
void quick_gelu(OnnxNode& node) {
  const ValueId x = node.value(0);
  const ValueId inner = node.add("Mul", {x, constant_like(node, node.real("alpha", 1.702), x)});
  node.set(0, node.add("Mul", {x, node.add("Sigmoid", {inner})}));
}

// ---- Normalisations --------------------------------------------------------------------------

// The sum of input, skip and bias, normalised.
void skip_normalization(OnnxNode& node) {
  const bool is_simple = node.op() == "SkipSimplifiedLayerNormalization";
  const std::size_t bias = is_simple ? 3 : 4;
  constexpr double kEpsilon = 1e-12;
  ValueId sum = node.add("Add", {node.value(0), node.value(1)});
  if (node.has(bias)) sum = node.add("Add", {sum, node.value(bias)});
  const Attributes attributes = {{"epsilon", node.real("epsilon", kEpsilon)}};
  const ValueId gamma = node.value(2);
  if (is_simple)
    node.set(0, node.add("RMSNormalization", {sum, gamma}, attributes));
  else
    node.set(0, node.add("LayerNormalization", {sum, gamma, node.value(3)}, attributes));
  if (node.has_output(3)) node.set(3, sum);
}

ValueId looked_up(OnnxNode& node, ValueId table, ValueId ids) {
  if (node.type_of_value(ids).format != Format::integer(64, true))
    ids = cast_to(node, ids, Format::integer(64, true));
  return node.add("Gather", {table, ids}, {{"axis", std::int64_t{0}}});
}

// Number of positions that the mask keeps, for each sample.
ValueId mask_lengths(OnnxNode& node, std::size_t mask, const std::vector<Dim>& ids) {
  if (!node.has(mask)) {
    node.charge(ids[0].constant());
    return node.add_constant(Tensor(Format::integer(32, true), {ids[0].constant()}));
  }
  const ValueId real = cast_to(node, node.value(mask), Format());
  const ValueId sum =
      node.add("ReduceSum", {real}, {{"axes", Axes{1}}, {"keepdims", std::int64_t{0}}});
  return cast_to(node, sum, Format::integer(32, true));
}

void embed_layer_normalization(OnnxNode& node) {
  const std::vector<Dim> ids = node.type(0).shape;
  if (ids.size() != 2) OnnxNode::refuse("its ids are not [batch, length]", "give it two axes");
  const ValueId positions = node.has(8) ? looked_up(node, node.value(3), node.value(8))
                                        : sliced(node, node.value(3), 0, 0, ids[1].constant());
  ValueId sum = node.add("Add", {looked_up(node, node.value(2), node.value(0)), positions});
  if (node.has(1) != node.has(4))
    OnnxNode::refuse("its segments or their embedding are absent", "give it both or neither");
  if (node.has(1)) sum = node.add("Add", {sum, looked_up(node, node.value(4), node.value(1))});
  constexpr double kEpsilon = 1e-12;
  node.set(0, node.add("LayerNormalization", {sum, node.value(5), node.value(6)},
                       {{"epsilon", node.real("epsilon", kEpsilon)}}));
  const std::int64_t mask_type = node.integer("mask_index_type", 1);
  node.has(7);
  if (node.has_output(1)) {
    if (mask_type != 1) OnnxNode::refuse("its mask_index_type is not 1", "use lengths as masks");
    node.set(1, mask_lengths(node, 7, ids));
  }
  if (node.has_output(2)) node.set(2, sum);
}

}  // namespace

void add_contrib_handlers(OnnxHandlers& handlers) {
  handlers["ms:FusedConv"] = fused_conv;
  handlers["ms:FusedMatMul"] = handlers["ms:TransposeMatMul"] = fused_matmul;
  handlers["ms:FusedGemm"] = fused_gemm;
  handlers["ms:NhwcMaxPool"] = nhwc_max_pool;
  handlers["ms:FastGelu"] = fast_gelu;
  handlers["ms:BiasGelu"] = bias_gelu;
  handlers["ms:QuickGelu"] = quick_gelu;
  handlers["ms:SkipLayerNormalization"] = handlers["ms:SkipSimplifiedLayerNormalization"] =
      skip_normalization;
  handlers["ms:EmbedLayerNormalization"] = embed_layer_normalization;
}

}  // namespace tandem
