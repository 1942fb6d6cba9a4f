#include <algorithm>
#include <array>

#include "tandem/base/text.h"
#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_tensor.h"

namespace tandem {
namespace {

// The same operator here, without attributes.
void plain(OnnxNode& node) {
  const auto outputs = node.add_node(node.op(), node.values());
  for (std::size_t i = 0; i < outputs.size(); ++i) node.set(i, outputs[i]);
}

void leaky_relu(OnnxNode& node) {
  node.set(0, node.add("LeakyRelu", node.values(), {{"alpha", node.real("alpha", 0.01)}}));
}

void thresholded_relu(OnnxNode& node) {
  node.set(0, node.add("ThresholdedRelu", node.values(), {{"alpha", node.real("alpha", 1.0)}}));
}

void elu(OnnxNode& node) {
  node.set(0, node.add("Elu", node.values(), {{"alpha", node.real("alpha", 1.0)}}));
}

void hard_sigmoid(OnnxNode& node) {
  const double alpha = node.real("alpha", 0.2), beta = node.real("beta", 0.5);
  node.set(0, node.add("HardSigmoid", node.values(), {{"alpha", alpha}, {"beta", beta}}));
}

void gelu(OnnxNode& node) {
  node.set(0, node.add("Gelu", node.values(), {{"approximate", node.text("approximate", "none")}}));
}

ValueId scalar_like(OnnxNode& node, ValueId value, double number) {
  return node.add_constant(Tensor::scalar(number, node.type_of_value(value).format));
}

// gamma * elu(x, alpha)
void selu(OnnxNode& node) {
  const double alpha = node.real("alpha", 1.67326319217681884765625);
  const ValueId inner = node.add("Elu", node.values(), {{"alpha", alpha}});
  const double gamma = node.real("gamma", 1.05070102214813232421875);
  node.set(0, node.add("Mul", {inner, scalar_like(node, inner, gamma)}));
}

// x * tanh(softplus(x))
void mish(OnnxNode& node) {
  const ValueId x = node.value(0);
  node.set(0, node.add("Mul", {x, node.add("Tanh", {node.add("Softplus", {x})})}));
}

// x / (1 + |x|)
void softsign(OnnxNode& node) {
  const ValueId x = node.value(0);
  const ValueId magnitude = node.add("Abs", {x});
  node.set(0, node.add("Div", {x, node.add("Add", {magnitude, scalar_like(node, x, 1)})}));
}

// x * sigmoid(alpha * x)
void swish(OnnxNode& node) {
  const ValueId x = node.value(0);
  const double alpha = node.real("alpha", 1.0);
  const ValueId inner = alpha == 1.0 ? x : node.add("Mul", {x, scalar_like(node, x, alpha)});
  node.set(0, node.add("Mul", {x, node.add("Sigmoid", {inner})}));
}

// Exponents may have another type than their base.
void pow(OnnxNode& node) {
  const ValueId base = node.value(0);
  ValueId exponent = node.value(1);
  const Format format = node.type(0).format;
  if (const Tensor* constant = node.constant(1); constant && constant->format() != format)
    exponent = node.add_constant(constant->converted(format));
  node.set(0, node.add("Pow", {base, exponent}));
}

ValueId folded(OnnxNode& node, std::string_view op) {
  for (std::size_t i = 0; i < std::max<std::size_t>(node.input_count(), 1); ++i)
    if (!node.has(i)) OnnxNode::refuse(concat("input ", i, " is absent"), "give it a value");
  ValueId sum = node.value(0);
  for (std::size_t i = 1; i < node.input_count(); ++i) sum = node.add(op, {sum, node.value(i)});
  return sum;
}

void variadic(OnnxNode& node) {
  node.set(0, folded(node, node.op() == "Sum" ? std::string_view("Add") : node.op()));
}

void mean(OnnxNode& node) {
  const ValueId sum = folded(node, "Add");
  const auto count = static_cast<double>(node.input_count());
  node.set(0, node.add("Div", {sum, scalar_like(node, sum, count)}));
}

// Limits are attributes before operator set 11 and scalar inputs since.
void clip(OnnxNode& node) {
  std::array<ValueId, 2> limits = {kNone, kNone};
  const std::array<std::string_view, 2> names = {"min", "max"};
  const ValueId x = node.value(0);
  for (std::size_t i = 0; i < limits.size(); ++i) {
    if (node.has_attribute(names[i])) {
      if (node.opset() >= 11) continue;  // refused as an attribute without meaning
      limits[i] = scalar_like(node, x, node.real(names[i], 0));
    } else if (node.has(i + 1)) {
      limits[i] = node.value(i + 1);
      if (node.type(i + 1).shape == std::vector<Dim>{1}) limits[i] = node.reshape(limits[i], {});
    }
  }
  node.set(0, node.add("Clip", {x, limits[0], limits[1]}));
}

void cast(OnnxNode& node) {
  Format to;
  if (node.op() == "CastLike") {
    to = node.type(1).format;
  } else {
    const std::int64_t wanted = node.integer("to");
    const auto format = onnx_format(static_cast<std::int32_t>(wanted));
    if (!format) {
      OnnxNode::refuse(concat("it casts to ", onnx_type_name(static_cast<std::int32_t>(wanted))),
                       "cast to FLOAT or an integer type");
    }
    to = *format;
  }
  node.ignore("saturate");  // of 8-bit floats only
  node.ignore("round_mode");
  const ValueId x = node.value(0);
  node.set(0, node.type(0).format == to ? x : node.add("Cast", {x}, {{"to", to}}));
}

void identity(OnnxNode& node) { node.set(0, node.value(0)); }

// In inference the input passes.
void dropout(OnnxNode& node) {
  node.ignore("ratio");
  node.ignore("seed");
  node.has(1);  // the ratio as an input
  if (node.has(2) && node.scalar(2, "training_mode") != 0) {
    OnnxNode::refuse("it is in training mode", "export the model for inference (model.eval())");
  }
  node.set(0, node.value(0));
}

// Softmax and LogSoftmax normalise one axis since operator set 13, and all axes from `axis` on
// before.
void softmax(OnnxNode& node) {
  const ValueId x = node.value(0);
  const std::vector<Dim> shape = node.type(0).shape;
  const auto rank = static_cast<std::int64_t>(shape.size());
  const bool one_axis = node.opset() >= 13;
  const std::int64_t axis = node.integer("axis", one_axis ? -1 : 1);
  if (one_axis || axis == -1 || axis == rank - 1) {
    node.set(0, node.add(node.op(), {x}, {{"axis", axis}}));
    return;
  }
  if (axis < -rank || axis >= rank) {
    OnnxNode::refuse(concat("axis ", axis, " is outside the rank ", rank), "correct the axis");
  }
  const auto first = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
  std::vector<Dim> matrix(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(first));
  Dim rest = 1;
  for (std::size_t d = first; d < shape.size(); ++d) rest = rest * shape[d];
  matrix.push_back(rest);
  const ValueId flat = node.reshape(x, matrix);
  const ValueId y = node.add(node.op(), {flat}, {{"axis", std::int64_t{-1}}});
  node.set(0, node.reshape(y, shape));
}

}  // namespace

void add_elementwise_handlers(OnnxHandlers& handlers) {
  for (const char* name :
       {"Abs",   "Add",      "Ceil",           "Div",        "Equal", "Erf",         "Exp",
        "Floor", "Greater",  "GreaterOrEqual", "HardSwish",  "Less",  "LessOrEqual", "Log",
        "Mul",   "Neg",      "PRelu",          "Reciprocal", "Relu",  "Round",       "Sigmoid",
        "Sign",  "Softplus", "Sqrt",           "Sub",        "Tanh",  "Where"}) {
    handlers[name] = plain;
  }
  for (const char* name : {"Max", "Min", "Sum"}) handlers[name] = variadic;
  handlers["LeakyRelu"] = leaky_relu;
  handlers["ThresholdedRelu"] = thresholded_relu;
  handlers["Elu"] = elu;
  handlers["Selu"] = selu;
  handlers["HardSigmoid"] = hard_sigmoid;
  handlers["Gelu"] = gelu;
  handlers["Mish"] = mish;
  handlers["Softsign"] = softsign;
  handlers["Swish"] = swish;
  handlers["Pow"] = pow;
  handlers["Mean"] = mean;
  handlers["Clip"] = clip;
  handlers["Cast"] = handlers["CastLike"] = cast;
  handlers["Identity"] = identity;
  handlers["Dropout"] = dropout;
  handlers["Softmax"] = handlers["LogSoftmax"] = softmax;
}

}  // namespace tandem
