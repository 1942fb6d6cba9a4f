#include "tandem/runtime/host_network.h"

#include <algorithm>
#include <map>
#include <set>

#include "tandem/graph/bodies.h"
#include "tandem/graph/operator.h"
#include "tandem/runtime/real_nodes.h"
#include "tandem/transform/constant_fold.h"
#include "tandem/transform/expand.h"
#include "tandem/transform/fold_batch_norm.h"
#include "tandem/transform/recognize.h"

namespace tandem {
namespace {

// Movements whose meaning does not depend on the order of the axes in memory.
bool moves_in_any_layout(std::string_view op) {
  return op == "Concat" || op == "Split" || op == "Slice" || op == "Pad" || op == "Identity";
}

bool is_pool(std::string_view op) {
  return op == "MaxPool" || op == "AveragePool" || op == "GlobalAveragePool" ||
         op == "GlobalMaxPool";
}

// Copies "main" into a new module, value by value, in the layouts that its nodes like.
class LayoutChooser {
 public:
  explicit LayoutChooser(const Module& module)
      : old_(module), graph_(module.main()), values_(graph_.values.size(), kNone) {
    network_.module.symbols = module.symbols;
    network_.module.metadata = module.metadata;
    network_.module.constants = module.constants;
    network_.module.states = module.states;
    id_ = Builder::add_graph(network_.module, "main");
  }

  HostNetwork run() {
    Builder builder(network_.module, id_);
    builder_ = &builder;
    for (const ValueId input : graph_.inputs)
      values_[input] = builder.input(graph_.values[input].name, graph_.values[input].type);
    for (ValueId id = 0; id < graph_.values.size(); ++id) {
      const Value& value = graph_.values[id];
      if (value.constant != kNone) values_[id] = builder.constant(value.constant);
      if (value.state != kNone) values_[id] = builder.read_state(value.state);
    }
    for (const Node& node : graph_.nodes) add(node);
    Graph& graph = builder.graph();
    for (const ValueId output : graph_.outputs) builder.output(in(Layout::kRowMajor, output));
    for (const StateUpdate& update : graph_.updates)
      graph.updates.push_back({update.state, in(Layout::kRowMajor, update.value)});
    network_.layouts.resize(graph.values.size(), Layout::kRowMajor);
    return std::move(network_);
  }

 private:
  Layout layout(ValueId id) const {
    return id < network_.layouts.size() ? network_.layouts[id] : Layout::kRowMajor;
  }
  void set_layout(ValueId id, Layout layout) {
    if (network_.layouts.size() <= id) network_.layouts.resize(id + 1, Layout::kRowMajor);
    network_.layouts[id] = layout;
  }

  // Both orders are one where the channels or all other positions are single.
  static bool orders_differ(const TensorType& type) {
    if (type.shape.size() < 3 || !type.is_static()) return false;
    const Shape shape = type.static_shape();
    std::int64_t inner = 1;
    for (std::size_t d = 2; d < shape.size(); ++d) inner *= shape[d];
    return shape[1] > 1 && inner > 1;
  }

  // The new value in a layout: itself, or behind an Identity that reorders it.
  ValueId in(Layout wanted, ValueId old_id) {
    if (old_id == kNone) return kNone;
    const ValueId id = values_[old_id];
    if (layout(id) == wanted || builder_->graph().values[id].constant != kNone) return id;
    if (!orders_differ(builder_->type(id))) return id;
    const auto key = std::pair(id, wanted);
    if (const auto known = reordered_.find(key); known != reordered_.end()) return known->second;
    const ValueId result = builder_->add("Identity", {id}, {}, "reorder");
    set_layout(result, wanted);
    reordered_[key] = result;
    return result;
  }

  Layout wanted_layout(const NodeView& node) const {
    if (is_dense_convolution(node)) return Layout::kChannelsLast;
    const std::string_view op = node.node.op->name();
    const bool neutral = is_pool(op) || moves_in_any_layout(op) || lane_call(node);
    if (!neutral || node.node.outputs.empty()) return Layout::kRowMajor;
    const std::size_t rank = node.graph.values[node.node.outputs[0]].type.shape.size();
    for (const ValueId input : node.node.inputs) {
      if (input == kNone || node.graph.values[input].constant != kNone) continue;
      if (layout(values_[input]) == Layout::kChannelsLast &&
          node.graph.values[input].type.shape.size() == rank &&
          orders_differ(node.graph.values[input].type))
        return Layout::kChannelsLast;
    }
    return Layout::kRowMajor;
  }

  void add(const Node& node) {
    const NodeView view{old_, graph_, node};
    const Layout wanted = wanted_layout(view);
    builder_->set_scope(node.scope);
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) inputs.push_back(in(wanted, input));
    const auto outputs = copy_node(*builder_, old_, node, inputs);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      values_[node.outputs[i]] = outputs[i];
      builder_->graph().values[outputs[i]].name = graph_.values[node.outputs[i]].name;
      set_layout(outputs[i], wanted);
    }
  }

  const Module& old_;
  const Graph& graph_;
  HostNetwork network_;
  GraphId id_ = 0;
  Builder* builder_ = nullptr;
  std::vector<ValueId> values_;  // of the new graph, by old value
  std::map<std::pair<ValueId, Layout>, ValueId> reordered_;
};

bool computes_reals(const Module& module) {
  return std::any_of(module.main().nodes.begin(), module.main().nodes.end(),
                     [](const Node& node) { return node.op->traits().domain == Domain::kReal; });
}

}  // namespace

HostNetwork prepare_for_host(Module module) {
  if (!computes_reals(module)) {
    const std::size_t count = module.main().values.size();
    return {std::move(module), std::vector<Layout>(count, Layout::kRowMajor)};
  }
  fold_constants(module);
  fold_batch_norm(module);
  recognize_gelu(module);
  expand_composites(module, [](const NodeView& node) {
    return lane_call(node) || is_row_operator(node) || node.node.op->name() == "Gemm" ||
           is_dense_convolution(node);
  });
  fold_constants(module);
  return LayoutChooser(module).run();
}

}  // namespace tandem
