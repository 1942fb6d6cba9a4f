#include "tandem/transform/lower_codes.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/lowering.h"
#include "tandem/ops/coded.h"
#include "tandem/transform/common_subexpressions.h"
#include "tandem/transform/constant_fold.h"
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
      : rewriter_(network), graph_(network.main()), coded_(graph_.values.size()) {}

  Module run() {
    for (const Node& node : graph_.nodes) {
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

  // Operators of which lower() gives what they mean, up to the rounding of reals. It approximates
  // the exponentials of a Softmax.
  static bool is_exact(const Node& node) {
    const std::string_view op = node.op->name();
    return op.find("Softmax") == op.npos && op.find("Attention") == op.npos;
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
