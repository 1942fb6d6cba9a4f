#include <map>

#include "tandem/kernels/tree_ensemble.h"
#include "tandem/runtime/real_nodes.h"
#include "tandem/runtime/real_steps.h"

namespace tandem {
namespace {

template <typename T>
TreeLists<T> lists_of(const NodeView& node) {
  using Join = typename TreeLists<T>::Join;
  static const std::map<std::string_view, Join> joins = {
      {"sum", Join::kSum}, {"mean", Join::kMean}, {"min", Join::kMin}, {"max", Join::kMax}};
  TreeLists<T> lists;
  lists.features = node.integers("features");
  lists.comparisons = node.integers("comparisons");
  lists.if_true = node.integers("if_true");
  lists.if_false = node.integers("if_false");
  lists.roots = node.integers("roots");
  lists.nan_is_true = node.integers("nan_is_true");
  lists.splits = node.constant(1)->data<T>().data();
  lists.leaf_starts = node.integers("leaf_starts");
  lists.leaf_targets = node.integers("leaf_targets");
  lists.weights = node.constant(2)->data<T>().data();
  lists.join = joins.at(node.string("aggregate"));
  lists.targets = node.integer("targets");
  return lists;
}

template <typename T>
class TreeStep final : public StepProgram {
 public:
  explicit TreeStep(const StepContext& context)
      : x_(context.node().node.inputs[0]),
        y_(context.node().node.outputs[0]),
        shape_(context.shape(x_)),
        trees_(lists_of<T>(context.node())) {}

  void run(const Places& places, Scratch&) const override {
    trees_.run(reinterpret_cast<const T*>(places.read[x_]), shape_[0], shape_[1],
               reinterpret_cast<T*>(places.write[y_]));
  }

 private:
  ValueId x_, y_;
  Shape shape_;
  PackedTrees<T> trees_;
};

bool is_double(const NodeView& node) { return node.input(0).format.storage() == Storage::kF64; }

}  // namespace

bool is_packed_ensemble(const NodeView& node) {
  if (node.node.op->name() != "TreeEnsemble" || node.constant(0) != nullptr ||
      node.constant(1) == nullptr || node.constant(2) == nullptr)
    return false;
  const Storage storage = node.input(0).format.storage();
  if (storage == Storage::kF32) return PackedTrees<float>::fits(lists_of<float>(node));
  return storage == Storage::kF64 && PackedTrees<double>::fits(lists_of<double>(node));
}

std::unique_ptr<StepProgram> make_trees(const StepContext& context) {
  if (is_double(context.node())) return std::make_unique<TreeStep<double>>(context);
  return std::make_unique<TreeStep<float>>(context);
}

}  // namespace tandem
