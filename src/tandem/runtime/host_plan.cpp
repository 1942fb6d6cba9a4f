#include "tandem/runtime/host_plan.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/operator.h"
#include "tandem/ops/integer.h"
#include "tandem/plan/lifetime_planner.h"
#include "tandem/plan/mcu_groups.h"
#include "tandem/plan/movement_map.h"
#include "tandem/runtime/code_groups.h"
#include "tandem/runtime/decode_steps.h"
#include "tandem/runtime/real_nodes.h"
#include "tandem/transform/data_sizes.h"

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
    for (ValueId value = 0; value < graph_.values.size(); ++value)
      if (layout(value) == Layout::kChannelsLast) plan_.channels_last.push_back(value);
    home_.assign(graph_.values.size(), kNone);
    readers_.resize(graph_.values.size());
    for (NodeId n = 0; n < graph_.nodes.size(); ++n)
      for (const ValueId input : graph_.nodes[n].inputs)
        if (input != kNone) readers_[input].push_back(n);
    is_lowered_ = std::all_of(graph_.nodes.begin(), graph_.nodes.end(), [](const Node& node) {
      const Domain domain = node.op->traits().domain;
      return domain == Domain::kInteger || domain == Domain::kMovement;
    });
    for (NodeId n = 0; n < graph_.nodes.size(); ++n) is_alias_.push_back(keeps_places(n));
    ends_.insert(graph_.outputs.begin(), graph_.outputs.end());
    for (const StateUpdate& update : graph_.updates) ends_.insert(update.value);
    if (!options_.keep_values) decode_products_ = decode_products(module);
    for (const auto& [product, right] : decode_products_)
      is_packed_.insert(right.nodes.begin(), right.nodes.end());
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

  Layout layout(ValueId value) const {
    return options_.layouts.empty() ? Layout::kRowMajor : options_.layouts[value];
  }

  Shape shape(ValueId value) const { return graph_.values[value].type.static_shape(); }

  bool keeps_places(NodeId id) const {
    const Node& node = graph_.nodes[id];
    if (node.op->traits().domain != Domain::kMovement || node.outputs.size() != 1) return false;
    const ValueId input = node.inputs[0];
    if (input == kNone || graph_.values[input].constant != kNone) return false;
    if (!is_lowered_) return keeps_real_places(node);
    const Shape result = shape(node.outputs[0]);
    const std::int64_t size = element_count(result);
    if (size == 0 || size != element_count(shape(input))) return false;
    const auto boxes = movement_boxes(view(id), 0, 1);
    if (!boxes || boxes->size() != 1) return false;
    const MovementBox& box = boxes->front();
    const auto strides = row_major_strides(result);
    bool same = box.input == 0 && box.base == 0;
    for (std::size_t d = 0; d < result.size(); ++d)
      same = same && (result[d] == 1 || box.strides[d] == strides[d]);
    return same;
  }

  bool keeps_real_places(const Node& node) const {
    const std::string_view op = node.op->name();
    const ValueId x = node.inputs[0], y = node.outputs[0];
    if (op == "Reshape" || op == "Identity")
      return layout(x) == layout(y) || (has_one_order(shape(x)) && has_one_order(shape(y)));
    if (op != "Transpose") return false;
    // The same bytes in another layout.
    const Shape from = shape(x), to = shape(y);
    const auto axes = permutation_of({module_, graph_, node});
    const auto in = strides_of(from, layout(x)), out = strides_of(to, layout(y));
    for (std::size_t d = 0; d < axes.size(); ++d)
      if (to[d] > 1 && out[d] != in[axes[d]]) return false;
    return true;
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
    if (options_.fuse) {
      for (const CodeGroup& group : code_groups(module_, ends_, readers_)) {
        for (const NodeId node : group.nodes) taken[node] = true;
        by_last[group.nodes.back()] = group.nodes;
        code_groups_[group.nodes.front()] = group;
      }
    }
    for (NodeId id = 0; id < graph_.nodes.size(); ++id) {
      if (taken[id]) continue;
      std::vector<NodeId> nodes{id};
      const Domain domain = graph_.nodes[id].op->traits().domain;
      if (domain == Domain::kReal && !is_packed_.contains(id)) add_real_followers(nodes, taken);
      if (domain == Domain::kInteger)
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

  // Whether a value exists before the step of `node` would run.
  bool is_computed_before(ValueId value, NodeId node) const {
    const NodeId producer = graph_.values[value].producer;
    return producer == kNone || producer < node;
  }

  // What a dense call or lanes can do to their result before it is stored.
  void add_real_followers(std::vector<NodeId>& nodes, const std::vector<bool>& taken) const {
    if (!options_.fuse) return;
    const NodeView head = view(nodes[0]);
    const bool dense =
        is_dense_convolution(head) || is_dense_product(head) || decode_products_.contains(nodes[0]);
    if (dense) return add_dense_followers(nodes, taken);
    if (!lane_call(head)) return;
    std::size_t operands = lane_call(head)->operands.size();
    constexpr std::size_t kMostOperands = 12;
    while (true) {
      const ValueId value = graph_.nodes[nodes.back()].outputs[0];
      if (is_kept(value) || readers_[value].size() != 1) return;
      const NodeId next = readers_[value].front();
      const auto lanes = lane_call(view(next));
      if (taken[next] || !lanes || operands + lanes->operands.size() > kMostOperands) return;
      const ValueId result = graph_.nodes[next].outputs[0];
      if (graph_.values[result].type != graph_.values[value].type ||
          layout(result) != layout(value))
        return;
      operands += lanes->operands.size();
      nodes.push_back(next);
    }
  }

  void add_dense_followers(std::vector<NodeId>& nodes, const std::vector<bool>& taken) const {
    bool adds = false;
    while (true) {
      const ValueId value = graph_.nodes[nodes.back()].outputs[0];
      if (is_kept(value)) return;
      if (const auto product = swish_behind(value)) {
        nodes.insert(nodes.end(), product->begin(), product->end());
        return;
      }
      if (readers_[value].size() != 1) return;
      const NodeId next = readers_[value].front();
      if (taken[next]) return;
      const Node& node = graph_.nodes[next];
      const ValueId result = node.outputs[0];
      if (graph_.values[result].type != graph_.values[value].type ||
          layout(result) != layout(value))
        return;
      if (activation_of(view(next))) {
        nodes.push_back(next);
        return;
      }
      if (adds || node.op->name() != "Add" || !is_f32(view(next))) return;
      const ValueId addend = node.inputs[node.inputs[0] == value ? 1 : 0];
      if (addend == value || !fits_epilogue(addend, value, view(nodes[0]))) return;
      adds = true;
      nodes.push_back(next);
    }
  }

  // A value of the same shape and order, or the bias of a product by a constant.
  bool fits_epilogue(ValueId addend, ValueId value, const NodeView& head) const {
    const TensorType& type = graph_.values[addend].type;
    const bool constant = graph_.values[addend].constant != kNone;
    if (type == graph_.values[value].type && (layout(addend) == layout(value)) && !constant)
      return true;
    const Dim& columns = graph_.values[value].type.shape.back();
    const bool is_product = decode_products_.contains(graph_.values[value].producer) ||
                            (is_dense_product(head) && head.constant(1) != nullptr);
    return constant && is_product && head.node.op->name() == "MatMul" &&
           type.shape == std::vector<Dim>{columns};
  }

  // sigmoid(x) and x * sigmoid(x), where nothing else reads either.
  std::optional<std::vector<NodeId>> swish_behind(ValueId value) const {
    if (readers_[value].size() != 2) return std::nullopt;
    const NodeId sigmoid = readers_[value][0], product = readers_[value][1];
    const Node &first = graph_.nodes[sigmoid], &second = graph_.nodes[product];
    if (first.op->name() != "Sigmoid" || second.op->name() != "Mul" || sigmoid == product)
      return std::nullopt;
    const ValueId gate = first.outputs[0];
    const bool multiplies = (second.inputs[0] == value && second.inputs[1] == gate) ||
                            (second.inputs[1] == value && second.inputs[0] == gate);
    if (!multiplies || is_kept(gate) || readers_[gate].size() != 1) return std::nullopt;
    return std::vector<NodeId>{sigmoid, product};
  }

  std::string real_form(NodeId id) const {
    const NodeView node = view(id);
    if (node.node.inputs.empty()) return "definition";
    // Kernels for images want their channels last.
    const auto is_image = [&](ValueId value) { return layout(value) == Layout::kChannelsLast; };
    if (is_dense_convolution(node) && is_image(node.node.outputs[0])) return "dense_convolution";
    if (is_dense_product(node)) return "dense_product";
    if (lane_call(node)) return "real_lanes";
    const std::string_view op = node.node.op->name();
    if (is_global_average(node) && is_image(node.node.inputs[0])) return "real_pool";
    if (is_row_operator(node)) return "real_rows";
    if (is_recurrent_layer(node)) return "recurrent";
    if (is_packed_ensemble(node)) return "trees";
    if (is_arg_extreme(node)) return "arg_extreme";
    const bool pools = op == "MaxPool" || op == "AveragePool" || op.starts_with("Global");
    if (pools && is_f32(node) && node.node.outputs.size() == 1 && node.input(0).shape.size() >= 3 &&
        is_image(node.node.inputs[0]) &&
        (op.starts_with("Global") || is_image(node.node.outputs[0])))
      return "real_pool";
    return "definition";
  }
  Step make_step(const std::vector<NodeId>& nodes) const {
    Step step;
    step.nodes = nodes;
    step.unit = "cpu";
    if (const auto group = code_groups_.find(nodes[0]); group != code_groups_.end()) {
      step.form = group->second.form;
      return step;
    }
    if (is_packed_.contains(nodes[0])) {
      step.form = "packed";
      return step;
    }
    if (const auto product = decode_products_.find(nodes[0]); product != decode_products_.end()) {
      step.form = "decode_product";
      step.tile["weight_bits"] = product->second.decoder.bits;
      step.tile["group"] = product->second.group;
      return step;
    }
    const Node& first = graph_.nodes[nodes[0]];
    const Domain domain = first.op->traits().domain;
    if (domain == Domain::kMovement) {
      const bool shares =
          !options_.keep_values && is_alias_[nodes[0]] && !is_output(first.outputs[0]);
      step.form = shares ? "alias" : "movement";
      return step;
    }
    if (domain != Domain::kInteger) {
      step.form = real_form(nodes[0]);
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
    find_last_reads();
    for (std::size_t at = 0; at < plan_.steps.size(); ++at) {
      Step& step = plan_.steps[at];
      const Node& first = graph_.nodes[step.nodes[0]];
      if (step.form == "packed") continue;
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
      std::size_t buffer = buffer_of_sum(at);
      if (buffer == kNone) buffer = buffer_of_lanes(at);
      if (buffer != kNone) {
        home_[graph_.nodes[step.nodes.back()].outputs[0]] = buffer;
        plan_.buffers[buffer].last_step = at;
        step.writes.push_back(buffer);
        continue;
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

  // The last step that reads what lies at a value's place, aliases included; past the end for
  // what is kept.
  void find_last_reads() {
    std::vector<ValueId> place(graph_.values.size());
    std::iota(place.begin(), place.end(), ValueId{0});
    std::vector<std::size_t> last(graph_.values.size(), 0);
    for (std::size_t at = 0; at < plan_.steps.size(); ++at) {
      const Step& step = plan_.steps[at];
      const Node& first = graph_.nodes[step.nodes[0]];
      if (step.form == "alias") place[first.outputs[0]] = place[first.inputs[0]];
      for (const NodeId id : step.nodes)
        for (const ValueId input : graph_.nodes[id].inputs)
          if (input != kNone) last[place[input]] = at;
    }
    for (const ValueId end : ends_) last[place[end]] = plan_.steps.size();
    last_reads_.resize(place.size());
    for (ValueId value = 0; value < place.size(); ++value) last_reads_[value] = last[place[value]];
  }

  // A dense step that adds a value which nobody reads afterwards writes its sum there: kNone for
  // all other steps.
  std::size_t buffer_of_sum(std::size_t at) const {
    const Step& step = plan_.steps[at];
    if (options_.keep_values || !(step.form.starts_with("dense") || step.form == "decode_product"))
      return kNone;
    const Followers followers = followers_of(module_, graph_, step.nodes);
    const ValueId addend = followers.addend;
    if (addend == kNone || home_[addend] == kNone || is_output(followers.result) ||
        last_reads_[addend] != at || bytes_of(addend) != bytes_of(followers.result) ||
        plan_.buffers[home_[addend]].role != BufferRole::kValue)
      return kNone;
    // What is multiplied must not be overwritten.
    for (const ValueId input : graph_.nodes[step.nodes[0]].inputs)
      if (input != kNone && home_[input] == home_[addend]) return kNone;
    return home_[addend];
  }

  // Element-wise steps write where an operand of their first node lies that nobody reads
  // afterwards: kNone for all other steps.
  std::size_t buffer_of_lanes(std::size_t at) const {
    const Step& step = plan_.steps[at];
    const ValueId result = graph_.nodes[step.nodes.back()].outputs[0];
    if (options_.keep_values || step.form != "real_lanes" || is_output(result)) return kNone;
    std::vector<ValueId> later;  // what is read once the result is being written
    for (std::size_t i = 1; i < step.nodes.size(); ++i)
      for (const ValueId input : graph_.nodes[step.nodes[i]].inputs)
        if (input != kNone) later.push_back(input);
    const auto lies_with = [&](ValueId value, ValueId other) {
      return other != value && home_[other] != kNone && home_[other] == home_[value];
    };
    const auto& operands = graph_.nodes[step.nodes[0]].inputs;
    for (const ValueId value : operands) {
      if (value == kNone || home_[value] == kNone || last_reads_[value] != at ||
          plan_.buffers[home_[value]].role != BufferRole::kValue ||
          graph_.values[value].type != graph_.values[result].type ||
          layout(value) != layout(result))
        continue;
      const bool is_read_later = std::ranges::any_of(
          later, [&](ValueId other) { return other == value || lies_with(value, other); });
      const bool is_read_otherwise =
          std::ranges::any_of(operands, [&](ValueId other) { return lies_with(value, other); });
      if (!is_read_later && !is_read_otherwise) return home_[value];
    }
    return kNone;
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
  bool is_lowered_ = true;
  Plan plan_;
  std::vector<std::size_t> home_;        // by value: its buffer
  std::vector<std::size_t> last_reads_;  // by value: a step
  std::vector<std::vector<NodeId>> readers_;
  std::map<NodeId, CodeGroup> code_groups_;  // by their first node
  std::map<NodeId, PackedRight> decode_products_;
  std::set<NodeId> is_packed_;  // nodes whose results stay codes
  std::set<ValueId> ends_;      // outputs, and what updates states
  std::vector<bool> is_alias_;  // by node: its result is its input, element for element
};

}  // namespace

std::vector<Issue> check_host(const Module& module) {
  std::vector<Issue> issues;
  const Graph& graph = module.main();
  const auto sizes = data_sizes(module);
  const auto is_unbound = [&](const Dim& dim) {
    return std::ranges::any_of(dim.symbols(), [&](const std::string& symbol) {
      return std::ranges::find(sizes, symbol) == sizes.end();
    });
  };
  const auto add_unbound = [&](const std::string& name, std::string_view op,
                               const TensorType& type) {
    if (std::ranges::any_of(type.shape, is_unbound)) {
      issues.push_back({name, std::string(op),
                        concat("its type ", type.to_string(), " has unbound symbols"),
                        "bind them (--bind NAME=VALUE)"});
    }
  };
  for (const State& state : module.states) {
    if (state.lifetime != Lifetime::kStream) {
      issues.push_back({state.name, "state", concat("it lives as long as a ", name(state.lifetime)),
                        "make it a state of the stream"});
    }
    add_unbound(state.name, "state", state.type);
  }
  for (const ValueId id : graph.inputs)
    add_unbound(graph.values[id].name, "input", graph.values[id].type);
  for (const Node& node : graph.nodes)
    for (const ValueId output : node.outputs)
      add_unbound(node.name, node.op->name(), graph.values[output].type);
  const auto unknown = unknown_operators(module);
  issues.insert(issues.end(), unknown.begin(), unknown.end());
  return issues;
}

Plan plan_host(const Module& module, const HostPlanOptions& options) {
  throw_issues(check_host(module), "cpu");
  ensure(data_sizes(module).empty(), "a plan was asked of a network whose sizes data decide");
  return HostPlanner(module, options).run();
}

}  // namespace tandem
