#include "tandem/runtime/host_plan.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/ops/integer.h"
#include "tandem/plan/lifetime_planner.h"
#include "tandem/plan/mcu_groups.h"
#include "tandem/plan/movement_map.h"

namespace tandem {
namespace {

constexpr std::int64_t kAlignment = 64;  // a cache line

bool fits(IntegerRange range, IntegerRange within) {
  return range.min >= within.min && range.max <= within.max;
}
constexpr IntegerRange kInt16{INT16_MIN, INT16_MAX};
constexpr IntegerRange kInt32{INT32_MIN, INT32_MAX};

class HostPlanner {
 public:
  HostPlanner(const Module& module, const HostPlanOptions& options)
      : module_(module), graph_(module.main()), options_(options) {
    plan_.device = "host";
    home_.assign(graph_.values.size(), kNone);
    readers_.resize(graph_.values.size());
    for (NodeId n = 0; n < graph_.nodes.size(); ++n)
      for (const ValueId input : graph_.nodes[n].inputs)
        if (input != kNone) readers_[input].push_back(n);
    for (NodeId n = 0; n < graph_.nodes.size(); ++n) is_alias_.push_back(keeps_places(n));
    ends_.insert(graph_.outputs.begin(), graph_.outputs.end());
    for (const StateUpdate& update : graph_.updates) ends_.insert(update.value);
  }

  Plan run() {
    make_steps();
    make_buffers();
    place_buffers();
    return std::move(plan_);
  }

 private:
  NodeView view(NodeId id) const { return {module_, graph_, graph_.nodes[id]}; }
  bool is_output(ValueId value) const {
    return std::find(graph_.outputs.begin(), graph_.outputs.end(), value) != graph_.outputs.end();
  }
  bool is_kept(ValueId value) const { return ends_.contains(value); }
  std::int64_t bytes_of(ValueId value) const {
    const TensorType& type = graph_.values[value].type;
    return element_count(type.static_shape()) * storage_bytes(type.format.storage());
  }

  // ---- Steps ----

  bool keeps_places(NodeId id) const {
    const Node& node = graph_.nodes[id];
    if (node.op->traits().domain != Domain::kMovement || node.outputs.size() != 1) return false;
    const ValueId input = node.inputs[0];
    if (input == kNone || graph_.values[input].constant != kNone) return false;
    const auto map = movement_map(view(id), 0);
    const auto size = element_count(graph_.values[input].type.static_shape());
    return map && map->is_identity(static_cast<std::size_t>(size));
  }

  // The node that can run behind `last`: the only reader of its result, element by element.
  std::optional<NodeId> follower(NodeId last) const {
    const ValueId value = graph_.nodes[last].outputs[0];
    if (!options_.fuse || is_kept(value) || readers_[value].size() != 1) return std::nullopt;
    const NodeId next = readers_[value].front();
    if (is_alias_[next]) return next;
    const Node& node = graph_.nodes[next];
    const Traits traits = node.op->traits();
    if (traits.domain != Domain::kInteger || !traits.elementwise) return std::nullopt;
    // An operand that is broadcast has fewer elements than there are results.
    const auto size = [&](ValueId v) {
      return element_count(graph_.values[v].type.static_shape());
    };
    if (size(value) != size(node.outputs[0])) return std::nullopt;
    return next;
  }

  void make_steps() {
    std::vector<std::vector<NodeId>> by_last(graph_.nodes.size());
    std::vector<bool> taken(graph_.nodes.size());
    for (NodeId id = 0; id < graph_.nodes.size(); ++id) {
      if (taken[id]) continue;
      std::vector<NodeId> nodes{id};
      if (graph_.nodes[id].op->traits().domain == Domain::kInteger)
        for (auto next = follower(id); next && !taken[*next]; next = follower(nodes.back()))
          nodes.push_back(*next);
      // Aliases at the end would only rename the result: they are steps of their own.
      while (nodes.size() > 1 && is_alias_[nodes.back()]) nodes.pop_back();
      for (const NodeId node : nodes) taken[node] = true;
      // A step stands where its last node stood: by then all that it reads is computed.
      by_last[nodes.back()] = nodes;
    }
    for (const auto& nodes : by_last)
      if (!nodes.empty()) plan_.steps.push_back(make_step(nodes));
  }

  Step make_step(const std::vector<NodeId>& nodes) const {
    Step step;
    step.nodes = nodes;
    step.unit = "cpu";
    const Node& first = graph_.nodes[nodes[0]];
    if (first.op->traits().domain == Domain::kMovement) {
      const bool shares =
          !options_.keep_values && is_alias_[nodes[0]] && !is_output(first.outputs[0]);
      step.form = shares ? "alias" : "movement";
      return step;
    }
    step.form = form_of(nodes[0]);
    const bool narrow =
        std::all_of(nodes.begin(), nodes.end(), [&](NodeId id) { return fits_32_bits(id); });
    step.tile["lane_bits"] = narrow ? 32 : 64;
    return step;
  }

  // Every operand and result as 32-bit lanes; the addend and shift of a Rescale have lanes of
  // their own.
  bool fits_32_bits(NodeId id) const {
    const NodeView node = view(id);
    if (node.node.op->traits().domain == Domain::kMovement) return true;
    const bool rescales = node.node.op->name() == "Rescale";
    for (std::size_t i = 0; i < node.input_count(); ++i)
      if (!(rescales && i >= 2) && !fits(input_range(node, i), kInt32)) return false;
    return fits(node.format("format").integer_range(), kInt32);
  }

  std::string form_of(NodeId id) const {
    const NodeView node = view(id);
    const std::string_view op = node.node.op->name();
    if (node.node.op->traits().elementwise) return "lanes";
    if (op != "IntMatMul" && op != "IntConv") return "window";
    if (op == "IntConv" && is_depthwise(node)) return "depthwise";
    // pad_value is an integer of x's format, so x's range covers it where x is computed.
    const bool narrow = fits(node.input(0).format.integer_range(), kInt16) &&
                        fits(input_range(node, 1), kInt16) &&
                        fits(node.format("format").integer_range(), kInt32);
    return narrow ? "product16" : "product";
  }
  static bool is_depthwise(const NodeView& node) {
    const Shape w = node.input(1).static_shape();
    return w.back() == 1 && w[0] == node.integer("group") && w[0] > 1 &&
           node.constant(1) != nullptr && node.constant(0) == nullptr;
  }

  // ---- Buffers ----

  void make_buffers() {
    for (const ValueId input : graph_.inputs) home_[input] = add_buffer(input, BufferRole::kInput);
    std::map<StateId, std::size_t> states;
    for (ValueId id = 0; id < graph_.values.size(); ++id) {
      const StateId state = graph_.values[id].state;
      if (state == kNone) continue;
      if (!states.contains(state)) states[state] = add_buffer(id, BufferRole::kState);
      home_[id] = states[state];
    }
    for (std::size_t at = 0; at < plan_.steps.size(); ++at) {
      Step& step = plan_.steps[at];
      const Node& first = graph_.nodes[step.nodes[0]];
      if (step.form == "alias") {
        home_[first.outputs[0]] = home_[first.inputs[0]];
        continue;
      }
      for (const NodeId id : step.nodes) {
        for (const ValueId input : graph_.nodes[id].inputs) {
          if (input == kNone || graph_.values[input].constant != kNone || home_[input] == kNone)
            continue;  // a constant, or the lanes on which the step works
          step.reads.push_back(home_[input]);
          plan_.buffers[home_[input]].last_step = at;
        }
      }
      for (const ValueId result : graph_.nodes[step.nodes.back()].outputs) {
        const bool with_caller = is_output(result) && !options_.keep_values;
        home_[result] = add_buffer(result, with_caller ? BufferRole::kOutput : BufferRole::kValue);
        plan_.buffers[home_[result]].first_step = plan_.buffers[home_[result]].last_step = at;
        step.writes.push_back(home_[result]);
      }
    }
    copy_outputs();
    for (const StateUpdate& update : graph_.updates)
      if (const auto state = states.find(update.state); state != states.end())
        add_copy(update.value, state->second);
  }

  // Outputs that no step wrote at the caller's: inputs, constants, values listed twice.
  void copy_outputs() {
    std::vector<ValueId> written;
    for (const ValueId output : graph_.outputs) {
      const bool in_place = home_[output] != kNone &&
                            plan_.buffers[home_[output]].role == BufferRole::kOutput &&
                            std::find(written.begin(), written.end(), output) == written.end();
      written.push_back(output);
      if (in_place) continue;
      add_copy(output, add_buffer(output, BufferRole::kOutput));
    }
  }

  void add_copy(ValueId value, std::size_t to) {
    if (home_[value] == kNone) home_[value] = add_buffer(value, BufferRole::kTable);
    Step step;
    step.kind = StepKind::kMove;
    step.unit = "cpu";
    step.form = "copy";
    step.reads = {home_[value]};
    plan_.buffers[home_[value]].last_step = plan_.steps.size();
    step.writes = {to};
    plan_.steps.push_back(step);
  }

  std::size_t add_buffer(ValueId value, BufferRole role) {
    Buffer buffer;
    buffer.name = graph_.values[value].name;
    buffer.role = role;
    buffer.value = value;
    buffer.memory = "ram";
    buffer.bytes = bytes_of(value);
    buffer.element_bits = 8 * storage_bytes(graph_.values[value].type.format.storage());
    plan_.buffers.push_back(buffer);
    return plan_.buffers.size() - 1;
  }

  void place_buffers() {
    std::vector<LifetimeBlock> blocks;
    std::vector<std::size_t> indices;
    const std::size_t last = plan_.steps.size();
    for (std::size_t i = 0; i < plan_.buffers.size(); ++i) {
      Buffer& buffer = plan_.buffers[i];
      if (buffer.role != BufferRole::kValue) continue;
      if (options_.keep_values) {
        buffer.first_step = 0;
        buffer.last_step = last;
      }
      blocks.push_back({buffer.bytes, kAlignment, buffer.first_step, buffer.last_step});
      indices.push_back(i);
    }
    const LifetimeLayout layout = plan_lifetimes(blocks);
    for (std::size_t i = 0; i < indices.size(); ++i)
      plan_.buffers[indices[i]].offset = layout.offsets[i];
    plan_.peak_bytes["ram"] = layout.peak_bytes;
    plan_.bound_bytes["ram"] = layout.bound_bytes;
  }

  const Module& module_;
  const Graph& graph_;
  const HostPlanOptions& options_;
  Plan plan_;
  std::vector<std::size_t> home_;  // by value: its buffer
  std::vector<std::vector<NodeId>> readers_;
  std::set<ValueId> ends_;      // outputs, and what updates states
  std::vector<bool> is_alias_;  // by node: its result is its input, element for element
};

}  // namespace

std::vector<Issue> check_host(const Module& module) {
  return sequential_issues(module, module.main());
}

Plan plan_host(const Module& module, const HostPlanOptions& options) {
  throw_issues(check_host(module), "cpu");
  return HostPlanner(module, options).run();
}

}  // namespace tandem
