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
  if (value == kNone) OnnxNode::refuse("its first input is absent", "give the node that input");
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
ValueId swished(OnnxNode& node) {
  const ValueId x = node.value(0);
  const double alpha = node.real("alpha", 1.0);
  const ValueId inner = alpha == 1.0 ? x : node.add("Mul", {x, scalar_like(node, x, alpha)});
  return node.add("Mul", {x, node.add("Sigmoid", {inner})});
}

void swish(OnnxNode& node) { node.set(0, swished(node)); }

void swiglu(OnnxNode& node) {
  if (node.type(0) != node.type(1))
    OnnxNode::refuse("its inputs differ in shape or type", "correct the inputs");
  node.set(0, node.add("Mul", {swished(node), node.value(1)}));
}

void celu(OnnxNode& node) {
  node.set(0, node.add("Celu", node.values(), {{"alpha", node.real("alpha", 1.0)}}));
}

void shrink(OnnxNode& node) {
  node.set(0, node.add("Shrink", node.values(),
                       {{"lambda", node.real("lambd", 0.5)}, {"bias", node.real("bias", 0)}}));
}

void modulo(OnnxNode& node) {
  node.set(0, node.add("Mod", node.values(), {{"fmod", node.integer("fmod", 0)}}));
}

void bit_shift(OnnxNode& node) {
  const std::string direction = node.text("direction", "");
  if (direction != "LEFT" && direction != "RIGHT")
    OnnxNode::refuse(concat("direction is '", direction, "'"), "give it LEFT or RIGHT");
  node.set(0, node.add("BitShift", node.values(),
                       {{"direction", std::string(direction == "LEFT" ? "left" : "right")}}));
}

void is_inf(OnnxNode& node) {
  node.set(0, node.add("IsInf", node.values(),
                       {{"detect_negative", node.integer("detect_negative", 1)},
                        {"detect_positive", node.integer("detect_positive", 1)}}));
}

// The exponent in the format of the base where that holds it; both in double otherwise.
void pow(OnnxNode& node) {
  const ValueId base = node.value(0), exponent = node.value(1);
  const Format format = node.type(0).format;
  if (node.type(1).format == format) return node.set(0, node.add("Pow", {base, exponent}));
  if (const Tensor* constant = node.constant(1)) {
    const bool exact = format.is_float() || constant->format().is_integer();
    if (exact && constant->converted(format).to_reals() == constant->to_reals()) {
      const ValueId same = node.add_constant(constant->converted(format));
      return node.set(0, node.add("Pow", {base, same}));
    }
  }
  const Format wide = Format::parse("f64");
  const auto cast = [&](ValueId value, const Format& from, const Format& to) {
    return from == to ? value : node.add("Cast", {value}, {{"to", to}});
  };
  const ValueId power =
      node.add("Pow", {cast(base, format, wide), cast(exponent, node.type(1).format, wide)});
  node.set(0, cast(power, wide, format));
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
  const Format to = node.op() == "CastLike" ? node.type(1).format
                                            : required_format(node.integer("to"), "it casts to ");
  const std::int64_t saturate = node.integer("saturate", 1) != 0 ? 1 : 0;
  node.ignore("round_mode");  // of bare exponents only
  const ValueId x = node.value(0);
  const Attributes attributes = {{"to", to}, {"saturate", saturate}};
  node.set(0, node.type(0).format == to ? x : node.add("Cast", {x}, attributes));
}

void bit_cast(OnnxNode& node) {
  const Format to = required_format(node.integer("to"), "it casts to ");
  node.set(0, node.add("BitCast", {node.value(0)}, {{"to", to}}));
}

void identity(OnnxNode& node) { node.set(0, node.value(0)); }

// The mask of a Dropout that drops nothing.
ValueId all_kept(OnnxNode& node) {
  const Shape shape = node.type(0).static_shape();
  node.charge(element_count(shape));
  Tensor mask(Format::parse("bool"), shape);
  for (std::uint8_t& kept : mask.mutable_data<std::uint8_t>()) kept = 1;
  return node.add_constant(mask);
}

// In inference the input passes.
void dropout(OnnxNode& node) {
  node.ignore("ratio");
  node.ignore("seed");
  node.has(1);  // the ratio as an input
  if (node.has(2) && node.scalar(2, "training_mode") != 0) {
    OnnxNode::refuse("it is in training mode", "export the model for inference (model.eval())");
  }
  node.set(0, node.value(0));
  if (node.has_output(1) && node.opset() >= 10) node.set(1, all_kept(node));
}

// Softmax, LogSoftmax and Hardmax normalise one axis since operator set 13, and all axes from
// `axis` on before.
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
       {"Abs",        "Acos",    "Acosh", "Add",         "And",        "Asin",
        "Asinh",      "Atan",    "Atanh", "BitwiseAnd",  "BitwiseNot", "BitwiseOr",
        "BitwiseXor", "Ceil",    "Cos",   "Cosh",        "Det",        "Div",
        "Equal",      "Erf",     "Exp",   "Floor",       "Greater",    "GreaterOrEqual",
        "HardSwish",  "IsNaN",   "Less",  "LessOrEqual", "Log",        "Mul",
        "Neg",        "Not",     "Or",    "PRelu",       "Reciprocal", "Relu",
        "Round",      "Sigmoid", "Sign",  "Sin",         "Sinh",       "Softplus",
        "Sqrt",       "Sub",     "Tan",   "Tanh",        "Where",      "Xor"}) {
    handlers[name] = plain;
  }
  for (const char* name : {"Max", "Min", "Sum"}) handlers[name] = variadic;
  handlers["LeakyRelu"] = leaky_relu;
  handlers["ThresholdedRelu"] = thresholded_relu;
  handlers["Elu"] = elu;
  handlers["Celu"] = celu;
  handlers["Shrink"] = shrink;
  handlers["Mod"] = modulo;
  handlers["BitShift"] = bit_shift;
  handlers["IsInf"] = is_inf;
  handlers["BitCast"] = bit_cast;
  handlers["Selu"] = selu;
  handlers["HardSigmoid"] = hard_sigmoid;
  handlers["Gelu"] = gelu;
  handlers["Mish"] = mish;
  handlers["Softsign"] = softsign;
  handlers["Swish"] = swish;
  handlers["SwiGLU"] = swiglu;
  handlers["Pow"] = pow;
  handlers["Mean"] = mean;
  handlers["Clip"] = clip;
  handlers["Cast"] = handlers["CastLike"] = cast;
  handlers["Identity"] = identity;
  handlers["Dropout"] = dropout;
  handlers["Softmax"] = handlers["LogSoftmax"] = handlers["Hardmax"] = softmax;
}

}  // namespace tandem
