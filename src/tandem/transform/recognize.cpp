#include "tandem/transform/recognize.h"

#include <cmath>
#include <numbers>
#include <optional>

#include "tandem/graph/operator.h"
#include "tandem/graph/registry.h"

namespace tandem {
namespace {

// What an Erf node belongs to, found from it outwards.
class GeluPattern {
 public:
  GeluPattern(const Module& module, const Graph& graph) : module_(module), graph_(graph) {
    readers_ = consumers(graph);
  }

  struct Match {
    ValueId x = kNone;
    NodeId last = kNone;
  };

  std::optional<Match> at(const Node& erf) const {
    const auto x = scaled_by(erf.inputs[0], 1 / std::numbers::sqrt2);
    if (!x) return std::nullopt;
    const auto sum = only_reader(erf.outputs[0], "Add");
    if (!sum || !other_is(*sum, erf.outputs[0], 1)) return std::nullopt;
    return products(graph_.nodes[*sum].outputs[0], *x);
  }

 private:
  static constexpr double kTolerance = 1e-6;

  std::optional<double> scalar(ValueId value) const {
    const Tensor* constant = constant_of(module_, graph_, value);
    if (constant == nullptr || constant->size() != 1) return std::nullopt;
    return constant->real(0);
  }
  bool is(std::optional<double> value, double wanted) const {
    return value && std::abs(*value - wanted) < kTolerance;
  }
  const Node* producer(ValueId value) const {
    const NodeId id = graph_.values[value].producer;
    return id == kNone ? nullptr : &graph_.nodes[id];
  }

  // x where `value` is x * factor, or x / (1 / factor).
  std::optional<ValueId> scaled_by(ValueId value, double factor) const {
    const Node* node = producer(value);
    if (node == nullptr) return std::nullopt;
    if (node->op->name() == "Div" && is(scalar(node->inputs[1]), 1 / factor))
      return node->inputs[0];
    if (node->op->name() != "Mul") return std::nullopt;
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}})
      if (is(scalar(node->inputs[i]), factor)) return node->inputs[1 - i];
    return std::nullopt;
  }

  std::optional<NodeId> only_reader(ValueId value, std::string_view op) const {
    if (readers_[value].size() != 1) return std::nullopt;
    const NodeId reader = readers_[value].front();
    if (graph_.nodes[reader].op->name() != op) return std::nullopt;
    return reader;
  }
  bool other_is(NodeId node, ValueId one, double wanted) const {
    const auto& inputs = graph_.nodes[node].inputs;
    return is(scalar(inputs[inputs[0] == one ? 1 : 0]), wanted);
  }

  // (sum * x) * 1/2, (sum * 1/2) * x, or sum * (x * 1/2).
  std::optional<Match> products(ValueId sum, ValueId x) const {
    const auto first = only_reader(sum, "Mul");
    if (!first) return std::nullopt;
    const auto other = [&](NodeId node, ValueId one) {
      const auto& inputs = graph_.nodes[node].inputs;
      return inputs[inputs[0] == one ? 1 : 0];
    };
    const ValueId factor = other(*first, sum);
    if (scaled_by(factor, 0.5) == x) return Match{x, *first};
    const bool by_x = factor == x, by_half = is(scalar(factor), 0.5);
    if (!by_x && !by_half) return std::nullopt;
    const ValueId product = graph_.nodes[*first].outputs[0];
    const auto second = only_reader(product, "Mul");
    if (!second) return std::nullopt;
    const ValueId last = other(*second, product);
    const bool complete = by_x ? is(scalar(last), 0.5) : last == x;
    return complete ? std::optional(Match{x, *second}) : std::nullopt;
  }

  const Module& module_;
  const Graph& graph_;
  std::vector<std::vector<NodeId>> readers_;
};

}  // namespace

void recognize_gelu(Module& module) {
  Graph& graph = module.main();
  const Operator* gelu = &operators().find("Gelu");
  std::vector<GeluPattern::Match> matches;
  const GeluPattern pattern(module, graph);
  for (const Node& node : graph.nodes)
    if (node.op->name() == "Erf")
      if (const auto match = pattern.at(node)) matches.push_back(*match);
  for (const auto& match : matches) {
    Node& node = graph.nodes[match.last];
    if (graph.values[match.x].type != graph.values[node.outputs[0]].type) continue;
    node.op = gelu;
    node.inputs = {match.x};
    node.attributes = {{"approximate", std::string("none")}};
  }
  if (!matches.empty()) remove_unused(module);
}

}  // namespace tandem
