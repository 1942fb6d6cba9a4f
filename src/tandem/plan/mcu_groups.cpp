#include "tandem/plan/mcu_groups.h"

#include <algorithm>
#include <optional>
#include <set>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/ops/window.h"
#include "tandem/plan/movement_map.h"

namespace tandem {

Shape shape_of(const Graph& graph, ValueId value) {
  return graph.values[value].type.static_shape();
}

namespace {

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
    std::vector<ValueId> reads(module.states.size(), kNone);  // the first value that reads each
    for (ValueId v = 0; v < graph.values.size(); ++v) {
      result_.base_of[v] = v;
      if (const StateId state = graph.values[v].state; state != kNone) {
        if (reads[state] == kNone) reads[state] = v;
        result_.base_of[v] = reads[state];
      }
    }
    alias_.resize(graph.nodes.size());
    group_of_.assign(graph.nodes.size(), kNone);
    for (NodeId n = 0; n < graph.nodes.size(); ++n) {
      const Node& node = graph.nodes[n];
      alias_[n] = is_alias(module, graph, node);
      if (alias_[n]) result_.base_of[node.outputs[0]] = result_.base_of[node.inputs[0]];
    }
    find_readers();
  }

  McuGroups run() {
    std::vector<std::vector<NodeId>> groups;
    std::vector<bool> taken(graph_.nodes.size(), false);
    for (NodeId n = 0; n < graph_.nodes.size(); ++n) {
      if (alias_[n] || taken[n]) continue;
      std::vector<NodeId> group{n};
      // A node of two computed operands follows one of them only.
      for (auto next = follower(group); next && !taken[*next]; next = follower(group))
        group.push_back(*next);
      for (const NodeId member : group) {
        taken[member] = true;
        group_of_[member] = groups.size();
      }
      groups.push_back(std::move(group));
    }
    for (std::size_t i = 0; i < groups.size(); ++i) take_operands(groups, i);
    std::erase_if(groups, [](const std::vector<NodeId>& group) { return group.empty(); });
    // A group runs where its last node stood: by then all that it reads is computed.
    std::ranges::sort(groups, {}, [](const std::vector<NodeId>& group) { return group.back(); });
    result_.groups = std::move(groups);
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
    if (!reads_in_place(node, value)) return std::nullopt;
    std::vector<NodeId> extended = group;
    extended.push_back(next);
    if (!is_computable(extended)) return std::nullopt;
    return next;
  }

  // Whether a node reads a value element by element, each at the place of its result.
  bool reads_in_place(const Node& node, ValueId value) const {
    ValueId found = kNone;
    for (const ValueId input : node.inputs) {
      if (result_.base_of[input] != value) continue;
      // The same elements under two shapes would have to be read at two places.
      if (found != kNone && input != found) return false;
      found = input;
    }
    return elements_of(found) == elements_of(node.outputs[0]);
  }

  bool is_computable(const std::vector<NodeId>& group) const {
    const LoopExtents nest = group_nest(module_, graph_, result_.base_of, group);
    const std::size_t first = is_elementwise(graph_.nodes[group.front()]) ? 0 : 1;
    return !nest.empty() && nodes_fit_nest(module_, graph_, result_.base_of, group, first, nest);
  }

  // Computes the other operands of the group's nodes in the group, where that stores less: the end
  // of the group that computes such an operand moves over.
  void take_operands(std::vector<std::vector<NodeId>>& groups, std::size_t index) {
    for (std::size_t i = 0; i < groups[index].size(); ++i) {
      const Node& node = graph_.nodes[groups[index][i]];
      if (!is_elementwise(node)) continue;
      for (const ValueId input : node.inputs) {
        const NodeId producer = graph_.values[result_.base_of[input]].producer;
        if (producer == kNone || group_of_[producer] == index) continue;
        std::vector<NodeId>& giver = groups[group_of_[producer]];
        const std::size_t kept = kept_nodes(giver, node, input);
        if (kept == giver.size()) continue;
        const auto end = giver.begin() + static_cast<std::ptrdiff_t>(kept);
        std::vector<NodeId> extended = groups[index];
        extended.insert(extended.begin() + static_cast<std::ptrdiff_t>(i), end, giver.end());
        if (!is_computable(extended)) continue;
        for (auto moved = end; moved != giver.end(); ++moved) group_of_[*moved] = index;
        i += giver.size() - kept;
        giver.erase(end, giver.end());
        groups[index] = std::move(extended);
      }
    }
  }

  // How many nodes a group keeps if `reader` computes the others itself for its operand: the
  // result of the last one kept, or what the first one reads, takes fewest bytes.
  std::size_t kept_nodes(const std::vector<NodeId>& group, const Node& reader,
                         ValueId operand) const {
    const ValueId base = result_.base_of[operand];
    if (kept_.contains(base) || readers_[base].size() != 1 || !reads_in_place(reader, base))
      return group.size();
    std::size_t best = group.size();
    int least = bytes_of(base);
    for (std::size_t i = group.size(); i-- > 0;) {
      const std::optional<ValueId> source = only_source(graph_.nodes[group[i]]);
      if (!source) break;
      const int bytes = bytes_of(*source);
      // What the first node reads is stored anyway.
      if (bytes > least || (bytes == least && i > 0)) continue;
      best = i;
      least = bytes;
    }
    return best;
  }

  // What an element-wise node is computed from, if that is one value, read element by element.
  std::optional<ValueId> only_source(const Node& node) const {
    if (!is_elementwise(node)) return std::nullopt;
    std::optional<ValueId> source;
    for (const ValueId input : node.inputs) {
      if (constant_of(module_, graph_, input) != nullptr) continue;
      const ValueId base = result_.base_of[input];
      if (source && *source != base) return std::nullopt;
      source = base;
    }
    if (!source || !reads_in_place(node, *source)) return std::nullopt;
    return source;
  }

  int bytes_of(ValueId value) const {
    return storage_bytes(graph_.values[value].type.format.storage());
  }
  std::int64_t elements_of(ValueId value) const { return element_count(shape_of(graph_, value)); }

  const Module& module_;
  const Graph& graph_;
  McuGroups result_;
  std::vector<std::size_t> group_of_;  // by node
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
  for (const State& state : module.states) {
    if (state.lifetime != Lifetime::kStream)
      add(state.name, "state", concat("it lives as long as a ", name(state.lifetime)),
          "make it a state of the stream");
    else if (!state.type.is_static())
      add(state.name, "state", concat("its type ", state.type.to_string(), " has unbound symbols"),
          "bind them (--bind NAME=VALUE)");
    else if (!state.type.format.is_integer())
      add(state.name, "state", concat("it is ", state.type.format.name()),
          "quantize and lower the network first (tandem compress)");
  }
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

bool nodes_fit_nest(const Module& module, const Graph& graph, const std::vector<ValueId>& base_of,
                    std::span<const NodeId> nodes, std::size_t first, const LoopExtents& nest) {
  for (std::size_t i = first; i < nodes.size(); ++i) {
    const Node& node = graph.nodes[nodes[i]];
    const auto in_register = register_inputs(graph, base_of, nodes.first(i), node);
    if (!fits_nest(module, graph, node, in_register, nest)) return false;
  }
  return true;
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
  for (const LoopExtents& nest : candidates)
    if (nodes_fit_nest(module, graph, base_of, nodes, 0, nest)) return nest;
  return {};
}

}  // namespace tandem
