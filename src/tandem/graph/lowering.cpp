#include "tandem/graph/lowering.h"

#include <algorithm>
#include <limits>

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

std::string text_of(const std::vector<LoweringProblem>& problems) {
  std::string text = "cannot lower the network to integers:";
  for (const LoweringProblem& problem : problems)
    text +=
        concat("\n  ", problem.op, " '", problem.node, "': ", problem.reason, "; ", problem.remedy);
  return text;
}

}  // namespace

LoweringError::LoweringError(std::vector<LoweringProblem> problems)
    : Error(text_of(problems)), problems_(std::move(problems)) {}

namespace {

// Codes and reals cross at Dequantize only, so a constant before it stays coded.
bool stays_coded(const Node& node) {
  return node.op->traits().domain == Domain::kBorder && node.op->name() == "Dequantize";
}

class GraphLowering {
 public:
  GraphLowering(Module source, GraphId graph, Builder& target, const LoweringOptions& options)
      : source_(std::move(source)),
        id_(graph),
        target_(target),
        options_(options),
        coded_(source_.graphs[graph].values.size()) {}

  std::vector<CodedValue> run(std::span<const std::optional<CodedValue>> inputs) {
    for (std::size_t i = 0; i < inputs.size(); ++i) coded_[graph().inputs[i]] = inputs[i];
    std::vector<LoweringProblem> problems;
    for (NodeId node = 0; node < graph().nodes.size(); ++node) {
      try {
        lower_node(node);
      } catch (const LoweringError& error) {  // a composite whose body cannot be lowered
        const LoweringProblem& inner = error.problems().front();
        const Node& outer = graph().nodes[node];
        problems.push_back({outer.name, std::string(outer.op->name()),
                            concat("its ", inner.op, ": ", inner.reason), inner.remedy});
        pretend(node);
      } catch (const Error& error) {
        problems.push_back(problem_of(graph().nodes[node], error.what()));
        pretend(node);
      }
    }
    if (!problems.empty()) throw LoweringError(std::move(problems));
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
    bool constant = true;
    for (const ValueId input : node.inputs) {
      if (input == kNone || constant_of(source_, graph(), input) != nullptr) continue;
      constant = false;
    }
    if (constant && !stays_coded(node)) return fold(id);
    const NodeView view{source_, graph(), node};
    std::vector<std::optional<CodedValue>> inputs;
    for (const ValueId input : node.inputs)
      inputs.push_back(input == kNone ? std::nullopt : coded_[input]);
    target_.set_scope(node.scope);
    LoweringSite site(view, target_, options_, std::move(inputs));
    auto outputs = node.op->lower(site);
    if (!outputs)
      throw Error("has no integer form here; replace it or keep it outside of the network");
    ensure(outputs->size() == node.outputs.size(),
           concat(node.op->name(), " lowered to other outputs"));
    for (std::size_t i = 0; i < outputs->size(); ++i)
      coded_[node.outputs[i]] = std::move((*outputs)[i]);
  }

  // Operators write "reason; remedy".
  static LoweringProblem problem_of(const Node& node, const std::string& message) {
    LoweringProblem problem{node.name, std::string(node.op->name()), message,
                            "quantize around it or replace it (tandem compress quantizes)"};
    const auto end = message.find("; ");
    if (end == std::string::npos || message.find('\n') != std::string::npos) return problem;
    problem.reason = message.substr(0, end);
    problem.remedy = message.substr(end + 2);
    return problem;
  }

  static Tensor filled(const Shape& ones, double value) {
    return Tensor::from_reals(Format::parse("f64"), ones, std::vector<double>{value});
  }

  // Gives the results of a node that failed a coded form, so that what follows is judged too. The
  // lowered graph is thrown away.
  void pretend(NodeId id) {
    for (const ValueId output : graph().nodes[id].outputs) {
      const TensorType& type = graph().values[output].type;
      const Shape ones(type.shape.size(), 1);
      CodedValue coded;
      coded.integer = target_.input("unlowered", {type.shape, Format::integer(8, true)});
      coded.scale = filled(ones, 0x1p-7);
      coded.offset = filled(ones, 0);
      const double infinity = std::numeric_limits<double>::infinity();
      coded.low = filled(ones, -infinity);
      coded.high = filled(ones, infinity);
      coded_[output] = coded;
    }
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
