#include "tandem/transform/split_rescales.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "tandem/graph/operator.h"
#include "tandem/transform/rewriter.h"

namespace tandem {
namespace {

class SplitRescales {
 public:
  explicit SplitRescales(const Module& module)
      : rewriter_(module), graph_(module.main()), readers_(consumers(graph_)) {
    ends_.insert(graph_.outputs.begin(), graph_.outputs.end());
    for (const StateUpdate& update : graph_.updates) ends_.insert(update.value);
  }

  Module run() {
    for (const Node& node : graph_.nodes)
      if (!split(node)) rewriter_.copy(node);
    return rewriter_.finish();
  }

 private:
  // The Concat whose only reader is this node.
  const Node* concat_before(const Node& node) const {
    const Value& value = graph_.values[node.inputs[0]];
    if (value.producer == kNone || readers_[node.inputs[0]].size() != 1 ||
        ends_.contains(node.inputs[0]))
      return nullptr;
    const Node& concat = graph_.nodes[value.producer];
    return concat.op->name() == "Concat" && value.type.is_static() ? &concat : nullptr;
  }

  // A value as the Concat of others, in the new graph.
  struct Parts {
    const Node* concat = nullptr;
    std::vector<ValueId> values;
  };

  // What a node reads, where it becomes one node for each part of that: a Rescale behind a Concat,
  // and the clamps and additions of constants behind it.
  std::optional<Parts> parts_before(const Node& node) const {
    const std::string_view op = node.op->name();
    if (op == "Rescale") {
      const Node* concat = concat_before(node);
      if (concat == nullptr) return std::nullopt;
      Parts parts{concat, {}};
      for (const ValueId part : concat->inputs) parts.values.push_back(rewriter_.at(part));
      return parts;
    }
    if (op != "Clamp" && op != "IntAdd" && op != "IntSub") return std::nullopt;
    const auto found = split_.find(node.inputs[0]);
    if (found == split_.end() || readers_[node.inputs[0]].size() != 1 ||
        ends_.contains(node.inputs[0]) ||
        graph_.values[node.outputs[0]].type.shape != graph_.values[node.inputs[0]].type.shape)
      return std::nullopt;
    return found->second;
  }

  bool split(const Node& node) {
    const NodeView view = rewriter_.old_view(node);
    for (std::size_t i = 1; i < node.inputs.size(); ++i)
      if (view.constant(i) == nullptr) return false;
    const auto before = parts_before(node);
    if (!before) return false;
    Builder& builder = rewriter_.builder();
    builder.set_scope(node.scope);
    const std::int64_t rank = static_cast<std::int64_t>(
                           graph_.values[node.inputs[0]].type.shape.size()),
                       written = rewriter_.old_view(*before->concat).integer("axis");
    const auto axis = static_cast<std::size_t>(written < 0 ? written + rank : written);
    Parts parts{before->concat, {}};
    std::int64_t begin = 0;
    for (const ValueId part : before->values) {
      const std::int64_t count = builder.shape(part)[axis];
      std::vector<ValueId> operands{part};
      for (std::size_t i = 1; i < node.inputs.size(); ++i)
        operands.push_back(builder.constant(
            slice(*view.constant(i), static_cast<std::size_t>(rank), axis, begin, count), "part"));
      parts.values.push_back(builder.add(node.op->name(), operands, node.attributes, node.name));
      begin += count;
    }
    rewriter_.set(node.outputs[0], builder.add("Concat", parts.values, parts.concat->attributes,
                                               parts.concat->name));
    split_.emplace(node.outputs[0], std::move(parts));
    return true;
  }

  // Positions [begin, begin + count) along an axis of what a constant broadcasts to; one element
  // where they are all alike.
  static Tensor slice(const Tensor& constant, std::size_t rank, std::size_t axis,
                      std::int64_t begin, std::int64_t count) {
    Shape shape = constant.shape();
    shape.insert(shape.begin(), rank - shape.size(), 1);
    if (shape[axis] == 1) return constant;
    std::int64_t inner = 1;
    for (std::size_t d = axis + 1; d < rank; ++d) inner *= shape[d];
    const auto integers = constant.to_integers();
    std::vector<std::int64_t> kept;
    const auto block = static_cast<std::size_t>(shape[axis] * inner);
    for (std::size_t row = 0; row < integers.size(); row += block) {
      const auto from = integers.begin() + static_cast<std::ptrdiff_t>(row) + begin * inner;
      kept.insert(kept.end(), from, from + count * inner);
    }
    shape[axis] = count;
    if (std::ranges::all_of(kept, [&](std::int64_t v) { return v == kept.front(); })) {
      std::ranges::fill(shape, 1);
      kept.resize(1);
    }
    return Tensor::from_integers(constant.format(), shape, kept);
  }

  Rewriter rewriter_;
  const Graph& graph_;
  std::vector<std::vector<NodeId>> readers_;
  std::set<ValueId> ends_;
  std::map<ValueId, Parts> split_;  // by value of the old graph
};

}  // namespace

void split_rescales(Module& module) {
  module = SplitRescales(module).run();
  remove_unused(module);
}

}  // namespace tandem
