#include "tandem/plan/patches.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/ops/window.h"

namespace tandem {
namespace {

constexpr std::size_t kRowAxis = 1;

bool has_window(const Node& node) {
  const std::string_view op = node.op->name();
  return op == "IntConv" || op == "IntSumPool" || op == "IntMaxPool";
}

Window window_of_node(const Module& module, const Graph& graph, const Node& node) {
  const NodeView view{module, graph, node};
  if (node.op->name() != "IntConv") return window_of(view, view.integers("kernel"));
  const Shape weight = view.input(1).static_shape();
  return window_of(view, {weight.begin() + 1, weight.end() - 1});
}

Rows joined(Rows a, Rows b) { return {std::min(a.begin, b.begin), std::max(a.end, b.end)}; }

// The rows that a window meets, and how many rows of padding lie before and behind them.
struct RowWindow {
  Rows rows;
  std::int64_t pad_begin = 0, pad_end = 0;
};

RowWindow row_window(const Window& window, std::int64_t height, Rows result) {
  const std::int64_t begin = result.begin * window.strides[0] - window.pads_begin[0];
  const std::int64_t end = (result.end - 1) * window.strides[0] - window.pads_begin[0] +
                           window.dilations[0] * (window.kernel[0] - 1) + 1;
  return {{std::clamp<std::int64_t>(begin, 0, height), std::clamp<std::int64_t>(end, 0, height)},
          std::max<std::int64_t>(-begin, 0),
          std::max<std::int64_t>(end - height, 0)};
}

// Whether an operand of an element-wise node is the same for all rows.
bool is_same_in_rows(const Node& node, std::size_t input, const Shape& constant,
                     std::size_t result_rank) {
  const std::string_view op = node.op->name();
  const bool is_table = input == 1 && (op == "Table" || op == "Threshold");
  const std::size_t rank = constant.size() - (is_table ? 1 : 0);
  const std::size_t behind = result_rank - kRowAxis;  // axes from the row axis on
  return rank < behind || constant[rank - behind] == 1;
}

// Whether a group computes rows of its result from rows of what it reads.
bool computes_rows(const Module& module, const Graph& graph, const McuGroups& groups,
                   const std::vector<NodeId>& nodes) {
  const Node& first = graph.nodes[nodes.front()];
  const Shape result = shape_of(graph, first.outputs[0]);
  if (result.size() < 3 || result[0] != 1) return false;
  const bool windowed = has_window(first);
  if (windowed) {
    if (constant_of(module, graph, first.inputs[0]) != nullptr ||
        (first.inputs.size() > 1 && constant_of(module, graph, first.inputs[1]) == nullptr))
      return false;
    // A window that lies in the padding alone has no rows to read.
    const Window window = window_of_node(module, graph, first);
    const std::int64_t reach = window.dilations[0] * (window.kernel[0] - 1) + 1;
    if (window.pads_begin[0] >= reach || window.pads_end[0] >= reach) return false;
  }
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    const Node& node = graph.nodes[nodes[n]];
    if (node.outputs.size() != 1 || shape_of(graph, node.outputs[0]) != result) return false;
    if (n == 0 && windowed) continue;
    const Traits traits = node.op->traits();
    if (traits.domain != Domain::kInteger || !traits.elementwise) return false;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId input = node.inputs[i];
      if (const Tensor* constant = constant_of(module, graph, input)) {
        if (!is_same_in_rows(node, i, constant->shape(), result.size())) return false;
        continue;
      }
      // One value cannot be read at two ranges of rows.
      if (shape_of(graph, input) != result ||
          (windowed && groups.base_of[input] == groups.base_of[first.inputs[0]]))
        return false;
    }
  }
  return true;
}

ValueId result_of(const Graph& graph, const McuGroups& groups, std::size_t group) {
  return groups.base_of[graph.nodes[groups.groups[group].back()].outputs[0]];
}

// What a group reads from memory: values by base, and the shapes under which it reads them.
std::map<ValueId, Shape> operands_of(const Module& module, const Graph& graph,
                                     const McuGroups& groups, std::size_t group) {
  std::map<ValueId, Shape> operands;
  std::vector<ValueId> computed;
  for (const NodeId id : groups.groups[group]) {
    for (const ValueId input : graph.nodes[id].inputs) {
      if (input == kNone || constant_of(module, graph, input) != nullptr) continue;
      const ValueId base = groups.base_of[input];
      if (std::ranges::find(computed, base) == computed.end())
        operands.insert({base, shape_of(graph, input)});
    }
    for (const ValueId output : graph.nodes[id].outputs) computed.push_back(groups.base_of[output]);
  }
  return operands;
}

}  // namespace

bool is_stage(const Module& module, const Graph& graph, const McuGroups& groups, std::size_t first,
              std::size_t last) {
  if (last >= groups.groups.size() || first > last) return false;
  const auto updates_state = [&](ValueId value) {
    return std::ranges::any_of(graph.updates, [&](const StateUpdate& update) {
      return groups.base_of[update.value] == value;
    });
  };
  std::vector<ValueId> inner;
  std::map<ValueId, Shape> shapes;
  for (std::size_t group = first; group <= last; ++group) {
    if (!computes_rows(module, graph, groups, groups.groups[group])) return false;
    if (updates_state(result_of(graph, groups, group))) return false;
    if (group < last) inner.push_back(result_of(graph, groups, group));
    // The rows of a value must be the same for all.
    for (const auto& [base, shape] : operands_of(module, graph, groups, group))
      if (graph.values[base].state != kNone || shapes.insert({base, shape}).first->second != shape)
        return false;
  }
  if (shape_of(graph, result_of(graph, groups, last))[kRowAxis] < 2) return false;
  const auto is_inner = [&](ValueId value) {
    return value != kNone && std::ranges::find(inner, groups.base_of[value]) != inner.end();
  };
  if (std::ranges::any_of(graph.outputs, is_inner)) return false;
  std::vector<bool> in_stage(graph.nodes.size(), false);
  for (std::size_t group = first; group <= last; ++group)
    for (const NodeId node : groups.groups[group]) in_stage[node] = true;
  for (NodeId n = 0; n < graph.nodes.size(); ++n)
    if (!in_stage[n] && std::ranges::any_of(graph.nodes[n].inputs, is_inner)) return false;
  return true;
}

bool reads_from_outside(const Module& module, const Graph& graph, const McuGroups& groups,
                        const PatchStage& stage, std::size_t group) {
  const auto operands = operands_of(module, graph, groups, group);
  return std::ranges::any_of(operands, [&](const auto& operand) {
    for (std::size_t other = stage.first; other <= stage.last; ++other)
      if (result_of(graph, groups, other) == operand.first) return false;
    return true;
  });
}

Rows rows_read(const Module& module, const Graph& graph, const McuGroups& groups, std::size_t group,
               ValueId base, Rows result) {
  const Node& first = graph.nodes[groups.groups[group].front()];
  if (!has_window(first) || groups.base_of[first.inputs[0]] != base) return result;
  return row_window(window_of_node(module, graph, first),
                    shape_of(graph, first.inputs[0])[kRowAxis], result)
      .rows;
}

Rows PatchRows::kept(ValueId value) const {
  const auto all = held.find(value), own = computed.find(value);
  if (all == held.end()) return {};
  return {all->second.begin, own == computed.end() ? all->second.end : own->second.begin};
}

std::vector<PatchRows> patch_rows(const Module& module, const Graph& graph, const McuGroups& groups,
                                  const PatchStage& stage) {
  ensure(stage.rows > 0, "patches without rows");
  const ValueId result = result_of(graph, groups, stage.last);
  const std::int64_t height = shape_of(graph, result)[kRowAxis];
  std::vector<PatchRows> patches;
  std::map<ValueId, std::int64_t> done;  // by result of a group: the row behind those it can keep
  for (std::size_t group = stage.first; group <= stage.last; ++group)
    done[result_of(graph, groups, group)] = 0;
  for (std::int64_t begin = 0; begin < height; begin += stage.rows) {
    PatchRows patch;
    patch.held = {{result, {begin, std::min(begin + stage.rows, height)}}};
    for (std::size_t group = stage.last + 1; group-- > stage.first;) {
      const ValueId value = result_of(graph, groups, group);
      const auto held = patch.held.find(value);
      if (held == patch.held.end()) continue;  // nobody needs it
      const Rows rows = {std::max(held->second.begin, done[value]), held->second.end};
      if (stage.keeps_rows) done[value] = std::max(done[value], rows.end);
      if (rows.count() <= 0) continue;
      patch.computed[value] = rows;
      for (const auto& [base, shape] : operands_of(module, graph, groups, group)) {
        const Rows read = rows_read(module, graph, groups, group, base, rows);
        const auto [known, is_new] =
            (done.contains(base) ? patch.held : patch.read).insert({base, read});
        if (!is_new) known->second = joined(known->second, read);
      }
    }
    patches.push_back(std::move(patch));
  }
  return patches;
}

Graph patch_graph(const Module& module, const Graph& graph, const McuGroups& groups,
                  const std::vector<NodeId>& nodes, Rows result) {
  Graph patch = graph;
  const auto cut = [&](ValueId value, Rows rows) {
    patch.values[value].type.shape[kRowAxis] = Dim(rows.count());
    patch.values[groups.base_of[value]].type.shape = patch.values[value].type.shape;
  };
  const Node& first = graph.nodes[nodes.front()];
  const bool windowed = has_window(first);
  if (windowed) {
    const Window window = window_of_node(module, graph, first);
    const RowWindow read = row_window(window, shape_of(graph, first.inputs[0])[kRowAxis], result);
    cut(first.inputs[0], read.rows);
    std::vector<std::int64_t> pads = window.pads_begin;
    pads.insert(pads.end(), window.pads_end.begin(), window.pads_end.end());
    pads[0] = read.pad_begin;
    pads[window.rank()] = read.pad_end;
    patch.nodes[nodes.front()].attributes["pads"] = pads;
  }
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    const Node& node = graph.nodes[nodes[n]];
    cut(node.outputs[0], result);
    if (n == 0 && windowed) continue;
    for (const ValueId input : node.inputs)
      if (constant_of(module, graph, input) == nullptr) cut(input, result);
  }
  return patch;
}

std::map<ValueId, std::int64_t> row_bytes(const Module& module, const Graph& graph,
                                          const McuGroups& groups, const PatchStage& stage) {
  std::map<ValueId, std::int64_t> bytes;
  const auto add = [&](ValueId base, const Shape& shape) {
    bytes[base] = element_count(shape) / shape[kRowAxis] *
                  storage_bytes(graph.values[base].type.format.storage());
  };
  for (std::size_t group = stage.first; group <= stage.last; ++group) {
    for (const auto& [base, shape] : operands_of(module, graph, groups, group)) add(base, shape);
    const ValueId result = result_of(graph, groups, group);
    add(result, shape_of(graph, result));
  }
  return bytes;
}

std::optional<Rows> rows_of(const Step& step) {
  const auto first = step.tile.find("row"), count = step.tile.find("rows");
  if (first == step.tile.end() || count == step.tile.end()) return std::nullopt;
  return Rows{first->second, first->second + count->second};
}

std::int64_t patch_count(const Plan& plan) {
  std::map<std::vector<NodeId>, std::int64_t> patches;
  std::int64_t most = 1;
  for (const Step& step : plan.steps)
    if (rows_of(step) && step.kind == StepKind::kRun) most = std::max(most, ++patches[step.nodes]);
  return most;
}

}  // namespace tandem
