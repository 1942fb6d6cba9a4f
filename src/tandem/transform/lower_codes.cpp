#include "tandem/transform/lower_codes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/lowering.h"
#include "tandem/ops/coded.h"
#include "tandem/transform/common_subexpressions.h"
#include "tandem/transform/constant_fold.h"
#include "tandem/transform/exact_sums.h"
#include "tandem/transform/rewriter.h"
#include "tandem/transform/sink_transposes.h"

namespace tandem {
namespace {

bool is_code(const Format& format) { return format.is_integer() && !format.is_boolean(); }

// Every value is written in the form in which it is asked for: integers as far as they go from each
// Quantize back, reals for what reads reals. What nobody asked for is removed in the end.
class CodeLowering {
 public:
  explicit CodeLowering(const Module& network)
      : rewriter_(network),
        graph_(network.main()),
        readers_(consumers(graph_)),
        coded_(graph_.values.size()) {
    // Sums of values that are no single codes: of 32 bits behind products.
    options_.alignment_bits = 24;
  }

  Module run() {
    for (const Node& node : graph_.nodes) {
      if (sum_to_codes(node)) continue;
      if (node.op->name() == "Quantize" && coded_[node.outputs[0]]) continue;
      if (node.op->name() == "Quantize" && !inputs_coded(node))
        quantize(node);
      else
        lower(node);
    }
    return rewriter_.finish([this](ValueId value) { return as_read(value); });
  }

 private:
  Builder& builder() { return rewriter_.builder(); }
  const Tensor* constant(ValueId value) const {
    return constant_of(rewriter_.old(), graph_, value);
  }

  bool inputs_coded(const Node& node) const {
    return std::ranges::all_of(node.inputs, [&](ValueId input) {
      return input == kNone || constant(input) != nullptr || coded_[input].has_value() ||
             is_plain_input(input);
    });
  }
  // Codes that enter the network.
  bool is_plain_input(ValueId value) const {
    return graph_.values[value].producer == kNone && is_code(graph_.values[value].type.format);
  }

  // Codes of reals that are computed.
  void quantize(const Node& node) {
    const ValueId codes = copied(node)[0];
    if (is_code(builder().type(codes).format))
      coded_[node.outputs[0]] = coded_integer(builder(), codes);
  }

  // The integers of a value that are single codes with one scale.
  std::optional<CodeTerm> term(ValueId value) {
    const auto& coded = coded_[value];
    constexpr int kTermBits = 8;
    if (!coded || coded->table || is_clamped(*coded) || !is_uniform(coded->scale) ||
        !is_uniform(coded->offset))
      return std::nullopt;
    const Value& integer = builder().graph().values[coded->integer];
    if (integer.constant != kNone || !is_code(integer.type.format) ||
        integer.type.format.bits() > kTermBits)
      return std::nullopt;
    return CodeTerm{coded->integer, coded->scale.real(0), coded->offset.real(0)};
  }

  // What a Quantize asks for, where it is as ONNX's.
  std::optional<SumCodes> asked_codes(const Node& node) const {
    const NodeView view = rewriter_.old_view(node);
    const Tensor *scale = constant(node.inputs[1]),
                 *zero = view.has_input(2) ? view.constant(2) : nullptr;
    const Format format = view.format("format");
    if (scale == nullptr || scale->size() != 1 || (view.has_input(2) && zero == nullptr) ||
        (zero != nullptr && zero->size() != 1) || !is_code(format) ||
        view.string("rounding") != "half_even" || view.string("overflow") != "saturate" ||
        view.string("rescale") != "dyadic" || format == Format::parse("bipolar"))
      return std::nullopt;
    const double shift = zero == nullptr ? 0 : zero->real(0);
    const bool comes_last =
        view.string("zero_added") == "after_rounding" || std::fmod(shift, 2) == 0;
    if (!comes_last || shift != std::nearbyint(shift)) return std::nullopt;
    IntegerRange range = format.integer_range();
    if (const auto& limits = view.integers("limits"); !limits.empty())
      range = {std::max(range.min, limits[0]), std::min(range.max, limits[1])};
    return SumCodes{format, scale->real(0), static_cast<std::int64_t>(shift), range.min, range.max};
  }

  // A sum of two values of codes that are codes again: right for every pair of them.
  bool sum_to_codes(const Node& node) {
    const bool subtracts = node.op->name() == "Sub";
    if (!subtracts && node.op->name() != "Add") return false;
    const auto a = term(node.inputs[0]);
    auto b = term(node.inputs[1]);
    const auto& readers = readers_[node.outputs[0]];
    if (!a || !b || readers.size() != 1 ||
        std::ranges::count(graph_.outputs, node.outputs[0]) > 0 ||
        graph_.nodes[readers[0]].op->name() != "Quantize")
      return false;
    const Node& quantize = graph_.nodes[readers[0]];
    const auto codes = asked_codes(quantize);
    if (!codes) return false;
    if (subtracts) b = CodeTerm{b->integer, -b->scale, -b->offset};
    builder().set_scope(quantize.scope);
    const auto sum = add_exact_sum(builder(), *a, *b, *codes, quantize.name);
    // Without one the sum stays real, which is right too.
    if (sum) coded_[quantize.outputs[0]] = coded_integer(builder(), *sum);
    return true;
  }

  // Operators of which lower() gives what they mean, up to the rounding of reals. It approximates
  // the exponentials of a Softmax and the roots of normalizations by the sample's own statistics.
  static bool is_exact(const Node& node) {
    const std::string_view op = node.op->name();
    constexpr std::array<std::string_view, 6> kApproximated = {
        "Softmax",          "Attention",          "LayerNormalization",
        "RMSNormalization", "GroupNormalization", "InstanceNormalization"};
    return std::ranges::none_of(kApproximated,
                                [&](std::string_view name) { return op.find(name) != op.npos; });
  }

  void lower(const Node& node) {
    const NodeView view = rewriter_.old_view(node);
    if (!is_exact(node) || !inputs_coded(node) || !node.bodies.empty()) return;
    std::vector<std::optional<CodedValue>> inputs;
    for (const ValueId input : node.inputs) {
      if (input != kNone && !coded_[input] && is_plain_input(input))
        coded_[input] = coded_integer(builder(), rewriter_.at(input));
      inputs.push_back(input == kNone ? std::nullopt : coded_[input]);
    }
    builder().set_scope(node.scope);
    LoweringSite site(view, builder(), options_, std::move(inputs));
    const std::size_t inputs_before = builder().graph().inputs.size();
    try {
      const auto outputs = node.op->lower(site);
      if (!outputs) return;
      for (std::size_t i = 0; i < outputs->size(); ++i) coded_[node.outputs[i]] = (*outputs)[i];
    } catch (const Error&) {
      // It has no integer form here and stays real. What stood for its parts goes.
      builder().graph().inputs.resize(inputs_before);
    }
  }

  // A value as the network's own nodes read it: its codes where it is coded, else its reals.
  ValueId as_read(ValueId value) {
    if (value == kNone || rewriter_.at(value) != kNone) return rewriter_.at(value);
    const auto& coded = coded_[value];
    const TensorType& type = graph_.values[value].type;
    if (coded && is_code(type.format) && holds_codes(*coded, type.format)) {
      rewriter_.set(value, coded->integer);
      return coded->integer;
    }
    const Node& producer = graph_.nodes[graph_.values[value].producer];
    copied(producer);
    return rewriter_.at(value);
  }
  bool holds_codes(const CodedValue& coded, const Format& format) {
    return !coded.table && !is_clamped(coded) && is_uniform(coded.scale) &&
           coded.scale.real(0) == 1 && all_of(coded.offset, [](double v) { return v == 0; }) &&
           builder().type(coded.integer).format == format;
  }
  std::vector<ValueId> copied(const Node& node) {
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) inputs.push_back(as_read(input));
    return rewriter_.copy(node, std::move(inputs));
  }

  Rewriter rewriter_;
  const Graph& graph_;
  std::vector<std::vector<NodeId>> readers_;
  LoweringOptions options_;
  std::vector<std::optional<CodedValue>> coded_;  // by old value
};

// Constants of codes that only reals read are reals.
void fold_dequantized(Module& module) {
  Graph& graph = module.main();
  for (Node& node : graph.nodes) {
    const bool is_constant = std::ranges::all_of(node.inputs, [&](ValueId input) {
      return input == kNone || graph.values[input].constant != kNone;
    });
    if (node.op->name() != "Dequantize" || !is_constant) continue;
    std::vector<Tensor> inputs;
    for (const ValueId input : node.inputs)
      inputs.push_back(input == kNone ? Tensor() : *constant_of(module, graph, input));
    Value& value = graph.values[node.outputs[0]];
    value.constant = module.add_constant(evaluate_node(module, graph, node, inputs)[0], value.name);
    value.producer = kNone;
    node.outputs.clear();
  }
  remove_unused(module);
}

}  // namespace

void lower_codes(Module& network) {
  if (!network.states.empty() || network.graphs.size() != 1) return;
  fold_constants(network);
  network = CodeLowering(network).run();
  remove_unused(network);
  fold_dequantized(network);
  merge_common_subexpressions(network);
  sink_transposes(network);
  remove_unused(network);
}

}  // namespace tandem
