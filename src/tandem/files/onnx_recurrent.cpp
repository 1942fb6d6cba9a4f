#include "tandem/files/onnx_import.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

struct RecurrentKind {
  std::vector<std::string> functions;  // of one direction
  std::string_view variant;            // an attribute that is 0 or 1
  std::size_t states;
};

RecurrentKind kind_of(std::string_view op) {
  if (op == "LSTM") return {{"Sigmoid", "Tanh", "Tanh"}, "input_forget", 2};
  if (op == "GRU") return {{"Sigmoid", "Tanh"}, "linear_before_reset", 1};
  return {{"Tanh"}, "", 1};
}

std::vector<double> floats(OnnxNode& node, std::string_view name) {
  const auto* attribute = node.attribute(name);
  if (attribute == nullptr) return {};
  return {attribute->floats().begin(), attribute->floats().end()};
}

std::vector<std::string> functions(OnnxNode& node, const RecurrentKind& kind, bool both) {
  if (const auto* given = node.attribute("activations"); given && given->strings_size() > 0)
    return {given->strings().begin(), given->strings().end()};
  std::vector<std::string> names = kind.functions;
  if (both) names.insert(names.end(), kind.functions.begin(), kind.functions.end());
  return names;
}

// Steps first, as layout 0 has them; layout 1 has samples first.
ValueId steps_first(OnnxNode& node, ValueId value, bool samples_first) {
  if (!samples_first || value == kNone) return value;
  return node.add("Transpose", {value}, {{"perm", Integers{1, 0, 2}}});
}

void recurrent(OnnxNode& node) {
  const RecurrentKind kind = kind_of(node.op());
  const std::string direction = node.text("direction", "forward");
  const bool samples_first = node.integer("layout", 0) != 0;
  if (node.type(2).shape.size() != 3)
    OnnxNode::refuse(concat("R is ", node.type(2).to_string()), "give it three axes");
  const auto units = node.integer("hidden_size", node.type(2).shape.back().constant());
  if (node.type(2).shape.back() != Dim(units))
    OnnxNode::refuse(concat("hidden_size is ", units, ", but R is ", node.type(2).to_string()),
                     "correct the attribute");
  if (node.opset() < 14 && node.integer("output_sequence", 1) == 0)
    OnnxNode::refuse("its output_sequence is 0", "convert the model to a later operator set");
  const double clip = node.real("clip", 0);
  if (clip > 0 && node.op() == "LSTM")
    OnnxNode::refuse("it clips, and runtimes differ about the input of its last function",
                     "export the layer without clip");
  Attributes attributes = {{"direction", direction},
                           {"activations", functions(node, kind, direction == "bidirectional")},
                           {"activation_alpha", floats(node, "activation_alpha")},
                           {"activation_beta", floats(node, "activation_beta")},
                           {"clip", clip}};
  if (!kind.variant.empty())
    attributes[std::string(kind.variant)] =
        std::int64_t{node.integer(kind.variant, 0) != 0 ? 1 : 0};
  std::vector<ValueId> inputs = node.values();
  inputs[0] = steps_first(node, inputs[0], samples_first);
  for (std::size_t i = 5; i < std::min(inputs.size(), 5 + kind.states); ++i)
    inputs[i] = steps_first(node, inputs[i], samples_first);
  const auto outputs = node.add_node(node.op(), inputs, std::move(attributes));
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!node.has_output(i)) continue;
    // [steps, directions, samples, units] to samples first.
    const Integers perm = i == 0 ? Integers{2, 0, 1, 3} : Integers{1, 0, 2};
    node.set(i, samples_first ? node.add("Transpose", {outputs[i]}, {{"perm", perm}}) : outputs[i]);
  }
}

}  // namespace

void add_recurrent_handlers(OnnxHandlers& handlers) {
  for (const char* name : {"LSTM", "GRU", "RNN"}) handlers[name] = recurrent;
}

}  // namespace tandem
