#include "tandem/runtime/host_network.h"

#include <algorithm>
#include <map>
#include <set>

#include "tandem/base/error.h"
#include "tandem/graph/evaluate.h"
#include "tandem/plan/movement_map.h"
#include "tandem/runtime/decode_steps.h"
#include "tandem/runtime/host_plan.h"
#include "tandem/runtime/program.h"
#include "tandem/runtime/real_nodes.h"
#include "tandem/transform/constant_fold.h"
#include "tandem/transform/expand.h"
#include "tandem/transform/floor_rescales.h"
#include "tandem/transform/fold_batch_norm.h"
#include "tandem/transform/lower.h"
#include "tandem/transform/lower_codes.h"
#include "tandem/transform/recognize.h"
#include "tandem/transform/rewriter.h"
#include "tandem/transform/sink_zeros.h"
#include "tandem/transform/split_rescales.h"
#include "tandem/transform/tabulate_codes.h"

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
      : graph_(module.main()), rewriter_(module), builder_(rewriter_.builder()) {}

  HostNetwork run() {
    readers_ = consumers(graph_);
    for (NodeId id = 0; id < graph_.nodes.size(); ++id) {
      if (written_.contains(id)) continue;
      if (const auto shuffle = shuffle_from(id)) {
        add_shuffle(*shuffle);
      } else if (graph_.nodes[id].op->name() == "Transpose") {
        add_transposition(graph_.nodes[id]);
      } else {
        add(graph_.nodes[id]);
      }
    }
    Module module = rewriter_.finish([this](ValueId id) { return in(Layout::kRowMajor, id); });
    layouts_.resize(module.main().values.size(), Layout::kRowMajor);
    return {std::move(module), std::move(layouts_)};
  }

 private:
  Layout layout(ValueId id) const {
    return id < layouts_.size() ? layouts_[id] : Layout::kRowMajor;
  }
  void set_layout(ValueId id, Layout layout) {
    if (layouts_.size() <= id) layouts_.resize(id + 1, Layout::kRowMajor);
    layouts_[id] = layout;
  }

  static bool orders_differ(const TensorType& type) {
    return type.is_static() && !has_one_order(type.static_shape());
  }

  // The new value in a layout: itself, or behind an Identity that reorders it.
  ValueId in(Layout wanted, ValueId old_id) {
    if (old_id == kNone) return kNone;
    const ValueId id = rewriter_.at(old_id);
    if (layout(id) == wanted || builder_.graph().values[id].constant != kNone) return id;
    if (!orders_differ(builder_.type(id))) return id;
    const auto key = std::pair(id, wanted);
    if (const auto known = reordered_.find(key); known != reordered_.end()) return known->second;
    const ValueId result = builder_.add("Identity", {id}, {}, "reorder");
    set_layout(result, wanted);
    reordered_[key] = result;
    return result;
  }

  Layout wanted_layout(const NodeView& node) const {
    if (is_dense_convolution(node)) return Layout::kChannelsLast;
    if (is_global_average(node)) return layout(rewriter_.at(node.node.inputs[0]));
    const std::string_view op = node.node.op->name();
    const bool neutral = is_pool(op) || moves_in_any_layout(op) || lane_call(node);
    if (!neutral || node.node.outputs.empty()) return Layout::kRowMajor;
    // As the first input whose elements lie in another order then; where all have one order, as
    // any that is called channels last, so that kernels see one image.
    Layout wanted = Layout::kRowMajor;
    const std::size_t rank = node.graph.values[node.node.outputs[0]].type.shape.size();
    bool differs = false;
    for (const ValueId input : node.node.inputs) {
      if (input == kNone || node.graph.values[input].constant != kNone) continue;
      const TensorType& type = node.graph.values[input].type;
      const bool is_image =
          layout(rewriter_.at(input)) == Layout::kChannelsLast && type.shape.size() == rank;
      if (is_image && orders_differ(type)) return Layout::kChannelsLast;
      if (is_image) wanted = Layout::kChannelsLast;
      differs = differs || orders_differ(type);
    }
    return differs ? Layout::kRowMajor : wanted;
  }

  void add(const Node& node) {
    const Layout wanted = wanted_layout(rewriter_.old_view(node));
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) inputs.push_back(in(wanted, input));
    for (const ValueId output : rewriter_.copy(node, std::move(inputs))) set_layout(output, wanted);
  }

  // A Transpose reads either order; its result lies in the one in which nothing has to move, if
  // there is one.
  void add_transposition(const Node& node) {
    const ValueId x = rewriter_.at(node.inputs[0]);
    const ValueId y = rewriter_.copy(node, {x}).front();
    const NodeView view{builder_.module(), builder_.graph(), builder_.graph().nodes.back()};
    if (!builder_.type(y).is_static()) return;
    const Shape to = builder_.shape(y);
    const auto from_strides = strides_of(builder_.shape(x), layout(x));
    const auto axes = permutation_of(view);
    const bool is_image =
        to.size() >= 4 || std::ranges::any_of(readers_[node.outputs[0]], [&](NodeId reader) {
          return is_dense_convolution(rewriter_.old_view(graph_.nodes[reader]));
        });
    for (const Layout wanted : {Layout::kChannelsLast, Layout::kRowMajor}) {
      if (wanted == Layout::kChannelsLast && !is_image) continue;
      const auto strides = strides_of(to, wanted);
      bool same = true;
      for (std::size_t d = 0; d < to.size(); ++d)
        same = same && (to[d] == 1 || strides[d] == from_strides[axes[d]]);
      if (same) set_layout(y, wanted);
    }
  }

  // Channels that are seen as [groups, channels of a group], transposed and flattened again.
  struct Shuffle {
    NodeId last;
    ValueId x;  // images that lie channels last
    std::int64_t groups, channels;
  };

  std::optional<NodeId> only_reader(NodeId id, std::string_view op) const {
    const ValueId result = graph_.nodes[id].outputs[0];
    const bool is_end = std::ranges::find(graph_.outputs, result) != graph_.outputs.end();
    if (is_end || readers_[result].size() != 1) return std::nullopt;
    const NodeId reader = readers_[result].front();
    return graph_.nodes[reader].op->name() == op ? std::optional(reader) : std::nullopt;
  }

  std::optional<Shuffle> shuffle_from(NodeId id) const {
    const Node& node = graph_.nodes[id];
    if (node.op->name() != "Reshape") return std::nullopt;
    const ValueId x = rewriter_.at(node.inputs[0]);
    const auto& type = graph_.values[node.inputs[0]].type;
    const auto& split = graph_.values[node.outputs[0]].type;
    if (layout(x) != Layout::kChannelsLast || type.shape.size() != 4 || split.shape.size() != 5 ||
        !type.is_static())
      return std::nullopt;
    const bool splits_channels = split.shape[0] == type.shape[0] &&
                                 split.shape[3] == type.shape[2] && split.shape[4] == type.shape[3];
    const auto turn = only_reader(id, "Transpose");
    const auto last = turn ? only_reader(*turn, "Reshape") : std::nullopt;
    if (!splits_channels || !last) return std::nullopt;
    const Node& turned = graph_.nodes[*turn];
    if (permutation_of(rewriter_.old_view(turned)) != std::vector<std::size_t>{0, 2, 1, 3, 4} ||
        graph_.values[graph_.nodes[*last].outputs[0]].type != type)
      return std::nullopt;
    return Shuffle{*last, x, split.shape[1].constant(), split.shape[2].constant()};
  }

  // The same on [N,H,W,C], where only the channels of each position move.
  void add_shuffle(const Shuffle& shuffle) {
    using Axes = std::vector<std::int64_t>;
    using Entries = std::vector<std::string>;
    const Node& last = graph_.nodes[shuffle.last];
    written_.insert({shuffle.last, graph_.values[last.inputs[0]].producer});
    builder_.set_scope(last.scope);
    const auto named = [](std::int64_t extent) { return concat(extent); };
    const ValueId pixels =
        builder_.add("Transpose", {shuffle.x}, {{"perm", Axes{0, 2, 3, 1}}}, "pixels");
    const ValueId groups = builder_.add(
        "Reshape", {pixels},
        {{"shape", Entries{"d0", "d1", "d2", named(shuffle.groups), named(shuffle.channels)}}},
        "groups");
    const ValueId turned =
        builder_.add("Transpose", {groups}, {{"perm", Axes{0, 1, 2, 4, 3}}}, last.name);
    const ValueId flat = builder_.add(
        "Reshape", {turned},
        {{"shape", Entries{"d0", "d1", "d2", named(shuffle.groups * shuffle.channels)}}}, "flat");
    const ValueId result =
        builder_.add("Transpose", {flat}, {{"perm", Axes{0, 3, 1, 2}}}, "images");
    set_layout(result, Layout::kChannelsLast);
    rewriter_.set(last.outputs[0], result);
  }

  const Graph& graph_;
  std::vector<std::vector<NodeId>> readers_;
  std::set<NodeId> written_;  // nodes that stand in the new graph already
  Rewriter rewriter_;
  Builder& builder_;
  std::vector<Layout> layouts_;  // by new value
  std::map<std::pair<ValueId, Layout>, ValueId> reordered_;
};

// Constant codes as the reals that they stand for, but where a product decodes them.
void decode_constants(Module& module) {
  std::set<NodeId> packed;
  for (const auto& [product, right] : decode_products(module))
    packed.insert(right.nodes.begin(), right.nodes.end());
  Graph& graph = module.main();
  for (NodeId id = 0; id < graph.nodes.size(); ++id) {
    Node& node = graph.nodes[id];
    if (node.op->name() != "Dequantize" || packed.contains(id)) continue;
    std::vector<Tensor> inputs;
    bool constant = true;
    for (const ValueId input : node.inputs) {
      const Tensor* tensor = constant_of(module, graph, input);
      constant = constant && (input == kNone || tensor != nullptr);
      inputs.push_back(tensor == nullptr ? Tensor() : *tensor);
    }
    if (!constant) continue;
    const auto results = evaluate_node(module, graph, node, inputs);
    Value& value = graph.values[node.outputs[0]];
    value.constant = module.add_constant(results[0], value.name);
    value.producer = kNone;
    node.outputs.clear();  // remove_unused() drops it
  }
  fold_constants(module);
}

bool computes(const Module& module, Domain domain) {
  return std::any_of(module.main().nodes.begin(), module.main().nodes.end(),
                     [&](const Node& node) { return node.op->traits().domain == domain; });
}

// The outputs of a function of integers for its inputs.
std::vector<Tensor> run_on_kernels(const Module& module, std::span<const Tensor> inputs) {
  const Program program(module, plan_host(module));
  Program::Workspace workspace = program.workspace();
  std::vector<Tensor> outputs;
  std::vector<const std::byte*> from;
  std::vector<std::byte*> to;
  for (const Tensor& input : inputs) from.push_back(input.bytes().data());
  for (const ValueId output : module.main().outputs) {
    const TensorType& type = module.main().values[output].type;
    outputs.emplace_back(type.format, type.static_shape());
    to.push_back(outputs.back().mutable_bytes().data());
  }
  program.run(from, to, workspace);
  return outputs;
}

}  // namespace

HostNetwork prepare_for_host(Module module) {
  if (is_quantized(module) && !is_lowered(module)) lower_codes(module);
  if (computes(module, Domain::kInteger)) {
    split_rescales(module);
    floor_rescales(module);
    tabulate_codes(module, run_on_kernels);
    floor_rescales(module);  // those that only tables read with others before
    sink_zeros(module);
  }
  if (!computes(module, Domain::kReal)) {
    const std::size_t count = module.main().values.size();
    return {std::move(module), std::vector<Layout>(count, Layout::kRowMajor)};
  }
  fold_constants(module);
  fold_batch_norm(module);
  recognize_gelu(module);
  expand_composites(module, [](const NodeView& node) {
    return lane_call(node) || is_row_operator(node) || node.node.op->name() == "Gemm" ||
           is_dense_convolution(node) || is_recurrent_layer(node);
  });
  fold_constants(module);
  decode_constants(module);
  return LayoutChooser(module).run();
}

}  // namespace tandem
