// Arithmetic, functions and reductions as TensorFlow Lite's operators.
#include <algorithm>
#include <cmath>
#include <functional>

#include "tandem/base/text.h"
#include "tandem/files/tflite_export.h"
#include "tandem/ops/movement.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// ---- Two operands ------------------------------------------------------------------------------

// One operand of a sum or product: a computed tensor, or constant elements that can still be
// turned.
struct BinaryOperand {
  Placed placed;
  std::optional<Tensor> constant;
  std::optional<TfliteCoding> coding;
  std::string name;
};

// A scale of 1/127 of the greatest magnitude.
TfliteCoding own_coding(const Tensor& reals, const Format& format) {
  float most = 0;
  for (const float real : reals.to_floats()) most = std::max(most, std::abs(real));
  TfliteCoding coding;
  coding.format = format;
  coding.scale = most > 0 ? most / static_cast<float>(format.integer_range().max) : 1;
  return coding;
}

BinaryOperand operand_of(TfliteExporter& out, ValueId value, const Sink& sink) {
  BinaryOperand operand{{}, {}, {}, out.name(value)};
  const auto reals = out.type(value).format.is_float() ? out.known(value) : std::nullopt;
  if (!reals) {
    const PlacedCodes codes = out.operand(value, sink);
    operand.placed = codes.placed;
    if (sink.is_coded()) operand.coding = codes.coding;
    return operand;
  }
  if (!sink.is_coded()) {
    operand.constant = reals->converted(Format());
    return operand;
  }
  const Node* decoder = out.producer(value);
  if (decoder == nullptr || decoder->op->name() != "Dequantize") {
    if (!out.is_adopting())
      TfliteExporter::refuse(concat("its constant '", out.name(value), "' has no codes"),
                             "quantize it too, or compress the network to a .tflite file");
    operand.coding = own_coding(*reals, sink.codes->coding.format);
    operand.constant = out.coded_constant(*reals, *operand.coding, Rounding::kHalfAwayFromZero);
    return operand;
  }
  const PlacedCodes codes = out.operand(value, sink);
  operand.coding = codes.coding;
  operand.constant = out.coded_constant(*reals, codes.coding, Rounding::kHalfAwayFromZero);
  return operand;
}

// Scalars beside arrays have one axis, which all programs take.
int tensor_in_order(TfliteExporter& out, const BinaryOperand& operand, bool channels_last,
                    bool is_scalar = false) {
  if (!operand.constant) return out.in_order(operand.placed, channels_last);
  Tensor elements = *operand.constant;
  if (channels_last && elements.size() > 1) {
    constexpr std::size_t kAxes = 4;
    elements = transposed_tensor(with_rank(elements, kAxes), {0, 2, 3, 1});
  }
  if (elements.rank() == 0 && !is_scalar) elements = elements.reshaped({1});
  std::optional<TfliteQuantization> quantization;
  if (operand.coding) quantization = operand.coding->quantization();
  return out.file().constant(elements, quantization, operand.name);
}

// Channels last where a computed operand has them so and the other can follow.
Placed binary(TfliteExporter& out, const Node& node, std::string_view op, const BinaryOperand& a,
              const BinaryOperand& b, const Sink& sink) {
  const Shape to = out.shape(node.outputs[0]);
  constexpr std::size_t kAxes = 4;
  const auto can_turn = [&](const BinaryOperand& operand) {
    return operand.constant ? operand.constant->rank() <= 4
                            : out.file().shape(operand.placed.tensor).size() == kAxes;
  };
  const auto is_turned = [](const BinaryOperand& operand) {
    return !operand.constant && operand.placed.is_channels_last;
  };
  const bool last =
      to.size() == kAxes && (is_turned(a) || is_turned(b)) && can_turn(a) && can_turn(b);
  const int left = tensor_in_order(out, a, last, to.empty()),
            right = tensor_in_order(out, b, last, to.empty());
  const int y = out.result(sink, last ? Shape{to[0], to[2], to[3], to[1]} : to);
  const int version = sink.is_coded() ? 2 : 1;
  const auto add = [&](auto options) {
    options.activation = sink.activation;
    out.file().add(op, {left, right}, {y}, version, std::move(options));
  };
  if (op == "ADD") add(tflite::AddOptionsT());
  if (op == "SUB") add(tflite::SubOptionsT());
  if (op == "MUL") add(tflite::MulOptionsT());
  if (op == "MAXIMUM" || op == "MINIMUM") out.file().add(op, {left, right}, {y}, version);
  return {y, last};
}

// ---- Sums --------------------------------------------------------------------------------------

void require_common_unit(const TfliteExporter& out, const CommonUnitOperand& a,
                         const CommonUnitOperand& b, const BinaryOperand& left,
                         const BinaryOperand& right) {
  if (out.is_adopting()) return;
  const int shift = left.coding->format.bits() == 16 ? 15 : 20;
  const double most = static_cast<double>(std::max(left.coding->scale, right.coding->scale));
  const auto unit = static_cast<double>(static_cast<float>(std::ldexp(2 * most, -shift)));
  const auto fits = [&](const CommonUnitOperand& given) {
    return given.left_shift == shift && static_cast<double>(static_cast<float>(given.unit)) == unit;
  };
  if (fits(a) && fits(b)) return;
  TfliteExporter::refuse(
      "its operands are not brought into one unit as TensorFlow Lite's kernel does",
      "compress the network to a .tflite file, which leaves rounding to TensorFlow Lite, or write "
      "the module's own text");
}

// A constant beside a matrix product is its bias.
std::optional<Placed> with_bias(TfliteExporter& out, const Node& node, const Sink& sink) {
  for (std::size_t i = 0; i < 2; ++i) {
    const Node* product = out.producer(node.inputs[i]);
    const bool fits = product != nullptr && product->op->name() == "MatMul" &&
                      out.known(node.inputs[1 - i]) && !out.known(node.inputs[i]);
    if (!fits) continue;
    const Shape bias = out.shape(node.inputs[1 - i]), to = out.shape(node.outputs[0]);
    const std::int64_t count = element_count(bias);
    if (count != 1 && (bias.empty() || count != bias.back() || count != to.back())) continue;
    return write_product(out, *product, node.inputs[1 - i], sink);
  }
  return std::nullopt;
}

Placed write_sum(TfliteExporter& out, const Node& node, const Sink& sink) {
  const bool is_add = node.op->name() == "Add";
  if (is_add) {
    if (const auto placed = with_bias(out, node, sink)) return *placed;
  }
  const std::string_view op = is_add ? "ADD" : "SUB";
  if (!sink.is_coded()) {
    return binary(out, node, op, operand_of(out, node.inputs[0], sink),
                  operand_of(out, node.inputs[1], sink), sink);
  }
  out.require_rescaling(sink, Rescaling::kDoubleRounding);
  const CommonUnitOperand a = without_unit(out, node.inputs[0]),
                          b = without_unit(out, node.inputs[1]);
  const BinaryOperand left = operand_of(out, a.operand, sink),
                      right = operand_of(out, b.operand, sink);
  require_common_unit(out, a, b, left, right);
  return binary(out, node, op, left, right, sink);
}

Placed write_mul(TfliteExporter& out, const Node& node, const Sink& sink) {
  out.require_rescaling(sink, Rescaling::kDoubleRounding);
  return binary(out, node, "MUL", operand_of(out, node.inputs[0], sink),
                operand_of(out, node.inputs[1], sink), sink);
}

// Times the reciprocal of a constant.
Placed write_div(TfliteExporter& out, const Node& node, const Sink& sink) {
  const auto divisor = out.known(node.inputs[1]);
  if (!divisor || sink.is_coded())
    TfliteExporter::refuse("it divides codes, or by what is computed", "multiply instead");
  BinaryOperand factor{
      {},
      map(divisor->converted(f64()), [](double x) { return 1 / x; }).converted(Format()),
      {},
      out.name(node.inputs[1])};
  return binary(out, node, "MUL", operand_of(out, node.inputs[0], sink), factor, sink);
}

Placed write_extremum(TfliteExporter& out, const Node& node, const Sink& sink) {
  const auto moved = [&](ValueId value) {
    BinaryOperand operand{{}, {}, {}, out.name(value)};
    const auto reals = out.known(value);
    if (reals && !sink.is_coded()) {
      operand.constant = reals->converted(Format());
    } else if (reals && out.type(value).format.is_float()) {
      operand.coding = sink.codes->coding;
      operand.constant = out.coded_constant(*reals, *operand.coding, sink.codes->rounding);
    } else {
      operand.placed = out.moved_operand(value, sink);
    }
    return operand;
  };
  const std::string_view op = node.op->name() == "Max" ? "MAXIMUM" : "MINIMUM";
  return binary(out, node, op, moved(node.inputs[0]), moved(node.inputs[1]), sink);
}

Placed write_normalization(TfliteExporter& out, const Node& node, const Sink& sink) {
  const NodeView view = out.view_of(node);
  const auto parameter = [&](std::size_t i) {
    const auto tensor = out.known(node.inputs[i]);
    if (!tensor)
      TfliteExporter::refuse("its parameters are computed while the network runs", "fix them");
    return tensor->to_reals();
  };
  if (sink.is_coded())
    TfliteExporter::refuse("it normalizes codes", "fold it into the layer before it");
  const auto scale = parameter(1), bias = parameter(2), mean = parameter(3),
             variance = parameter(4);
  std::vector<double> factors, addends;
  for (std::size_t i = 0; i < scale.size(); ++i) {
    factors.push_back(scale[i] / std::sqrt(variance[i] + view.real("epsilon")));
    addends.push_back(bias[i] - mean[i] * factors.back());
  }
  Shape shape(out.shape(node.inputs[0]).size(), 1);
  if (shape.size() > 1) shape[1] = static_cast<std::int64_t>(scale.size());
  const auto constant = [&](const std::vector<double>& values, const char* suffix) {
    return BinaryOperand{{}, Tensor::from_reals(Format(), shape, values), {}, sink.name + suffix};
  };
  const Sink scaled{sink.name + ".scaled", sink.value};
  const Placed product = binary(out, node, "MUL", operand_of(out, node.inputs[0], sink),
                                constant(factors, ".factor"), scaled);
  return binary(out, node, "ADD", {product, {}, {}, scaled.name}, constant(addends, ".addend"),
                sink);
}

// ---- Functions ---------------------------------------------------------------------------------

// Kernels of codes of sigmoids and softmax have results of one coding.
std::optional<TfliteCoding> fixed_coding(std::string_view op, const Format& format) {
  const bool wide = format.bits() == 16;
  if (op == "HARD_SWISH" || op == "LEAKY_RELU") return std::nullopt;
  TfliteCoding coding{format, 0x1p-15F};
  if (wide) return coding;
  coding.scale = op == "TANH" ? 0x1p-7F : 0x1p-8F;
  coding.zero = op == "TANH" ? 0 : -128;
  return coding;
}

// x through an operator that `add` appends with its input, result and version.
Placed function(TfliteExporter& out, std::string_view op, Placed x, const Sink& sink,
                const std::function<void(int, int, int)>& add) {
  const Shape shape = out.file().shape(x.tensor);
  const auto write = [&](const Sink& to) {
    const int y = out.result(to, shape);
    add(x.tensor, y, to.is_coded() ? 2 : 1);
    return y;
  };
  if (!sink.is_coded()) return {write(sink), x.is_channels_last};
  if (!out.is_adopting())
    TfliteExporter::refuse(
        "its codes are those of the exact function, not of TensorFlow Lite's kernel",
        "compress the network to a .tflite file, which leaves rounding to TensorFlow Lite");
  const auto coding = fixed_coding(op, sink.codes->coding.format);
  if (!coding || *coding == sink.codes->coding) return {write(sink), x.is_channels_last};
  const CodeTarget target{*coding, coding->format.integer_range()};
  const int y = write({sink.name + ".kernel", sink.value, &target});
  return {out.requantized({{y, x.is_channels_last}, *coding}, *sink.codes, sink.name),
          x.is_channels_last};
}

Placed write_unary(TfliteExporter& out, const Node& node, const Sink& sink) {
  const std::string_view name = node.op->name();
  const std::string_view op = name == "Sigmoid" ? "LOGISTIC"
                              : name == "Tanh"  ? "TANH"
                                                : "HARD_SWISH";
  const Placed x = out.operand(node.inputs[0], sink).placed;
  return function(out, op, x, sink, [&](int from, int to, int version) {
    out.file().add(op, {from}, {to}, version);
  });
}

Placed write_leaky_relu(TfliteExporter& out, const Node& node, const Sink& sink) {
  tflite::LeakyReluOptionsT options;
  options.alpha = static_cast<float>(out.view_of(node).real("alpha"));
  return function(out, "LEAKY_RELU", out.operand(node.inputs[0], sink).placed, sink,
                  [&](int from, int to, int version) {
                    out.file().add("LEAKY_RELU", {from}, {to}, version, options);
                  });
}

Placed write_softmax(TfliteExporter& out, const Node& node, const Sink& sink) {
  Placed x = out.operand(node.inputs[0], sink).placed;
  if (out.view_of(node).string("exponential") != "table")
    TfliteExporter::refuse("TensorFlow Lite's kernels have their own exponential",
                           "write .tandem, or leave it at table");
  const auto rank = static_cast<std::int64_t>(out.shape(node.inputs[0]).size());
  std::int64_t axis = out.view_of(node).integer("axis");
  if (axis < 0) axis += rank;
  const bool over_channels = rank == 4 && axis == 1;
  if (!over_channels && axis != rank - 1)
    TfliteExporter::refuse("it is over an axis that is not the last", "transpose before it");
  x = {out.in_order(x, over_channels), over_channels};
  tflite::SoftmaxOptionsT options;
  options.beta = 1;
  return function(out, "SOFTMAX", x, sink, [&](int from, int to, int version) {
    out.file().add("SOFTMAX", {from}, {to}, version, options);
  });
}

Placed write_prelu(TfliteExporter& out, const Node& node, const Sink& sink) {
  const auto slopes = out.known(node.inputs[1]);
  if (!slopes || sink.is_coded())
    TfliteExporter::refuse("its slopes are computed, or it is of codes", "use LeakyRelu");
  const Placed x = out.real(node.inputs[0]);
  const BinaryOperand operand{{}, slopes->converted(Format()), {}, out.name(node.inputs[1])};
  const int alpha = tensor_in_order(out, operand, x.is_channels_last);
  const int y = out.result(sink, out.file().shape(x.tensor));
  out.file().add("PRELU", {x.tensor, alpha}, {y});
  return {y, x.is_channels_last};
}

// ---- Reductions --------------------------------------------------------------------------------

Placed reduced(TfliteExporter& out, const Node& node, std::string_view op, Placed x, Integers axes,
               bool keeps_axes, const Sink& sink) {
  const auto rank = static_cast<std::int64_t>(out.shape(node.inputs[0]).size());
  for (std::int64_t& axis : axes)
    if (axis < 0) axis += rank;
  if (axes.empty())
    for (std::int64_t axis = 0; axis < rank; ++axis) axes.push_back(axis);
  const bool spatial = rank == 4 && axes == Integers{2, 3};
  const bool last = x.is_channels_last && (keeps_axes || spatial);
  x = {out.in_order(x, last), last};
  constexpr std::int64_t kLast[] = {0, 3, 1, 2};
  Shape to = out.shape(node.outputs[0]);
  if (last) {
    for (std::int64_t& axis : axes) axis = kLast[axis];
    if (keeps_axes) to = {to[0], to[2], to[3], to[1]};
  }
  tflite::ReducerOptionsT options;
  options.keep_dims = keeps_axes;
  const int y = out.result(sink, to);
  out.file().add(op, {x.tensor, out.index_constant(axes, sink.name + ".axes")}, {y},
                 sink.is_coded() ? 2 : 1, std::move(options));
  return {y, last && keeps_axes};
}

Placed write_reduction(TfliteExporter& out, const Node& node, const Sink& sink) {
  const NodeView view = out.view_of(node);
  const std::string_view name = node.op->name();
  const bool is_global = name == "GlobalAveragePool" || name == "GlobalMaxPool";
  const bool is_mean = name == "GlobalAveragePool" || name == "ReduceMean";
  Integers axes;
  if (is_global) {
    for (std::size_t d = 2; d < out.shape(node.inputs[0]).size(); ++d)
      axes.push_back(static_cast<std::int64_t>(d));
  } else {
    axes = view.integers("axes");
  }
  const bool keeps = is_global || view.integer("keepdims") != 0;
  if (!is_mean)
    return reduced(out, node, "REDUCE_MAX", out.moved_operand(node.inputs[0], sink), axes, keeps,
                   sink);
  if (sink.is_coded() && !out.is_adopting())
    TfliteExporter::refuse("its mean is no sum of codes as in TensorFlow Lite's kernel",
                           "compress the network to a .tflite file");
  return reduced(out, node, "MEAN", out.operand(node.inputs[0], sink).placed, axes, keeps, sink);
}

}  // namespace

void add_tflite_elementwise_writers(TfliteWriters& writers) {
  const auto add = [&](std::initializer_list<const char*> ops, TfliteWriter write,
                       TfliteWriterEntry entry) {
    entry.write = write;
    for (const char* op : ops) writers[op] = entry;
  };
  add({"Add", "Sub"}, write_sum, {.takes_codes = true, .fuses = true});
  add({"Mul"}, write_mul, {.takes_codes = true, .fuses = true});
  add({"Div"}, write_div, {.fuses = true});
  add({"Max", "Min"}, write_extremum, {.moves = true});
  add({"BatchNormalization"}, write_normalization, {.fuses = true});
  add({"Sigmoid", "Tanh", "HardSwish"}, write_unary, {.takes_codes = true});
  add({"LeakyRelu"}, write_leaky_relu, {.takes_codes = true});
  add({"Softmax"}, write_softmax, {.takes_codes = true});
  add({"PRelu"}, write_prelu, {});
  add({"GlobalAveragePool", "ReduceMean"}, write_reduction, {.takes_codes = true});
  add({"GlobalMaxPool", "ReduceMax"}, write_reduction, {.moves = true});
}

}  // namespace tandem
