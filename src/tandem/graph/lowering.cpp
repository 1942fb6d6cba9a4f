#include "tandem/graph/lowering.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/graph/evaluate.h"

namespace tandem {

const CodedValue& LoweringSite::coded(std::size_t index) const {
  ensure(node.has_input(index), "lowering asked for an absent input");
  if (!inputs[index]) {
    throw Error("input ", index,
                " is a real constant where coded integers belong; quantize it (compress does)");
  }
  return *inputs[index];
}

namespace {

// Codes and reals cross at Dequantize only, so a constant before it stays coded.
bool stays_coded(const Node& node) {
  return node.op->traits().domain == Domain::kBorder && node.op->name() == "Dequantize";
}

class GraphLowering {
 public:
  GraphLowering(Module source, GraphId graph, Builder& target, const LoweringOptions& options)
      : source_(std::move(source)), id_(graph), target_(target), options_(options),
        coded_(source_.graphs[graph].values.size()) {}

  std::vector<CodedValue> run(std::span<const std::optional<CodedValue>> inputs) {
    for (std::size_t i = 0; i < inputs.size(); ++i) coded_[graph().inputs[i]] = inputs[i];
    std::vector<std::string> problems;
    for (NodeId node = 0; node < graph().nodes.size(); ++node) {
      try {
        lower_node(node);
      } catch (const Error& error) {
        problems.push_back(error.what());
      }
    }
    if (!problems.empty()) {
      std::string text = concat("cannot lower ", problems.size(),
                                problems.size() == 1 ? " node to integers:" : " nodes to integers:");
      for (const std::string& problem : problems) text += "\n  " + problem;
      throw Error(text);
    }
    std::vector<CodedValue> outputs;
    for (const ValueId output : graph().outputs) {
      if (!coded_[output]) {
        throw Error("output '", graph().values[output].name,
                    "' does not depend on coded integers; quantize the network first (compress)");
      }
      outputs.push_back(*coded_[output]);
    }
    return outputs;
  }

 private:
  Graph& graph() { return source_.graphs[id_]; }

  void lower_node(NodeId id) {
    const Node node = graph().nodes[id];
    bool constant = true, known = true;
    for (const ValueId input : node.inputs) {
      if (input == kNone || constant_of(source_, graph(), input) != nullptr) continue;
      constant = false;
      known &= coded_[input].has_value();
    }
    if (constant && !stays_coded(node)) return fold(id);
    if (!known) {
      if (failed_upstream(node)) return;  // the cause is already reported
    }
    const NodeView view{source_, graph(), node};
    std::vector<std::optional<CodedValue>> inputs;
    for (const ValueId input : node.inputs)
      inputs.push_back(input == kNone ? std::nullopt : coded_[input]);
    target_.set_scope(node.scope);
    LoweringSite site(view, target_, options_, std::move(inputs));
    const std::string where = concat(node.op->name(), " '", node.name, "'");
    try {
      auto outputs = node.op->lower(site);
      if (!outputs) {
        throw Error("has no integer form here; replace it or keep it outside of the network");
      }
      ensure(outputs->size() == node.outputs.size(), concat(where, " lowered to other outputs"));
      for (std::size_t i = 0; i < outputs->size(); ++i)
        coded_[node.outputs[i]] = std::move((*outputs)[i]);
    } catch (const Error& error) {
      throw error.at(where);
    }
  }

  bool failed_upstream(const Node& node) {
    return std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) {
      return v != kNone && !coded_[v] && constant_of(source_, graph(), v) == nullptr &&
             graph().values[v].producer != kNone;
    });
  }

  void fold(NodeId id) {
    const Node node = graph().nodes[id];
    std::vector<Tensor> arguments;
    for (const ValueId input : node.inputs)
      arguments.push_back(input == kNone ? Tensor() : *constant_of(source_, graph(), input));
    const auto outputs = evaluate_node(source_, graph(), node, arguments);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      Value& value = graph().values[node.outputs[i]];
      value.constant = source_.constants.size();
      source_.constants.push_back({value.name, outputs[i]});
    }
  }

  Module source_;  // a copy: folded values become constants in it
  GraphId id_;
  Builder& target_;
  const LoweringOptions& options_;
  std::vector<std::optional<CodedValue>> coded_;
};

}  // namespace

std::vector<CodedValue> lower_graph(const Module& source, GraphId graph, Builder& target,
                                    const LoweringOptions& options,
                                    std::span<const std::optional<CodedValue>> inputs) {
  return GraphLowering(source, graph, target, options).run(inputs);
}

}  // namespace tandem
