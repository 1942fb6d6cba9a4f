#include "tandem/plan/mcu_groups.h"

#include <algorithm>
#include <set>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/ops/window.h"
#include "tandem/plan/movement_map.h"

namespace tandem {
namespace {

Shape shape_of(const Graph& graph, ValueId value) {
  return graph.values[value].type.static_shape();
}

bool is_elementwise(const Node& node) {
  const Traits traits = node.op->traits();
  return traits.domain == Domain::kInteger && traits.elementwise;
}

// A movement that keeps every element where it is: its result is its input under another shape.
bool is_alias(const Module& module, const Graph& graph, const Node& node) {
  if (node.op->traits().domain != Domain::kMovement || node.outputs.size() != 1) return false;
  const ValueId input = node.inputs[0];
  if (input == kNone || graph.values[input].constant != kNone) return false;
  const auto map = movement_map({module, graph, node}, 0);
  return map && map->is_identity(static_cast<std::size_t>(element_count(shape_of(graph, input))));
}

// Extents before `axis` as one, if there is more than one element.
LoopExtents reduced_nest(const Shape& shape, const std::vector<std::int64_t>& axes) {
  LoopExtents nest;
  bool after_kept = false;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    const bool reduced = std::ranges::find(axes, static_cast<std::int64_t>(d)) != axes.end();
    if (reduced || shape[d] == 1) {
      // An axis of one element splits nothing; a reduced one does.
      after_kept = after_kept && !(reduced && shape[d] > 1);
      continue;
    }
    if (after_kept)
      nest.back() *= shape[d];
    else
      nest.push_back(shape[d]);
    after_kept = true;
  }
  if (nest.empty()) nest.push_back(1);
  return nest;
}

std::vector<LoopExtents> elementwise_nests(const Shape& shape) {
  const std::int64_t total = element_count(shape);
  std::vector<LoopExtents> nests{{total}};
  std::int64_t before = 1;
  for (std::size_t d = 0; d + 1 < shape.size(); ++d) {
    before *= shape[d];
    if (before > 1 && before < total) nests.push_back({before, total / before});
  }
  LoopExtents full;
  for (const std::int64_t extent : shape)
    if (extent > 1) full.push_back(extent);
  // Merged neighbours first: [a, b, c] as [ab, c] and [a, bc] stand above.
  if (full.size() > 2) nests.push_back(full);
  return nests;
}

class Grouper {
 public:
  Grouper(const Module& module, const Graph& graph) : module_(module), graph_(graph) {
    result_.base_of.resize(graph.values.size());
    for (ValueId v = 0; v < graph.values.size(); ++v) result_.base_of[v] = v;
    alias_.resize(graph.nodes.size());
    for (NodeId n = 0; n < graph.nodes.size(); ++n) {
      const Node& node = graph.nodes[n];
      alias_[n] = is_alias(module, graph, node);
      if (alias_[n]) result_.base_of[node.outputs[0]] = result_.base_of[node.inputs[0]];
    }
    find_readers();
  }

  McuGroups run() {
    std::vector<std::vector<NodeId>> by_last(graph_.nodes.size());
    std::vector<bool> taken(graph_.nodes.size(), false);
    for (NodeId n = 0; n < graph_.nodes.size(); ++n) {
      if (alias_[n] || taken[n]) continue;
      std::vector<NodeId> group{n};
      // A node of two computed operands follows one of them only.
      for (auto next = follower(group); next && !taken[*next]; next = follower(group))
        group.push_back(*next);
      for (const NodeId member : group) taken[member] = true;
      // A group runs where its last node stood: by then all that it reads is computed.
      by_last[group.back()] = std::move(group);
    }
    for (std::vector<NodeId>& group : by_last)
      if (!group.empty()) result_.groups.push_back(std::move(group));
    return std::move(result_);
  }

 private:
  void find_readers() {
    readers_.resize(graph_.values.size());
    for (NodeId n = 0; n < graph_.nodes.size(); ++n) {
      if (alias_[n]) continue;
      for (const ValueId input : graph_.nodes[n].inputs)
        if (input != kNone) readers_[result_.base_of[input]].insert(n);
    }
    for (const ValueId output : graph_.outputs) kept_.insert(result_.base_of[output]);
    for (const StateUpdate& update : graph_.updates) kept_.insert(result_.base_of[update.value]);
  }

  std::optional<NodeId> follower(const std::vector<NodeId>& group) const {
    const Node& last = graph_.nodes[group.back()];
    const Node& first = graph_.nodes[group.front()];
    if (first.op->traits().domain != Domain::kInteger) return std::nullopt;
    const ValueId value = result_.base_of[last.outputs[0]];
    if (kept_.contains(value) || readers_[value].size() != 1) return std::nullopt;
    const NodeId next = *readers_[value].begin();
    const Node& node = graph_.nodes[next];
    if (!is_elementwise(node)) return std::nullopt;
    const std::size_t running = running_input(graph_, result_.base_of, last, node);
    if (running == kNone) return std::nullopt;
    std::vector<NodeId> extended = group;
    extended.push_back(next);
    const LoopExtents nest = is_elementwise(first)
                                 ? group_nest(module_, graph_, result_.base_of, extended)
                                 : producer_nest(module_, graph_, first);
    if (nest.empty() || !fits_nest(module_, graph_, node, running, nest)) return std::nullopt;
    return next;
  }

  const Module& module_;
  const Graph& graph_;
  McuGroups result_;
  std::vector<bool> alias_;
  std::vector<std::set<NodeId>> readers_;  // by base value
  std::set<ValueId> kept_;
};

}  // namespace

McuGroups group_nodes(const Module& module, const Graph& graph) {
  return Grouper(module, graph).run();
}

std::vector<Issue> sequential_issues(const Module& module, const Graph& graph) {
  std::vector<Issue> issues;
  const auto add = [&](std::string node, std::string op, std::string reason, std::string remedy) {
    issues.push_back({std::move(node), std::move(op), std::move(reason), std::move(remedy)});
  };
  for (const State& state : module.states)
    add(state.name, "state", "states are not emitted", "unroll the network over its stream");
  for (const ValueId id : graph.inputs) {
    const Value& value = graph.values[id];
    if (!value.type.is_static())
      add(value.name, "input", concat("its type ", value.type.to_string(), " has unbound symbols"),
          "bind them (--bind NAME=VALUE)");
    else if (!value.type.format.is_integer())
      add(value.name, "input", concat("it is ", value.type.format.name()),
          "quantize and lower the network first (tandem compress)");
  }
  for (const Node& node : graph.nodes) {
    const Domain domain = node.op->traits().domain;
    const std::string op(node.op->name());
    if (domain != Domain::kInteger && domain != Domain::kMovement) {
      add(node.name, op, "it is no integer primitive",
          "quantize its inputs and its output so that it is lowered (tandem compress)");
      continue;
    }
    bool is_static = true, is_integer = true;
    for (const ValueId output : node.outputs) {
      const TensorType& type = graph.values[output].type;
      is_static = is_static && type.is_static();
      is_integer = is_integer && type.format.is_integer();
    }
    if (!is_static)
      add(node.name, op, "its shape has unbound symbols", "bind them (--bind NAME=VALUE)");
    else if (!is_integer)
      add(node.name, op, "it moves values that are no coded integers",
          "quantize its input (tandem compress)");
    else if (domain == Domain::kMovement && !movement_map({module, graph, node}, 0))
      add(node.name, op, "which elements it moves depends on data", "make its indices constant");
  }
  return issues;
}

std::size_t running_input(const Graph& graph, const std::vector<ValueId>& base_of,
                          const Node& before, const Node& node) {
  const ValueId value = base_of[before.outputs[0]];
  std::size_t found = kNone;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (base_of[node.inputs[i]] != value) continue;
    // The same elements under two shapes would have to be read at two places.
    if (found != kNone && node.inputs[i] != node.inputs[found]) return kNone;
    if (found == kNone) found = i;
  }
  if (found == kNone || element_count(shape_of(graph, node.inputs[found])) !=
                            element_count(shape_of(graph, node.outputs[0])))
    return kNone;
  return found;
}

LoopExtents producer_nest(const Module& module, const Graph& graph, const Node& node) {
  const std::string_view op = node.op->name();
  Shape output = shape_of(graph, node.outputs[0]);
  if (op == "IntMatMul") {
    const std::int64_t columns = output.back();
    return {element_count(output) / columns, columns};
  }
  if (op == "IntConv" || op == "IntSumPool" || op == "IntMaxPool") return output;
  const NodeView view{module, graph, node};
  const Shape input = shape_of(graph, node.inputs[0]);
  if (op == "IntSum" || op == "IntReduceMax") return reduced_nest(input, view.integers("axes"));
  if (op == "IntArgMax") return reduced_nest(input, {view.integer("axis")});
  return {};
}

LoopExtents group_nest(const Module& module, const Graph& graph,
                       const std::vector<ValueId>& base_of, const std::vector<NodeId>& nodes) {
  const Node& first = graph.nodes[nodes.front()];
  if (!is_elementwise(first)) return producer_nest(module, graph, first);
  std::vector<LoopExtents> candidates = elementwise_nests(shape_of(graph, first.outputs[0]));
  for (const NodeId id : nodes)
    for (LoopExtents& nest : elementwise_nests(shape_of(graph, graph.nodes[id].outputs[0])))
      candidates.push_back(std::move(nest));
  std::ranges::stable_sort(candidates, {}, [](const LoopExtents& nest) { return nest.size(); });
  for (const LoopExtents& nest : candidates) {
    bool fits = true;
    for (std::size_t i = 0; fits && i < nodes.size(); ++i) {
      const Node& node = graph.nodes[nodes[i]];
      const std::size_t running =
          i == 0 ? kNone : running_input(graph, base_of, graph.nodes[nodes[i - 1]], node);
      fits = fits_nest(module, graph, node, running, nest);
    }
    if (fits) return nest;
  }
  return {};
}

}  // namespace tandem
