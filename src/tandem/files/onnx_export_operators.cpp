#include <algorithm>
#include <array>
#include <cmath>

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
  const bool is_empty = std::count(to.begin(), to.end(), Dim(0)) > 0;  // then 0 is no copy
  if (is_empty && !out.graph().values[node.outputs[0]].type.is_static())
    throw Error("its shape has symbols beside a dimension of 0; bind the symbols");
  auto inputs = input_names(out, node);
  inputs.push_back(out.integers(entries, node.name + "/shape"));
  auto& proto = out.emit(node, "Reshape", inputs);
  if (is_empty) set_attribute(proto, "allowzero", std::int64_t{1});
}

void log_likelihood_loss(OnnxExporter& out, const Node& node) {
  auto& proto = out.emit(node, "NegativeLogLikelihoodLoss", input_names(out, node));
  copy(proto, node, "reduction");
  if (const Integers& ignored = list(node, "ignored"); !ignored.empty())
    set_attribute(proto, "ignore_index", ignored.front());
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

void shrink(OnnxExporter& out, const Node& node) {
  auto& proto = out.emit(node, "Shrink", input_names(out, node));
  copy(proto, node, "lambda", "lambd");
  copy(proto, node, "bias");
}

void cumulative_sum(OnnxExporter& out, const Node& node) {
  auto inputs = input_names(out, node);
  inputs.push_back(out.integers({integer(node, "axis")}, node.name + "/axis"));
  auto& proto = out.emit(node, "CumSum", inputs);
  copy(proto, node, "exclusive");
  copy(proto, node, "reverse");
}

void trilu(OnnxExporter& out, const Node& node) {
  auto inputs = input_names(out, node);
  inputs.push_back(out.integers({integer(node, "k")}, node.name + "/k"));
  copy(out.emit(node, "Trilu", inputs), node, "upper");
}

void one_hot(OnnxExporter& out, const Node& node) {
  auto inputs = input_names(out, node);
  inputs.insert(inputs.begin() + 1, out.integers({integer(node, "depth")}, node.name + "/depth"));
  copy(out.emit(node, "OneHot", inputs), node, "axis");
}

// Remainders of reals with the sign of the divisor came to ONNX later than what is written.
void modulo(OnnxExporter& out, const Node& node) {
  const bool real = out.graph().values[node.inputs[0]].type.format.is_float();
  if (real && integer(node, "fmod") == 0)
    throw Error("ONNX has no remainder of reals with the sign of the divisor in operator set ",
                out.opset());
  same(out, node);
}

const std::string& text(const Node& node, const std::string& name) {
  return std::get<std::string>(node.attributes.at(name));
}

void bit_shift(OnnxExporter& out, const Node& node) {
  const std::string direction = text(node, "direction") == "left" ? "LEFT" : "RIGHT";
  set_attribute(out.emit(node, "BitShift", input_names(out, node)), "direction", direction);
}

// A list of reals with one entry for each axis, given those of some.
std::string spread(OnnxExporter& out, const Node& node, const std::vector<double>& values,
                   std::vector<double> all, const std::string& name) {
  const auto& axes = list(node, "axes");
  const auto rank = static_cast<std::int64_t>(out.graph().values[node.inputs[0]].type.shape.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::int64_t axis = axes[i % axes.size()];
    const std::int64_t half = i < axes.size() ? 0 : rank;
    all[static_cast<std::size_t>(half + (axis < 0 ? axis + rank : axis))] = values[i];
  }
  const auto count = static_cast<std::int64_t>(all.size());
  return out.initializer(Tensor::from_reals(Format(), {count}, all), name);
}

// By scales where the node has them, else by sizes, whose axes must all be known.
void resize(OnnxExporter& out, const Node& node) {
  const auto& from = out.graph().values[node.inputs[0]].type.shape;
  const auto& to = out.graph().values[node.outputs[0]].type;
  const auto& scales = std::get<std::vector<double>>(node.attributes.at("scales"));
  const auto& roi = std::get<std::vector<double>>(node.attributes.at("roi"));
  const Integers &axes = list(node, "axes"), &sizes = list(node, "sizes");
  auto inputs = input_names(out, node);
  std::vector<double> whole(from.size(), 0), ones(from.size(), 1);
  whole.insert(whole.end(), ones.begin(), ones.end());
  inputs.push_back(roi.empty() ? "" : spread(out, node, roi, whole, node.name + "/roi"));
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const std::size_t axis = static_cast<std::size_t>(
        axes[i] < 0 ? axes[i] + static_cast<std::int64_t>(from.size()) : axes[i]);
    if (std::floor(static_cast<double>(from[axis].constant()) * scales[i]) !=
        static_cast<double>(sizes[i]))
      throw Error("its scale ", scales[i], " does not make ", sizes[i], " elements of ",
                  from[axis].to_string());
  }
  if (scales.empty()) {
    inputs.emplace_back();
    inputs.push_back(out.integers(to.static_shape(), node.name + "/sizes"));
  } else {
    inputs.push_back(spread(out, node, scales, ones, node.name + "/scales"));
  }
  auto& proto = out.emit(node, "Resize", inputs);
  copy(proto, node, "mode");
  copy(proto, node, "coordinates", "coordinate_transformation_mode");
  copy(proto, node, "nearest", "nearest_mode");
  copy(proto, node, "cubic_a", "cubic_coeff_a");
  copy(proto, node, "exclude_outside");
  copy(proto, node, "extrapolation", "extrapolation_value");
  if (integer(node, "antialias") != 0) copy(proto, node, "antialias");
}

// Operator set 16 knew images only and called the modes otherwise.
void grid_sample(OnnxExporter& out, const Node& node) {
  constexpr std::int64_t kVolumes = 20;
  const bool is_image = out.graph().values[node.inputs[0]].type.shape.size() == 4;
  if (!is_image && out.opset() < kVolumes)
    throw Error("ONNX samples nothing but images in operator set ", out.opset());
  std::string mode = text(node, "mode");
  if (out.opset() < kVolumes && mode != "nearest") mode = "bi" + mode;
  auto& proto = out.emit(node, "GridSample", input_names(out, node));
  set_attribute(proto, "mode", mode);
  copy(proto, node, "padding", "padding_mode");
  copy(proto, node, "align_corners");
}

void roi_align(OnnxExporter& out, const Node& node) {
  auto& proto = out.emit(node, "RoiAlign", input_names(out, node));
  copy(proto, node, "height", "output_height");
  copy(proto, node, "width", "output_width");
  copy(proto, node, "mode");
  copy(proto, node, "sampling_ratio");
  copy(proto, node, "spatial_scale");
  const bool half_pixel = integer(node, "half_pixel") != 0;
  set_attribute(proto, "coordinate_transformation_mode",
                std::string(half_pixel ? "half_pixel" : "output_half_pixel"));
}

std::string scalar(OnnxExporter& out, std::int64_t value, const std::string& name) {
  const std::vector<std::int64_t> element = {value};
  return out.initializer(Tensor::from_integers(Format::integer(64, true), {}, element), name);
}

// The axis is an input since operator set 20.
void dft(OnnxExporter& out, const Node& node) {
  constexpr std::int64_t kAxisAsInput = 20;
  const std::int64_t length = integer(node, "length");
  auto inputs = input_names(out, node);
  inputs.push_back(length == 0 ? "" : scalar(out, length, node.name + "/length"));
  if (out.opset() >= kAxisAsInput)
    inputs.push_back(scalar(out, integer(node, "axis"), node.name + "/axis"));
  auto& proto = out.emit(node, "DFT", inputs);
  if (out.opset() < kAxisAsInput) copy(proto, node, "axis");
  copy(proto, node, "inverse");
  copy(proto, node, "onesided");
}

void stft(OnnxExporter& out, const Node& node) {
  auto inputs = input_names(out, node);
  inputs.insert(inputs.begin() + 1, scalar(out, integer(node, "frame_step"), node.name + "/step"));
  inputs.resize(3);
  inputs.push_back(scalar(out, integer(node, "frame_length"), node.name + "/length"));
  copy(out.emit(node, "STFT", inputs), node, "onesided");
}

// How integers are to compute it has no place in ONNX.
void softmax(OnnxExporter& out, const Node& node) {
  const std::string& how = std::get<std::string>(node.attributes.at("exponential"));
  if (how != "table") throw Error("its exponential ", how, " is not written; .tandem keeps it");
  copy(out.emit(node, "Softmax", input_names(out, node)), node, "axis");
}

// ONNX's operators of the same name and attributes.
constexpr std::string_view kSame =
    "Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh BatchNormalization Ceil Celu "
    "Clip Concat Conv ConvTranspose Cos Cosh DeformConv DepthToSpace Det Div Einsum Elu Equal "
    "Erf Exp Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool "
    "Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Hardmax Identity IsNaN "
    "LRN LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max Min Mul Neg Not Or PRelu Pow "
    "Reciprocal Relu ReverseSequence Round ScatterElements ScatterND Sigmoid Sign Sin Sinh "
    "Softplus SpaceToDepth Sqrt Sub Tan Tanh ThresholdedRelu Transpose Where Xor";

constexpr std::string_view kReductions =
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
    "ReduceSum ReduceSumSquare";

const std::map<std::string, Writer, std::less<>>& writers() {
  static const std::map<std::string, Writer, std::less<>> kTable = [] {
    std::map<std::string, Writer, std::less<>> table = {
        {"BitShift", bit_shift},
        {"Resize", resize},
        {"GridSample", grid_sample},
        {"RoiAlign", roi_align},
        {"DFT", dft},
        {"STFT", stft},
        {"AveragePool", pool},
        {"Cast", cast},
        {"CumSum", cumulative_sum},
        {"Expand", expand},
        {"MaxPool", pool},
        {"Mod", modulo},
        {"OneHot", one_hot},
        {"Pad", pad},
        {"Reshape", reshape},
        {"Shrink", shrink},
        {"Slice", slice},
        {"Split", split},
        {"Tile", tile},
        {"TopK", top_k},
        {"Trilu", trilu},
        {"LpPool", pool},
        {"Softmax", softmax},
        {"LSTM", recurrent},
        {"GRU", recurrent},
        {"RNN", recurrent},
        {"NegativeLogLikelihoodLoss", log_likelihood_loss},
        {"LayerNormalization", layer_normalization}};
    for (const std::string& name : tandem::split(kSame, ' ')) table[name] = same;
    for (const std::string& name : tandem::split(kReductions, ' ')) table[name] = reduce;
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
