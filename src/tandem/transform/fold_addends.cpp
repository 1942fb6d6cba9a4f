#include "tandem/transform/fold_addends.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "tandem/graph/operator.h"
#include "tandem/transform/rewriter.h"

namespace tandem {
namespace {

// A constant's numbers for each channel, where it varies along the one axis of `rank` alone.
std::optional<std::vector<double>> along(const Tensor& constant, std::size_t rank, std::size_t axis,
                                         std::int64_t channels) {
  if (constant.rank() > static_cast<std::int64_t>(rank) || !constant.format().is_float())
    return std::nullopt;
  const auto missing = rank - static_cast<std::size_t>(constant.rank());
  for (std::size_t d = missing; d < rank; ++d) {
    const std::int64_t size = constant.shape()[d - missing];
    if (size != 1 && (d != axis || size != channels)) return std::nullopt;
  }
  auto values = constant.to_reals();
  if (values.size() == 1) values.resize(static_cast<std::size_t>(channels), values.front());
  return values;
}

class AddendFolder {
 public:
  explicit AddendFolder(const Module& module)
      : old_(module), rewriter_(module), readers_(consumers(module.main())) {}

  Module run() {
    for (const Node& node : old_.main().nodes)
      if (!fold(node)) rewriter_.copy(node);
    return rewriter_.finish();
  }

 private:
  bool fold(const Node& node) {
    if (node.op->name() != "Add") return false;
    const Graph& graph = old_.main();
    for (const std::size_t i : {0U, 1U}) {
      const Tensor* addend = constant_of(old_, graph, node.inputs[i]);
      const ValueId sum = node.inputs[1 - i];
      if (addend == nullptr || graph.values[sum].producer == kNone || !is_read_once(sum)) continue;
      if (graph.values[sum].type.shape != graph.values[node.outputs[0]].type.shape) continue;
      if (!into_bias(sum, *addend) && !into_addend(sum, *addend)) continue;
      rewriter_.set(node.outputs[0], rewriter_.at(sum));
      return true;
    }
    return false;
  }

  bool is_read_once(ValueId value) const {
    const Graph& graph = old_.main();
    const auto updates = [&](const StateUpdate& update) { return update.value == value; };
    return readers_[value].size() == 1 &&
           std::ranges::find(graph.outputs, value) == graph.outputs.end() &&
           std::ranges::none_of(graph.updates, updates);
  }

  // What computes the sum in the new graph: a sum that became a bias is its product.
  Node& written(ValueId sum) {
    Graph& graph = rewriter_.builder().graph();
    return graph.nodes[graph.values[rewriter_.at(sum)].producer];
  }

  // Constants of what is written so far, which may have changed since the module was read.
  const Tensor* constant(ValueId value) {
    return constant_of(rewriter_.builder().module(), rewriter_.builder().graph(), value);
  }

  bool into_bias(ValueId sum, const Tensor& addend) {
    const Node& product = written(sum);
    const std::string_view op = product.op->name();
    if (op != "Conv" && op != "Gemm") return false;
    Builder& builder = rewriter_.builder();
    if (op == "Gemm" && NodeView{builder.module(), builder.graph(), product}.real("beta") != 1)
      return false;
    const std::vector<Dim>& shape = old_.main().values[sum].type.shape;
    const std::size_t axis = op == "Conv" ? 1 : shape.size() - 1;
    if (!shape[axis].is_constant()) return false;
    const std::int64_t channels = shape[axis].constant();
    auto total = along(addend, shape.size(), axis, channels);
    if (!total) return false;
    if (product.inputs.size() > 2 && product.inputs[2] != kNone) {
      const Tensor* bias = constant(product.inputs[2]);
      // A bias has one axis, or broadcasts to the result of a Gemm.
      const auto own = bias == nullptr ? std::nullopt
                                       : along(*bias, bias->rank() <= 1 ? 1 : shape.size(),
                                               bias->rank() <= 1 ? 0 : axis, channels);
      if (!own) return false;
      for (std::size_t c = 0; c < total->size(); ++c) (*total)[c] += (*own)[c];
    }
    const ValueId folded =
        builder.constant(Tensor::from_reals(Format(), {channels}, *total), product.name + ".bias");
    Node& changed = written(sum);
    changed.inputs.resize(3, kNone);
    changed.inputs[2] = folded;
    return true;
  }

  bool into_addend(ValueId sum, const Tensor& addend) {
    const Node& first = written(sum);
    if (first.op->name() != "Add" || addend.rank() == 0) return false;
    for (const std::size_t i : {0U, 1U}) {
      const Tensor* own = constant(first.inputs[i]);
      if (own == nullptr || own->rank() == 0 || own->format() != addend.format() ||
          own->size() != addend.size())
        continue;
      const bool has_same_axes =
          own->shape() == addend.shape() ||
          (own->size() == own->shape().back() && addend.size() == addend.shape().back());
      if (!has_same_axes) continue;
      auto total = own->to_reals();
      const auto more = addend.to_reals();
      for (std::size_t k = 0; k < total.size(); ++k) total[k] += more[k];
      const Shape shape = own->shape();
      const ValueId folded = rewriter_.builder().constant(
          Tensor::from_reals(addend.format(), shape, total), first.name + ".addend");
      written(sum).inputs[i] = folded;
      return true;
    }
    return false;
  }

  const Module& old_;
  Rewriter rewriter_;
  std::vector<std::vector<NodeId>> readers_;
};

}  // namespace

void fold_addends(Module& module) {
  Module folded = AddendFolder(module).run();
  module = std::move(folded);
  remove_unused(module);
}

}  // namespace tandem
