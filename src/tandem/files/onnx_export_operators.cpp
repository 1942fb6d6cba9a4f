#include <algorithm>
#include <array>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/onnx_export.h"
#include "tandem/files/onnx_tensor.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;
using Writer = void (*)(OnnxExporter&, const Node&);

const Integers& list(const Node& node, const std::string& name) {
  return std::get<Integers>(node.attributes.at(name));
}

std::int64_t integer(const Node& node, const std::string& name) {
  return std::get<std::int64_t>(node.attributes.at(name));
}

std::vector<std::string> input_names(OnnxExporter& out, const Node& node) {
  std::vector<std::string> names;
  for (const ValueId input : node.inputs) names.push_back(out.name_of(input));
  return names;
}

// An attribute under ONNX's name for it; empty lists are ONNX's defaults.
void copy(onnx::NodeProto& proto, const Node& node, const std::string& name,
          const std::string& onnx_name = "") {
  const Attribute& value = node.attributes.at(name);
  const std::string& to = onnx_name.empty() ? name : onnx_name;
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    set_attribute(proto, to, *number);
  } else if (const auto* real = std::get_if<double>(&value)) {
    set_attribute(proto, to, *real);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    set_attribute(proto, to, *text);
  } else if (const auto* numbers = std::get_if<Integers>(&value)) {
    if (!numbers->empty()) set_attribute(proto, to, *numbers);
  } else if (const auto* reals = std::get_if<std::vector<double>>(&value)) {
    if (!reals->empty()) set_attribute(proto, to, *reals);
  } else if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) {
    if (!texts->empty()) set_attribute(proto, to, *texts);
  } else {
    throw InternalError(concat("attribute ", name, " has no form in ONNX"));
  }
}

// The same operator with the same attributes.
void same(OnnxExporter& out, const Node& node) {
  auto& proto = out.emit(node, node.op->name(), input_names(out, node));
  for (const auto& [name, value] : node.attributes) copy(proto, node, name);
}

void pool(OnnxExporter& out, const Node& node) {
  auto& proto = out.emit(node, node.op->name(), input_names(out, node));
  for (const auto& [name, value] : node.attributes)
    copy(proto, node, name, name == "kernel" ? "kernel_shape" : "");
}

// Statistics are outputs of their own; they are of 17 and later.
void layer_normalization(OnnxExporter& out, const Node& node) {
  auto& proto = out.emit(node, "LayerNormalization", input_names(out, node));
  copy(proto, node, "axis");
  copy(proto, node, "epsilon");
}

// The one hidden size is that of the recurrent weights.
void recurrent(OnnxExporter& out, const Node& node) {
  auto& proto = out.emit(node, node.op->name(), input_names(out, node));
  const auto& weights = out.graph().values[node.inputs[2]].type.shape;
  set_attribute(proto, "hidden_size", weights[2].constant());
  for (const auto& [name, value] : node.attributes) {
    if (name == "clip" && std::get<double>(value) == 0) continue;
    copy(proto, node, name);
  }
}

void cast(OnnxExporter& out, const Node& node) {
  const Format to = std::get<Format>(node.attributes.at("to"));
  const auto type = onnx_type(to);
  if (!type) throw Error("ONNX has no type for ", to.name());
  set_attribute(out.emit(node, "Cast", input_names(out, node)), "to",
                static_cast<std::int64_t>(*type));
}

// Entries of a shape by the resolved dimensions: numbers, 0 for a dimension that stays in its
// place, and -1 once for another symbolic one.
void reshape(OnnxExporter& out, const Node& node) {
  const auto& from = out.graph().values[node.inputs[0]].type.shape;
  const auto& to = out.graph().values[node.outputs[0]].type.shape;
  Integers entries;
  for (std::size_t d = 0; d < to.size(); ++d) {
    if (to[d].is_constant())
      entries.push_back(to[d].constant());
    else if (d < from.size() && from[d] == to[d])
      entries.push_back(0);
    else
      entries.push_back(-1);
  }
  if (std::count(entries.begin(), entries.end(), -1) > 1)
    throw Error("its shape has more than one symbolic dimension that moves; bind the symbols");
  auto inputs = input_names(out, node);
  inputs.push_back(out.integers(entries, node.name + "/shape"));
  out.emit(node, "Reshape", inputs);
}

void expand(OnnxExporter& out, const Node& node) {
  if (node.inputs.size() > 1) throw Error("it takes its shape from another tensor");
  const auto& from = out.graph().values[node.inputs[0]].type.shape;
  const auto& to = out.graph().values[node.outputs[0]].type.shape;
  Integers entries;
  for (std::size_t d = 0; d < to.size(); ++d) {
    const std::size_t added = to.size() - from.size();
    const bool stays = d >= added && from[d - added] == to[d];
    if (!stays && !to[d].is_constant())
      throw Error("it expands to the symbolic dimension ", to[d].to_string(), "; bind the symbols");
    entries.push_back(stays ? 1 : to[d].constant());
  }
  auto inputs = input_names(out, node);
  inputs.push_back(out.integers(entries, node.name + "/shape"));
  out.emit(node, "Expand", inputs);
}

void tile(OnnxExporter& out, const Node& node) {
  auto inputs = input_names(out, node);
  inputs.push_back(out.integers(list(node, "repeats"), node.name + "/repeats"));
  out.emit(node, "Tile", inputs);
}

void slice(OnnxExporter& out, const Node& node) {
  const Integers &axes = list(node, "axes"), &steps = list(node, "steps");
  auto inputs = input_names(out, node);
  inputs.push_back(out.integers(list(node, "starts"), node.name + "/starts"));
  inputs.push_back(out.integers(list(node, "ends"), node.name + "/ends"));
  inputs.push_back(axes.empty() ? "" : out.integers(axes, node.name + "/axes"));
  inputs.push_back(steps.empty() ? "" : out.integers(steps, node.name + "/steps"));
  out.emit(node, "Slice", inputs);
}

void split(OnnxExporter& out, const Node& node) {
  auto inputs = input_names(out, node);
  inputs.push_back(out.integers(list(node, "sizes"), node.name + "/sizes"));
  copy(out.emit(node, "Split", inputs), node, "axis");
}

void pad(OnnxExporter& out, const Node& node) {
  const Format& format = out.graph().values[node.inputs[0]].type.format;
  const double value = std::get<double>(node.attributes.at("value"));
  auto inputs = input_names(out, node);
  inputs.push_back(out.integers(list(node, "pads"), node.name + "/pads"));
  if (value != 0)
    inputs.push_back(out.initializer(Tensor::scalar(value, format), node.name + "/value"));
  copy(out.emit(node, "Pad", inputs), node, "mode");
}

// Axes are an input of ReduceSum since operator set 13 and of the others since 18.
void reduce(OnnxExporter& out, const Node& node) {
  const Integers& axes = list(node, "axes");
  const bool as_input = node.op->name() == "ReduceSum" || out.opset() >= 18;
  auto inputs = input_names(out, node);
  if (as_input && !axes.empty()) inputs.push_back(out.integers(axes, node.name + "/axes"));
  auto& proto = out.emit(node, node.op->name(), inputs);
  if (!as_input) copy(proto, node, "axes");
  copy(proto, node, "keepdims");
}

void top_k(OnnxExporter& out, const Node& node) {
  auto inputs = input_names(out, node);
  inputs.push_back(out.integers({integer(node, "k")}, node.name + "/k"));
  auto& proto = out.emit(node, "TopK", inputs);
  copy(proto, node, "axis");
  copy(proto, node, "largest");
}

// ONNX's operators of the same name and attributes.
constexpr std::string_view kSame =
    "Abs Add ArgMax BatchNormalization Ceil Clip Concat Conv ConvTranspose DeformConv DepthToSpace "
    "Div Einsum Elu Equal Erf Exp Floor Gather Gelu Gemm GlobalAveragePool GlobalMaxPool Greater "
    "GreaterOrEqual GroupNormalization HardSigmoid "
    "HardSwish Identity LRN LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max Min Mul Neg PRelu "
    "Pow Reciprocal Relu Round Sigmoid Sign Softmax Softplus SpaceToDepth Sqrt Sub Tanh "
    "ThresholdedRelu Transpose Where";

const std::map<std::string, Writer, std::less<>>& writers() {
  static const std::map<std::string, Writer, std::less<>> kTable = [] {
    std::map<std::string, Writer, std::less<>> table = {
        {"Cast", cast},        {"Expand", expand},    {"MaxPool", pool},
        {"AveragePool", pool}, {"LpPool", pool},      {"LSTM", recurrent},
        {"GRU", recurrent},    {"RNN", recurrent},    {"LayerNormalization", layer_normalization},
        {"Pad", pad},          {"ReduceMax", reduce}, {"ReduceMean", reduce},
        {"ReduceMin", reduce}, {"ReduceSum", reduce}, {"Reshape", reshape},
        {"Slice", slice},      {"Split", split},      {"Tile", tile},
        {"TopK", top_k}};
    for (const std::string& name : tandem::split(kSame, ' ')) table[name] = same;
    return table;
  }();
  return kTable;
}

}  // namespace

void write_operator(OnnxExporter& exporter, const Node& node) {
  const auto found = writers().find(node.op->name());
  if (found == writers().end()) throw Error("it is not written as an operator of ONNX");
  if (!node.bodies.empty()) throw Error("it carries bodies");
  found->second(exporter, node);
}

}  // namespace tandem
