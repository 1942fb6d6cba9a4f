#include "tandem/transform/recognize.h"

#include <cmath>
#include <numbers>
#include <optional>

#include "tandem/graph/operator.h"
#include "tandem/graph/registry.h"

namespace tandem {
namespace {

// What an Erf or Tanh node belongs to, found from it outwards.
class GeluPattern {
 public:
  GeluPattern(const Module& module, const Graph& graph) : module_(module), graph_(graph) {
    readers_ = consumers(graph);
  }

  struct Match {
    ValueId x = kNone;
    NodeId last = kNone;
    bool by_tanh = false;
  };

  std::optional<Match> at(const Node& node) const {
    const bool by_tanh = node.op->name() == "Tanh";
    if (!by_tanh && node.op->name() != "Erf") return std::nullopt;
    const auto x =
        by_tanh ? cubic(node.inputs[0]) : scaled_by(node.inputs[0], 1 / std::numbers::sqrt2);
    if (!x) return std::nullopt;
    const auto sum = only_reader(node.outputs[0], "Add");
    if (!sum || !other_is(*sum, node.outputs[0], 1)) return std::nullopt;
    auto match = products(graph_.nodes[*sum].outputs[0], *x);
    if (match) match->by_tanh = by_tanh;
    return match;
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

  // x where `value` is sqrt(2 / pi) (x + 0.044715 x^3).
  std::optional<ValueId> cubic(ValueId value) const {
    const auto sum = scaled_by(value, std::numbers::sqrt2 * std::numbers::inv_sqrtpi);
    const Node* node = sum ? producer(*sum) : nullptr;
    if (node == nullptr || node->op->name() != "Add") return std::nullopt;
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
      const ValueId x = node->inputs[i];
      const auto cube = scaled_by(node->inputs[1 - i], 0.044715);
      if (cube && is_cube(*cube, x)) return x;
    }
    return std::nullopt;
  }
  bool is_cube(ValueId value, ValueId x) const {
    const Node* node = producer(value);
    if (node == nullptr) return false;
    if (node->op->name() == "Pow") return node->inputs[0] == x && is(scalar(node->inputs[1]), 3);
    if (node->op->name() != "Mul") return false;
    return (node->inputs[0] == x && is_square(node->inputs[1], x)) ||
           (node->inputs[1] == x && is_square(node->inputs[0], x));
  }
  bool is_square(ValueId value, ValueId x) const {
    const Node* node = producer(value);
    if (node == nullptr) return false;
    if (node->op->name() == "Pow") return node->inputs[0] == x && is(scalar(node->inputs[1]), 2);
    return node->op->name() == "Mul" && node->inputs[0] == x && node->inputs[1] == x;
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
    if (const auto match = pattern.at(node)) matches.push_back(*match);
  for (const auto& match : matches) {
    Node& node = graph.nodes[match.last];
    if (graph.values[match.x].type != graph.values[node.outputs[0]].type) continue;
    node.op = gelu;
    node.inputs = {match.x};
    node.attributes = {{"approximate", std::string(match.by_tanh ? "tanh" : "none")}};
  }
  if (!matches.empty()) remove_unused(module);
}

}  // namespace tandem
