#include "tests/fuzz/sound_changes.h"

#include <array>

namespace tandem::fuzz {
namespace {

using onnx_reflection::AttributeProto;
using onnx_reflection::TensorProto;

constexpr std::array kFunctions = {
    "Abs",  "Ceil",      "Cos",     "Elu",  "Erf",       "Exp",       "Floor", "Identity",
    "Neg",  "Relu",      "Round",   "Selu", "LeakyRelu", "Sigmoid",   "Sign",  "Softplus",
    "Tanh", "HardSwish", "Softmax", "Sqrt", "Mish",      "Reciprocal"};
constexpr std::array kPairs = {"Add", "Sub", "Mul", "Div",   "Max",     "Min",
                               "Sum", "Pow", "Mod", "Equal", "Greater", "Less"};

}  // namespace

SoundChanges::SoundChanges(std::mt19937& random, onnx_reflection::ModelProto& model)
    : random_(random), graph_(*model.mutable_graph()) {
  for (const auto& set : model.opset_import())
    if (set.domain().empty()) opset_ = set.version();
}

std::string SoundChanges::fresh() { return "s" + std::to_string(random_() % 1000000); }

std::string SoundChanges::value() {
  std::vector<const std::string*> names;
  for (const auto& input : graph_.input()) names.push_back(&input.name());
  for (const auto& node : graph_.node())
    for (const auto& output : node.output())
      if (!output.empty()) names.push_back(&output);
  return names.empty() ? "x" : *names[below(names.size())];
}

std::string SoundChanges::real(double number) {
  auto& tensor = *graph_.add_initializer();
  tensor.set_name(fresh());
  tensor.set_data_type(TensorProto::FLOAT);
  tensor.add_float_data(static_cast<float>(number));
  return tensor.name();
}

std::string SoundChanges::integers(const std::vector<std::int64_t>& numbers, bool is_scalar) {
  auto& tensor = *graph_.add_initializer();
  tensor.set_name(fresh());
  tensor.set_data_type(TensorProto::INT64);
  if (!is_scalar) tensor.add_dims(static_cast<std::int64_t>(numbers.size()));
  for (const std::int64_t number : numbers) tensor.add_int64_data(number);
  return tensor.name();
}

std::string SoundChanges::apply(const std::string& op, const std::vector<std::string>& inputs) {
  auto& node = *graph_.add_node();
  node.set_op_type(op);
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(fresh());
  return node.output(0);
}

SoundChanges::Node& SoundChanges::last() { return *graph_.mutable_node(graph_.node_size() - 1); }

void SoundChanges::set_integer(const std::string& name, std::int64_t number) {
  auto& attribute = *last().add_attribute();
  attribute.set_name(name);
  attribute.set_type(AttributeProto::INT);
  attribute.set_i(number);
}

// Makes a value an output: a further one, or the first.
void SoundChanges::show(const std::string& name) {
  auto& output =
      chance(3) || graph_.output_size() == 0 ? *graph_.add_output() : *graph_.mutable_output(0);
  output.set_name(name);
  output.clear_type();
}

// Axes are an input in later operator sets.
std::string SoundChanges::axes_of_node(const std::string& op, const std::string& x,
                                       std::int64_t axis) {
  const bool is_input = opset_ >= (op == "ReduceMean" || op == "ReduceMax" ? 18 : 13);
  if (is_input) return apply(op, {x, integers({axis})});
  const std::string y = apply(op, {x});
  auto& attribute = *last().add_attribute();
  attribute.set_name("axes");
  attribute.set_type(AttributeProto::INTS);
  attribute.add_ints(axis);
  return y;
}

std::string SoundChanges::one_input(const std::string& x) {
  switch (below(6)) {
    case 0: return axes_of_node("ReduceMean", x, chance(2) ? 0 : -1);
    case 1: return axes_of_node("ReduceMax", x, 0);
    case 2: {
      const std::string y = apply(chance(2) ? "ArgMax" : "ArgMin", {x});
      set_integer("keepdims", static_cast<std::int64_t>(below(2)));
      return y;
    }
    case 3: {
      const std::string y = apply("Cast", {x});
      constexpr std::array kTypes = {TensorProto::FLOAT, TensorProto::DOUBLE, TensorProto::INT32,
                                     TensorProto::INT64, TensorProto::BOOL,   TensorProto::FLOAT16};
      set_integer("to", kTypes[below(kTypes.size())]);
      return y;
    }
    default: return apply(kFunctions[below(kFunctions.size())], {x});
  }
}

std::string SoundChanges::two_inputs(const std::string& x) {
  const std::string op = kPairs[below(kPairs.size())];
  if (chance(3)) return apply("Where", {apply("Less", {x, x}), x, x});
  return apply(op, {x, chance(2) ? x : real(static_cast<double>(below(9)) / 2 - 2)});
}

std::string SoundChanges::moved(const std::string& x) {
  switch (below(8)) {
    case 0: return apply("Reshape", {x, integers({-1})});
    case 1: return axes_of_node("Unsqueeze", x, 0);
    case 2: return apply("Transpose", {x});
    case 3: return apply("Flatten", {x});
    case 4: {
      const std::string y = apply("Concat", {x, x});
      set_integer("axis", chance(2) ? 0 : -1);
      return y;
    }
    case 5: return apply("Gather", {x, integers({0}, chance(2))});
    case 6:
      if (opset_ < 10) return apply("Identity", {x});
      return apply("Slice", {x, integers({static_cast<std::int64_t>(below(2))}),
                             integers({INT32_MAX}), integers({0})});
    default: return apply("Expand", {x, integers({1})});
  }
}

// Arithmetic on shapes, and what is made of it.
std::string SoundChanges::from_shape(const std::string& x) {
  const std::string shape = apply("Shape", {x});
  const std::string extent = apply("Gather", {shape, integers({0}, true)});
  switch (below(6)) {
    case 0: return apply("ConstantOfShape", {shape});
    case 1: return apply("Range", {integers({0}, true), extent, integers({1}, true)});
    case 2: return apply("Add", {extent, extent});
    case 3: return apply("Expand", {real(1), shape});
    case 4: return apply("Reshape", {x, shape});
    default: return apply(kPairs[below(3)], {shape, integers({2}, true)});
  }
}

std::string SoundChanges::coded(const std::string& x) {
  const std::string scale = real(0.5);
  return apply("DequantizeLinear", {apply("QuantizeLinear", {x, scale}), scale});
}

// A node once more, with results of its own; it may read something else.
void SoundChanges::copy_node() {
  if (graph_.node_size() == 0) return;
  Node copy = graph_.node(static_cast<int>(below(static_cast<std::size_t>(graph_.node_size()))));
  copy.clear_name();
  for (auto& output : *copy.mutable_output())
    if (!output.empty()) output = fresh();
  if (copy.input_size() > 0 && chance(3)) copy.set_input(0, value());
  if (copy.output_size() > 0) show(copy.output(0));
  *graph_.add_node() = copy;
}

void SoundChanges::insert_function() {
  if (graph_.node_size() == 0) return;
  const int at = static_cast<int>(below(static_cast<std::size_t>(graph_.node_size())));
  if (graph_.node(at).input_size() == 0 || graph_.node(at).input(0).empty()) return;
  const std::string y = apply(kFunctions[below(kFunctions.size())], {graph_.node(at).input(0)});
  graph_.mutable_node(at)->set_input(0, y);
}

void SoundChanges::nudge_number() {
  if (graph_.initializer_size() > 0 && chance(2)) {
    auto& tensor = *graph_.mutable_initializer(
        static_cast<int>(below(static_cast<std::size_t>(graph_.initializer_size()))));
    if (tensor.float_data_size() > 0) tensor.set_float_data(0, tensor.float_data(0) + 0.25F);
    if (tensor.int64_data_size() > 0)
      tensor.set_int64_data(0, tensor.int64_data(0) + (chance(2) ? 1 : -1));
    return;
  }
  if (graph_.node_size() == 0) return;
  auto& node =
      *graph_.mutable_node(static_cast<int>(below(static_cast<std::size_t>(graph_.node_size()))));
  if (node.attribute_size() == 0) return;
  auto& attribute = *node.mutable_attribute(
      static_cast<int>(below(static_cast<std::size_t>(node.attribute_size()))));
  const std::int64_t by = chance(2) ? 1 : -1;
  if (attribute.ints_size() > 0) {
    const int at = static_cast<int>(below(static_cast<std::size_t>(attribute.ints_size())));
    std::int64_t moved_by = 0;
    if (!__builtin_add_overflow(attribute.ints(at), by, &moved_by))
      attribute.set_ints(at, moved_by);
  } else if (attribute.type() == AttributeProto::INT) {
    std::int64_t moved_by = 0;
    if (!__builtin_add_overflow(attribute.i(), by, &moved_by)) attribute.set_i(moved_by);
  } else if (attribute.type() == AttributeProto::FLOAT) {
    attribute.set_f(attribute.f() * 1.5F);
  }
}

// The first dimension of an input: most operators take any number of samples.
void SoundChanges::change_extent() {
  if (graph_.input_size() == 0) return;
  auto& input =
      *graph_.mutable_input(static_cast<int>(below(static_cast<std::size_t>(graph_.input_size()))));
  auto& shape = *input.mutable_type()->mutable_tensor_type()->mutable_shape();
  if (shape.dim_size() == 0) return;
  auto& dim = *shape.mutable_dim(chance(4) ? shape.dim_size() - 1 : 0);
  if (chance(2))
    dim.set_dim_param(chance(3) ? "M" : "N");
  else
    dim.set_dim_value(static_cast<std::int64_t>(below(5)));
}

void SoundChanges::change() {
  const std::string x = value();
  switch (below(12)) {
    case 0:
    case 1: return show(one_input(x));
    case 2: return show(two_inputs(x));
    case 3:
    case 4: return show(moved(x));
    case 5:
    case 6: return show(from_shape(x));
    case 7: return show(coded(x));
    case 8: return copy_node();
    case 9: return insert_function();
    case 10: return nudge_number();
    default: return change_extent();
  }
}

}  // namespace tandem::fuzz
