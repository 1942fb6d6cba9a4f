// TreeEnsembleRegressor and TreeEnsembleClassifier of the domain ai.onnx.ml, and LinearClassifier,
// which ends as the latter does.
#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "tandem/files/onnx_contrib.h"
#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_tensor.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// Numbers in an attribute, or in a tensor where they are double.
std::vector<double> numbers_of(OnnxNode& node, const std::string& name) {
  if (const auto* tensor = node.tensor(name + "_as_tensor"))
    return tensor_of(*tensor, node.folder(), true).to_reals();
  return float_list(node, name);
}

Integers required_list(OnnxNode& node, std::string_view name, std::size_t count) {
  const Integers values = node.integers(name).value_or(Integers{});
  if (values.size() != count)
    OnnxNode::refuse(concat(name, " has ", values.size(), " entries, not ", count),
                     "correct the attributes");
  return values;
}

// Trees whose nodes are listed by tree and number, as one TreeEnsemble.
class ListedTrees {
 public:
  // `what` is how the attributes of leaves begin: "target" or "class".
  ListedTrees(OnnxNode& node, const std::string& what) : node_(node) {
    trees_ = node.integers("nodes_treeids").value_or(Integers{});
    const std::size_t count = trees_.size();
    numbers_ = required_list(node, "nodes_nodeids", count);
    features_ = required_list(node, "nodes_featureids", count);
    truths_ = required_list(node, "nodes_truenodeids", count);
    falses_ = required_list(node, "nodes_falsenodeids", count);
    nan_ = node.integers("nodes_missing_value_tracks_true").value_or(Integers(count, 0));
    if (nan_.empty()) nan_.assign(count, 0);
    splits_ = numbers_of(node, "nodes_values");
    if (nan_.size() != count || splits_.size() != count)
      OnnxNode::refuse("its lists of nodes differ in length", "correct the attributes");
    node.ignore("nodes_hitrates");  // of profiling only
    node.ignore("nodes_hitrates_as_tensor");
    read_modes(count);
    const Integers leaf_trees = node.integers(what + "_treeids").value_or(Integers{});
    leaf_numbers_ = required_list(node, what + "_nodeids", leaf_trees.size());
    leaf_targets_ = required_list(node, what + "_ids", leaf_trees.size());
    weights_ = numbers_of(node, what + "_weights");
    if (weights_.size() != leaf_trees.size())
      OnnxNode::refuse("its lists of leaves differ in length", "correct the attributes");
    for (std::size_t i = 0; i < leaf_trees.size(); ++i)
      entries_[{leaf_trees[i], leaf_numbers_[i]}].push_back(i);
  }

  const Integers& targets() const { return leaf_targets_; }
  const std::vector<double>& weights() const { return weights_; }

  // Sums [N,targets] in the format of x.
  ValueId add(ValueId x, std::int64_t targets, const std::string& aggregate) {
    place_all();
    const Format format = node_.type_of_value(x).format;
    const auto constant = [&](const std::vector<double>& values) {
      return node_.add_constant(
          Tensor::from_reals(format, {static_cast<std::int64_t>(values.size())}, values));
    };
    return node_.add("TreeEnsemble", {x, constant(out_splits_), constant(out_weights_)},
                     {{"features", out_features_},
                      {"comparisons", out_modes_},
                      {"if_true", out_true_},
                      {"if_false", out_false_},
                      {"nan_is_true", out_nan_},
                      {"roots", roots_},
                      {"leaf_targets", out_targets_},
                      {"leaf_starts", out_starts_},
                      {"targets", targets},
                      {"aggregate", aggregate}});
  }

 private:
  using Key = std::pair<std::int64_t, std::int64_t>;  // tree, number
  static constexpr std::int64_t kLeaf = -1;
  static constexpr int kMostDepth = 1000;

  void read_modes(std::size_t count) {
    constexpr std::array<std::string_view, 6> kModes = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE",
                                                        "BRANCH_GT",  "BRANCH_EQ", "BRANCH_NEQ"};
    const auto* modes = node_.attribute("nodes_modes");
    if (modes == nullptr || static_cast<std::size_t>(modes->strings_size()) != count)
      OnnxNode::refuse("it has not a mode for each node", "correct nodes_modes");
    for (const std::string& mode : modes->strings()) {
      const auto place = std::ranges::find(kModes, mode);
      if (place == kModes.end() && mode != "LEAF")
        OnnxNode::refuse(concat("a node has the mode ", mode), "correct nodes_modes");
      modes_.push_back(mode == "LEAF" ? kLeaf : place - kModes.begin());
    }
  }

  // The root of a tree is the node to which none leads.
  void place_all() {
    std::set<Key> led_to;
    std::vector<std::int64_t> order;
    for (std::size_t i = 0; i < trees_.size(); ++i) {
      if (!places_.emplace(Key{trees_[i], numbers_[i]}, i).second)
        OnnxNode::refuse(
            concat("node ", numbers_[i], " of tree ", trees_[i], " stands there twice"),
            "keep one of them");
      if (std::ranges::find(order, trees_[i]) == order.end()) order.push_back(trees_[i]);
      if (modes_[i] == kLeaf) continue;
      led_to.insert({trees_[i], truths_[i]});
      led_to.insert({trees_[i], falses_[i]});
    }
    std::map<std::int64_t, std::size_t> roots;
    for (std::size_t i = 0; i < trees_.size(); ++i) {
      if (led_to.contains({trees_[i], numbers_[i]})) continue;
      if (!roots.emplace(trees_[i], i).second)
        OnnxNode::refuse(concat("tree ", trees_[i], " has two roots"), "correct the attributes");
    }
    for (const std::int64_t tree : order) {
      const auto root = roots.find(tree);
      if (root == roots.end())
        OnnxNode::refuse(concat("tree ", tree, " has no root"), "correct the attributes");
      roots_.push_back(place(root->second, 0));
    }
  }

  std::size_t find(std::int64_t tree, std::int64_t number) const {
    const auto found = places_.find({tree, number});
    if (found == places_.end())
      OnnxNode::refuse(concat("tree ", tree, " has no node ", number), "correct the attributes");
    return found->second;
  }

  // Places a node before all below it; its place, or -1 - leaf.
  std::int64_t place(std::size_t node, int depth) {
    if (modes_[node] == kLeaf) return -1 - place_leaf(node);
    if (depth > kMostDepth || out_splits_.size() > trees_.size())
      OnnxNode::refuse("its trees do not end or are too deep", "prune them");
    const std::size_t here = out_splits_.size();
    out_splits_.push_back(splits_[node]);
    out_features_.push_back(features_[node]);
    out_modes_.push_back(modes_[node]);
    out_nan_.push_back(nan_[node] != 0 ? 1 : 0);
    out_true_.push_back(0);
    out_false_.push_back(0);
    out_true_[here] = place(find(trees_[node], truths_[node]), depth + 1);
    out_false_[here] = place(find(trees_[node], falses_[node]), depth + 1);
    return static_cast<std::int64_t>(here);
  }

  std::int64_t place_leaf(std::size_t node) {
    out_starts_.push_back(static_cast<std::int64_t>(out_targets_.size()));
    if (const auto found = entries_.find({trees_[node], numbers_[node]}); found != entries_.end()) {
      for (const std::size_t entry : found->second) {
        out_targets_.push_back(leaf_targets_[entry]);
        out_weights_.push_back(weights_[entry]);
      }
    }
    return static_cast<std::int64_t>(out_starts_.size()) - 1;
  }

  OnnxNode& node_;
  Integers trees_, numbers_, features_, truths_, falses_, nan_, modes_;
  Integers leaf_numbers_, leaf_targets_;
  std::vector<double> splits_, weights_;
  std::map<Key, std::vector<std::size_t>> entries_;  // weights of each leaf
  std::map<Key, std::size_t> places_;
  Integers roots_, out_features_, out_modes_, out_true_, out_false_, out_nan_, out_starts_,
      out_targets_;
  std::vector<double> out_splits_, out_weights_;
};

// Features [N,F] as reals: doubles stay.
ValueId real_features(OnnxNode& node) {
  const Format format = node.type(0).format;
  if (node.type(0).shape.size() != 2)
    OnnxNode::refuse(concat("its input is ", node.type(0).to_string()), "give it [N,features]");
  if (format == Format() || format == Format::parse("f64")) return node.value(0);
  return cast_to(node, node.value(0), Format());
}

ValueId as_single(OnnxNode& node, ValueId x) {
  if (node.type_of_value(x).format == Format()) return x;
  return cast_to(node, x, Format());
}

ValueId row_constant(OnnxNode& node, const std::vector<double>& values, ValueId like) {
  return node.add_constant(Tensor::from_reals(node.type_of_value(like).format,
                                              {static_cast<std::int64_t>(values.size())}, values));
}

ValueId transformed(OnnxNode& node, ValueId scores) {
  const std::string name = node.text("post_transform", "NONE");
  if (name == "NONE") return scores;
  if (name == "LOGISTIC") return node.add("Sigmoid", {scores});
  if (name == "SOFTMAX") return node.add("Softmax", {scores}, {{"axis", std::int64_t{-1}}});
  OnnxNode::refuse(concat("its post_transform is ", name), "put the function behind it as a node");
}

void tree_regressor(OnnxNode& node) {
  const std::string name = node.text("aggregate_function", "SUM");
  const std::map<std::string, std::string> aggregates = {
      {"SUM", "sum"}, {"AVERAGE", "mean"}, {"MIN", "min"}, {"MAX", "max"}};
  if (!aggregates.contains(name))
    OnnxNode::refuse(concat("aggregate_function is ", name), "correct the attribute");
  const std::int64_t targets = node.integer("n_targets", 1);
  ListedTrees trees(node, "target");
  ValueId y = trees.add(real_features(node), targets, aggregates.at(name));
  const auto base = numbers_of(node, "base_values");
  if (!base.empty() && static_cast<std::int64_t>(base.size()) != targets)
    OnnxNode::refuse("it has not a base value for each target", "correct base_values");
  if (!base.empty()) y = node.add("Add", {y, row_constant(node, base, y)});
  if (targets == 1 && node.text("post_transform", "NONE") != "NONE")
    OnnxNode::refuse("it transforms its only target, which runtimes do not",
                     "put the function behind it as a node");
  node.set(0, transformed(node, as_single(node, y)));
}

// ---- Classes ---------------------------------------------------------------------------------

// The class of each row, [N], by its place in the list of labels.
void set_labels(OnnxNode& node, ValueId places, const Integers& labels) {
  const ValueId list = node.add_constant(Tensor::from_integers(
      Format::integer(64, true), {static_cast<std::int64_t>(labels.size())}, labels));
  node.set(0, node.add("Gather", {list, places}, {{"axis", std::int64_t{0}}}));
}

Integers class_labels(OnnxNode& node, std::string_view integers, std::string_view strings) {
  const auto* texts = node.attribute(strings);
  const auto labels = node.integers(integers);
  if (!labels || labels->empty() || (texts != nullptr && texts->strings_size() > 0))
    OnnxNode::refuse("its classes are texts", "convert the model with integers as classes");
  return *labels;
}

// The class of the greatest of scores [N,classes].
void set_classes(OnnxNode& node, ValueId scores, const Integers& labels) {
  const ValueId places =
      node.add("ArgMax", {scores}, {{"axis", std::int64_t{1}}, {"keepdims", std::int64_t{0}}});
  set_labels(node, places, labels);
  node.set(1, transformed(node, as_single(node, scores)));
}

// Two classes by one score [N,1]: beyond the middle of what its weights can give lies the second.
void set_two_classes(OnnxNode& node, ValueId score, const Integers& labels, bool is_share) {
  const ValueId middle = constant_like(node, is_share ? 0.5 : 0, score);
  const ValueId is_second = node.add("Greater", {score, middle});
  const ValueId place = cast_to(node, is_second, Format::integer(64, true));
  set_labels(node, node.reshape(place, {node.type_of_value(place).shape[0]}), labels);
  const ValueId one = as_single(node, score);
  const std::string transform = node.text("post_transform", "NONE");
  ValueId other = kNone, same = one;
  if (is_share) {
    other = node.add("Sub", {constant_like(node, 1, one), one});
  } else if (transform == "LOGISTIC") {
    other = node.add("Sigmoid", {node.add("Neg", {one})});
    same = node.add("Sigmoid", {one});
  } else if (transform == "NONE") {
    other = node.add("Neg", {one});
  } else {
    OnnxNode::refuse(concat("its post_transform is ", transform),
                     "put the function behind it as a node");
  }
  node.set(1, node.add("Concat", {other, same}, {{"axis", std::int64_t{1}}}));
}

void tree_classifier(OnnxNode& node) {
  const Integers labels = class_labels(node, "classlabels_int64s", "classlabels_strings");
  const auto classes = static_cast<std::int64_t>(labels.size());
  ListedTrees trees(node, "class");
  const auto base = numbers_of(node, "base_values");
  const std::set<std::int64_t> used(trees.targets().begin(), trees.targets().end());
  const bool is_single = classes == 2;
  if (is_single && used != std::set<std::int64_t>{0})
    OnnxNode::refuse(
        "its scores of two classes are not all under class 0, about which runtimes "
        "differ",
        "give the score of the second class alone, as converters do");
  ValueId scores = trees.add(real_features(node), classes, "sum");
  if (base.size() != (is_single      ? std::min<std::size_t>(base.size(), 1)
                      : base.empty() ? 0
                                     : labels.size()))
    OnnxNode::refuse("it has not a base value for each score", "correct base_values");
  if (is_single) scores = sliced(node, scores, 1, 0, 1);
  if (!base.empty()) scores = node.add("Add", {scores, row_constant(node, base, scores)});
  if (!is_single) return set_classes(node, scores, labels);
  const bool is_share = std::ranges::all_of(trees.weights(), [](double w) { return w >= 0; });
  set_two_classes(node, scores, labels, is_share);
}

void linear_classifier(OnnxNode& node) {
  const Integers labels = class_labels(node, "classlabels_ints", "classlabels_strings");
  node.ignore("multi_class");  // how it was trained
  const auto coefficients = float_list(node, "coefficients");
  auto intercepts = float_list(node, "intercepts");
  const ValueId x = as_single(node, real_features(node));
  const std::int64_t features = node.type(0).shape[1].constant();
  const auto rows = features == 0 ? 0 : static_cast<std::int64_t>(coefficients.size()) / features;
  const bool is_single = labels.size() == 2 && rows == 1;
  if (rows * features != static_cast<std::int64_t>(coefficients.size()) || rows < 1 ||
      (!is_single && rows != static_cast<std::int64_t>(labels.size())) ||
      (!intercepts.empty() && static_cast<std::int64_t>(intercepts.size()) != rows))
    OnnxNode::refuse("its coefficients or intercepts do not fit its classes and features",
                     "correct the attributes");
  const ValueId w = node.add_constant(Tensor::from_reals(Format(), {rows, features}, coefficients));
  ValueId scores = node.add("MatMul", {x, permuted(node, w, {1, 0})});
  if (!intercepts.empty())
    scores = node.add("Add", {scores, row_constant(node, intercepts, scores)});
  if (is_single) return set_two_classes(node, scores, labels, false);
  set_classes(node, scores, labels);
}

}  // namespace

void add_tree_ensemble_handlers(OnnxHandlers& handlers) {
  handlers["ml:TreeEnsembleRegressor"] = tree_regressor;
  handlers["ml:TreeEnsembleClassifier"] = tree_classifier;
  handlers["ml:LinearClassifier"] = linear_classifier;
}

}  // namespace tandem
