#include "tandem/runtime/real_nodes.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>

#include "tandem/base/error.h"

namespace tandem {
namespace {

bool is_f32(const TensorType& type) {
  return type.is_static() && type.format.storage() == Storage::kF32 && type.format == Format();
}

std::optional<float> scalar(const NodeView& node, std::size_t input) {
  const Tensor* constant = node.has_input(input) ? node.constant(input) : nullptr;
  if (constant == nullptr || constant->size() != 1) return std::nullopt;
  return static_cast<float>(constant->real(0));
}

// Operators whose meaning is one function of the lanes without attributes.
const std::map<std::string_view, RealFunction>& plain_functions() {
  static const std::map<std::string_view, RealFunction> functions = {
      {"Neg", RealFunction::kNegate},      {"Abs", RealFunction::kAbs},
      {"Sqrt", RealFunction::kSquareRoot}, {"Reciprocal", RealFunction::kReciprocal},
      {"Exp", RealFunction::kExp},         {"Log", RealFunction::kLog},
      {"Erf", RealFunction::kErf},         {"Tanh", RealFunction::kTanh},
      {"Sigmoid", RealFunction::kSigmoid}, {"Floor", RealFunction::kFloor},
      {"Ceil", RealFunction::kCeil},       {"Round", RealFunction::kRound},
      {"Relu", RealFunction::kRelu},       {"HardSwish", RealFunction::kHardSwish},
      {"Add", RealFunction::kAdd},         {"Sub", RealFunction::kSubtract},
      {"Mul", RealFunction::kMultiply},    {"Div", RealFunction::kDivide},
      {"Min", RealFunction::kMin},         {"Max", RealFunction::kMax},
      {"Pow", RealFunction::kPower}};
  return functions;
}

std::optional<RealCall> call_with_attributes(const NodeView& node) {
  const std::string_view op = node.node.op->name();
  if (op == "LeakyRelu")
    return RealCall{RealFunction::kRelu, static_cast<float>(node.real("alpha")), 0};
  if (op == "HardSigmoid") {
    return RealCall{RealFunction::kHardSigmoid, static_cast<float>(node.real("alpha")),
                    static_cast<float>(node.real("beta"))};
  }
  if (op == "Gelu") {
    return RealCall{node.string("approximate") == "tanh" ? RealFunction::kGeluTanh
                                                         : RealFunction::kGelu};
  }
  return std::nullopt;
}

}  // namespace

bool has_f32_result(const NodeView& node) {
  return std::all_of(node.node.outputs.begin(), node.node.outputs.end(),
                     [&](ValueId id) { return is_f32(node.graph.values[id].type); });
}

bool is_f32(const NodeView& node) {
  for (std::size_t i = 0; i < node.input_count(); ++i)
    if (node.has_input(i) && !is_f32(node.input(i))) return false;
  return has_f32_result(node);
}

bool is_dense_convolution(const NodeView& node) {
  if (node.node.op->name() != "Conv" || !is_f32(node) || node.constant(1) == nullptr ||
      node.constant(0) != nullptr || (node.has_input(2) && node.constant(2) == nullptr))
    return false;
  const std::size_t rank = node.input(0).shape.size();
  return rank == 3 || rank == 4;
}

bool is_dense_product(const NodeView& node, bool right_is_packed) {
  const std::string_view op = node.node.op->name();
  if ((op != "MatMul" && op != "Gemm") || !is_f32(node)) return false;
  const auto& a = node.input(0).shape;
  const auto& b = node.input(1).shape;
  if (a.size() < 2 || b.size() < 2) return false;
  if (op == "Gemm") {
    if (node.integer("transA") != 0 || node.real("alpha") != 1 || node.real("beta") != 1)
      return false;
    if (!node.has_input(2)) return true;
    // A bias for each column.
    const auto& c = node.input(2).shape;
    return node.constant(2) != nullptr && (node.constant(1) != nullptr || right_is_packed) &&
           !c.empty() && c.back() == node.graph.values[node.node.outputs[0]].type.shape.back() &&
           node.constant(2)->size() == c.back().constant();
  }
  if (b.size() == 2) return true;
  // The same leading axes on either side: no operand is repeated.
  return std::equal(a.begin(), a.end() - 2, b.begin(), b.end() - 2);
}

std::optional<LaneCall> lane_call(const NodeView& node) {
  if (node.node.outputs.size() != 1 || !is_f32(node)) return std::nullopt;
  const std::string_view op = node.node.op->name();
  if (op == "Clip") {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    RealCall call{RealFunction::kClip, -kInfinity, kInfinity};
    for (const std::size_t input : {std::size_t{1}, std::size_t{2}}) {
      if (!node.has_input(input)) continue;
      const auto limit = scalar(node, input);
      if (!limit) return std::nullopt;
      (input == 1 ? call.alpha : call.beta) = *limit;
    }
    return LaneCall{call, {node.node.inputs[0]}};
  }
  if (const auto call = call_with_attributes(node)) return LaneCall{*call, {node.node.inputs[0]}};
  const auto found = plain_functions().find(op);
  if (found == plain_functions().end()) return std::nullopt;
  if (node.input_count() > 2) return std::nullopt;
  return LaneCall{{found->second}, node.node.inputs};
}

std::optional<Epilogue> activation_of(const NodeView& node) {
  const auto lanes = lane_call(node);
  if (!lanes || lanes->operands.size() != 1) return std::nullopt;
  Epilogue epilogue;
  epilogue.alpha = lanes->call.alpha;
  epilogue.beta = lanes->call.beta;
  switch (lanes->call.function) {
    case RealFunction::kRelu: epilogue.activation = Activation::kRelu; break;
    case RealFunction::kClip: epilogue.activation = Activation::kClip; break;
    case RealFunction::kSigmoid: epilogue.activation = Activation::kSigmoid; break;
    case RealFunction::kTanh: epilogue.activation = Activation::kTanh; break;
    case RealFunction::kHardSwish: epilogue.activation = Activation::kHardSwish; break;
    case RealFunction::kGelu: epilogue.activation = Activation::kGelu; break;
    case RealFunction::kGeluTanh: epilogue.activation = Activation::kGeluTanh; break;
    default: return std::nullopt;
  }
  return epilogue;
}

bool is_global_average(const NodeView& node) {
  const std::string_view op = node.node.op->name();
  const std::size_t rank = node.input(0).shape.size();
  if (!is_f32(node) || rank < 3) return false;
  if (op != "ReduceMean") return op == "GlobalAveragePool";
  std::vector<bool> reduced(rank, false);
  for (const std::int64_t axis : node.integers("axes"))
    reduced[static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis)] =
        true;
  return !reduced[0] && !reduced[1] &&
         std::all_of(reduced.begin() + 2, reduced.end(), std::identity());
}

bool is_row_operator(const NodeView& node) {
  if (!is_f32(node) || node.input(0).shape.empty()) return false;
  const std::string_view op = node.node.op->name();
  const auto rank = static_cast<std::int64_t>(node.input(0).shape.size());
  if (op == "Softmax") return node.integer("axis") == -1 || node.integer("axis") == rank - 1;
  if (op == "LayerNormalization") {
    return node.node.outputs.size() == 1 && node.constant(1) != nullptr &&
           (!node.has_input(2) || node.constant(2) != nullptr);
  }
  if (op != "ReduceMean" && op != "ReduceSum" && op != "ReduceMax") return false;
  std::vector<bool> reduced(static_cast<std::size_t>(rank), node.integers("axes").empty());
  for (const std::int64_t axis : node.integers("axes"))
    reduced[static_cast<std::size_t>(axis < 0 ? axis + rank : axis)] = true;
  // All of the last axes, none before.
  return reduced.back() && std::is_sorted(reduced.begin(), reduced.end());
}

bool is_recurrent_layer(const NodeView& node) {
  const std::string_view op = node.node.op->name();
  if ((op != "LSTM" && op != "GRU") || node.node.inputs.size() < 3) return false;
  const bool is_lstm = op == "LSTM";
  enum : std::size_t { kW = 1, kR = 2, kBias = 3, kLengths = 4, kPeepholes = 7 };
  const auto constant_or_absent = [&](std::size_t input) {
    return !node.has_input(input) || node.constant(input) != nullptr;
  };
  if (!is_f32(node) || node.constant(kW) == nullptr || node.constant(kR) == nullptr ||
      !constant_or_absent(kBias) || node.has_input(kLengths) || node.has_input(kPeepholes) ||
      node.real("clip") != 0 || (is_lstm && node.integer("input_forget") != 0))
    return false;
  const auto& functions =
      std::get<std::vector<std::string>>(node.node.attributes.at("activations"));
  const std::size_t count = is_lstm ? 3 : 2;
  for (std::size_t i = 0; i < functions.size(); ++i)
    if (functions[i] != (i % count == 0 ? "Sigmoid" : "Tanh")) return false;
  return true;
}

Followers followers_of(const Module& module, const Graph& graph, const std::vector<NodeId>& nodes) {
  Followers result;
  result.result = graph.nodes[nodes[0]].outputs[0];
  for (std::size_t i = 1; i < nodes.size(); ++i) {
    const Node& node = graph.nodes[nodes[i]];
    const NodeView view{module, graph, node};
    result.nodes.push_back(nodes[i]);
    if (node.op->name() == "Add") {
      result.addend = node.inputs[node.inputs[0] == result.result ? 1 : 0];
      result.epilogue.adds = true;
    } else if (node.op->name() == "Sigmoid" && i + 1 < nodes.size()) {
      // x * sigmoid(x): the product follows.
      ++i;
      result.nodes.push_back(nodes[i]);
      result.epilogue.activation = Activation::kSwish;
      result.epilogue.alpha = 1;
    } else {
      const auto activation = activation_of(view);
      ensure(activation.has_value(), "a node that is no activation follows a dense one");
      const bool adds = result.epilogue.adds;
      result.epilogue = *activation;
      result.epilogue.adds = adds;
    }
    result.result = graph.nodes[nodes[i]].outputs[0];
  }
  return result;
}

}  // namespace tandem
