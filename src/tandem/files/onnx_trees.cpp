// Decision trees of the domain ai.onnx.ml.
#include <array>
#include <cmath>

#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_tensor.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

constexpr std::int64_t kMember = 6;  // the comparison with a set
constexpr std::int64_t kEqual = 4;
constexpr std::int64_t kMostTreeNodes = 1 << 20;

// The trees as they are asked: every node before those it leads to.
class Trees {
 public:
  explicit Trees(OnnxNode& node) : node_(node) {
    splits_ = required_tensor("nodes_splits");  // NaN where a node compares with a set
    const Tensor modes = required_tensor("nodes_modes");
    if (!modes.format().is_integer())
      OnnxNode::refuse("its nodes_modes are no integers", "correct the attribute");
    modes_ = modes.to_integers();
    features_ = list("nodes_featureids");
    truths_ = list("nodes_truenodeids");
    falses_ = list("nodes_falsenodeids");
    true_leaves_ = list("nodes_trueleafs");
    false_leaves_ = list("nodes_falseleafs");
    nan_ = node.integers("nodes_missing_value_tracks_true").value_or(Integers{});
    if (nan_.empty()) nan_.assign(modes_.size(), 0);
    if (const auto* proto = node.tensor("membership_values"))
      members_ = tensor_of(*proto, node.folder(), true).to_reals();  // NaN ends a set
    weights_ = required_tensor("leaf_weights");
    targets_ = list("leaf_targetids");
    node.tensor("nodes_hitrates");  // of profiling only
    for (const Integers* values :
         {&features_, &truths_, &falses_, &true_leaves_, &false_leaves_, &nan_, &modes_})
      if (static_cast<std::int64_t>(values->size()) != splits_.size())
        OnnxNode::refuse("its lists of nodes differ in length", "correct the attributes");
  }

  void read() {
    if (node_.integer("post_transform", 0) != 0)
      OnnxNode::refuse("it transforms its result", "put the function after it");
    const std::int64_t aggregate = node_.integer("aggregate_function", 1);
    constexpr std::array kAggregates = {"mean", "sum", "min", "max"};
    if (aggregate < 0 || aggregate > 3)
      OnnxNode::refuse(concat("aggregate_function is ", aggregate), "correct the attribute");
    Integers roots;
    for (const std::int64_t root : list("tree_roots"))
      roots.push_back(is_leaf(root) ? -1 - truths_[checked(root)] : place_node(root));
    const Format format = node_.type(0).format;
    if (splits_.format() != format || weights_.format() != format)
      OnnxNode::refuse("its splits or weights have another type than its input",
                       "give them one type");
    const auto count = static_cast<std::int64_t>(out_splits_.size());
    const ValueId splits = node_.add_constant(Tensor::from_reals(format, {count}, out_splits_));
    node_.set(
        0, node_.add(
               "TreeEnsemble",
               {node_.value(0), splits, node_.add_constant(weights_.reshaped({weights_.size()}))},
               {{"features", out_features_},
                {"comparisons", out_modes_},
                {"if_true", out_true_},
                {"if_false", out_false_},
                {"nan_is_true", out_nan_},
                {"roots", roots},
                {"leaf_targets", targets_},
                {"targets", node_.integer("n_targets")},
                {"aggregate", std::string(kAggregates[static_cast<std::size_t>(aggregate)])}}));
  }

 private:
  Integers list(std::string_view name) {
    const auto values = node_.integers(name);
    if (!values) OnnxNode::refuse(concat("attribute '", name, "' is missing"), "give it a value");
    return *values;
  }

  Tensor required_tensor(std::string_view name) {
    const auto* proto = node_.tensor(name);
    if (proto == nullptr)
      OnnxNode::refuse(concat("attribute '", name, "' is missing"), "give it a value");
    return tensor_of(*proto, node_.folder(), true);
  }

  std::size_t checked(std::int64_t index) const {
    if (index < 0 || index >= splits_.size())
      OnnxNode::refuse(concat("it has no node ", index), "correct the attributes");
    return static_cast<std::size_t>(index);
  }

  // A tree of one leaf has a root whose branches are both that leaf.
  bool is_leaf(std::int64_t root) const {
    const std::size_t at = checked(root);
    return true_leaves_[at] != 0 && false_leaves_[at] != 0 && truths_[at] == falses_[at];
  }

  std::int64_t place_branch(std::int64_t index, bool leaf) {
    return leaf ? -1 - index : place_node(index);
  }

  // Places a node and all below it; its new place.
  std::int64_t place_node(std::int64_t index) {
    const std::size_t at = checked(index);
    if (static_cast<std::int64_t>(out_splits_.size()) > kMostTreeNodes || ++depth_ > kMostDepth)
      OnnxNode::refuse("its trees do not end, or are too deep or too large", "prune them");
    std::vector<double> splits = {splits_.real(index)};
    if (modes_[at] == kMember) splits = next_members();
    const std::int64_t first = static_cast<std::int64_t>(out_splits_.size());
    for (const double split : splits) {
      out_splits_.push_back(split);
      out_features_.push_back(features_[at]);
      out_modes_.push_back(modes_[at] == kMember ? kEqual : modes_[at]);
      out_nan_.push_back(nan_[at] != 0 ? 1 : 0);
    }
    out_true_.resize(out_splits_.size());
    out_false_.resize(out_splits_.size());
    const std::int64_t yes = place_branch(truths_[at], true_leaves_[at] != 0);
    const std::int64_t no = place_branch(falses_[at], false_leaves_[at] != 0);
    // A set is asked element by element.
    for (std::size_t i = 0; i < splits.size(); ++i) {
      const auto here = static_cast<std::size_t>(first) + i;
      out_true_[here] = yes;
      out_false_[here] = i + 1 < splits.size() ? static_cast<std::int64_t>(here) + 1 : no;
    }
    --depth_;
    return first;
  }

  // The elements up to the next NaN.
  std::vector<double> next_members() {
    std::vector<double> members;
    for (; member_ < members_.size() && !std::isnan(members_[member_]); ++member_)
      members.push_back(members_[member_]);
    if (member_ == members_.size() || members.empty())
      OnnxNode::refuse("a set that it compares with is empty or missing",
                       "correct membership_values");
    ++member_;
    return members;
  }

  static constexpr int kMostDepth = 1000;
  OnnxNode& node_;
  Tensor splits_, weights_;
  Integers modes_, features_, truths_, falses_, true_leaves_, false_leaves_, nan_, targets_;
  std::vector<double> members_;
  std::size_t member_ = 0;
  int depth_ = 0;
  std::vector<double> out_splits_;
  Integers out_features_, out_modes_, out_true_, out_false_, out_nan_;
};

void tree_ensemble(OnnxNode& node) { Trees(node).read(); }

}  // namespace

void add_tree_handlers(OnnxHandlers& handlers) { handlers["ml:TreeEnsemble"] = tree_ensemble; }

}  // namespace tandem
