#include "tandem/runtime/host_network.h"

#include <algorithm>
#include <map>
#include <set>

#include "tandem/runtime/real_nodes.h"
#include "tandem/transform/constant_fold.h"
#include "tandem/transform/expand.h"
#include "tandem/transform/floor_rescales.h"
#include "tandem/transform/fold_batch_norm.h"
#include "tandem/transform/lower.h"
#include "tandem/transform/lower_codes.h"
#include "tandem/transform/recognize.h"
#include "tandem/transform/split_rescales.h"
#include "tandem/transform/tabulate_codes.h"
#include "tandem/transform/rewriter.h"

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
    for (const Node& node : graph_.nodes) add(node);
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
    const std::string_view op = node.node.op->name();
    const bool neutral = is_pool(op) || moves_in_any_layout(op) || lane_call(node);
    if (!neutral || node.node.outputs.empty()) return Layout::kRowMajor;
    const std::size_t rank = node.graph.values[node.node.outputs[0]].type.shape.size();
    for (const ValueId input : node.node.inputs) {
      if (input == kNone || node.graph.values[input].constant != kNone) continue;
      if (layout(rewriter_.at(input)) == Layout::kChannelsLast &&
          node.graph.values[input].type.shape.size() == rank &&
          orders_differ(node.graph.values[input].type))
        return Layout::kChannelsLast;
    }
    return Layout::kRowMajor;
  }

  void add(const Node& node) {
    const Layout wanted = wanted_layout(rewriter_.old_view(node));
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) inputs.push_back(in(wanted, input));
    for (const ValueId output : rewriter_.copy(node, std::move(inputs))) set_layout(output, wanted);
  }

  const Graph& graph_;
  Rewriter rewriter_;
  Builder& builder_;
  std::vector<Layout> layouts_;  // by new value
  std::map<std::pair<ValueId, Layout>, ValueId> reordered_;
};

bool computes(const Module& module, Domain domain) {
  return std::any_of(module.main().nodes.begin(), module.main().nodes.end(),
                     [&](const Node& node) { return node.op->traits().domain == domain; });
}

}  // namespace

HostNetwork prepare_for_host(Module module) {
  if (is_quantized(module) && !is_lowered(module)) lower_codes(module);
  if (computes(module, Domain::kInteger)) {
    split_rescales(module);
    tabulate_codes(module);
    floor_rescales(module);
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
           is_dense_convolution(node);
  });
  fold_constants(module);
  return LayoutChooser(module).run();
}

}  // namespace tandem
