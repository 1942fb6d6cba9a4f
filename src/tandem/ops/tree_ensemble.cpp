#include <cmath>
#include <limits>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

enum Comparison : std::uint8_t { kAtMost, kBelow, kAtLeast, kAbove, kEqual, kOther, kComparisons };

template <typename T>
bool compares(std::int64_t mode, T x, T split) {
  switch (mode) {
    case kAtMost: return x <= split;
    case kBelow: return x < split;
    case kAtLeast: return x >= split;
    case kAbove: return x > split;
    case kEqual: return x == split;
    default: return x != split;
  }
}

// Decision trees over rows of features, whose leaves add to targets.
class TreeEnsemble final : public Operator {
 public:
  std::string_view name() const override { return "TreeEnsemble"; }
  std::string_view description() const override {
    return "Sums (or means, minima, maxima) [N,targets] of the leaves that the rows of x [N,F] "
           "reach "
           "in trees: node i compares feature `features` with splits [nodes] and goes to a node, "
           "or "
           "to a leaf (as -1 - leaf), whose weights, of [entries], count for their targets.";
  }
  std::vector<AttributeSpec> attributes() const override {
    const auto list = [](std::string name, std::string description) {
      return AttributeSpec{
          std::move(name), AttributeKind::kIntegers, std::move(description), {}, {}};
    };
    return {list("features", "feature that a node compares"),
            list("comparisons", "of a node: 0 <=, 1 <, 2 >=, 3 >, 4 ==, 5 !="),
            list("if_true", "where a node goes when the comparison holds"),
            list("if_false", "where it goes otherwise"),
            integers_attribute("nan_is_true", "1 where NaN goes as if it held; empty: nowhere"),
            list("roots", "where each tree begins"),
            list("leaf_targets", "target of each weight"),
            integers_attribute("leaf_starts",
                               "first weight of each leaf; empty: each leaf has one weight"),
            integer_attribute("targets", "number of targets"),
            choice_attribute("aggregate", "what joins the leaves of one target",
                             {"sum", "mean", "min", "max"})};
  }
  std::size_t min_inputs() const override { return 3; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    const TensorType& x = node.input(0);
    if (x.shape.size() != 2) throw Error("x is ", x.to_string(), ", not [N,F]");
    const std::int64_t targets = node.integer("targets");
    if (targets < 1) throw Error("targets is ", targets, "; it must be at least 1");
    check_trees(node, x.shape[1].constant());
    return {{{x.shape[0], targets}, format}};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           return std::vector<Tensor>{predict<T>(node, reals)};
                         });
  }

  // At most every node of a tree is asked.
  Work work(const NodeView& node) const override {
    const std::int64_t rows = node.input(0).shape[0].constant();
    return work_of(
        node, {operations(node, OperationKind::kCompare,
                          rows * static_cast<std::int64_t>(node.integers("features").size()))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view trees, std::string_view more = "") {
      return sample_text(
          "symbol N in [1,4]\nconstant @s : f32[2] = [0.25,-0.5]\n"
          "constant @w : f32[3] = [1,-2,0.5]",
          concat("%x : ", x),
          concat("%s = constant @s\n  %w = constant @w\n  %y : f32[N,2] = "
                 "TreeEnsemble(%x, %s, %w) {features = [0,2], comparisons = [0,3], ",
                 trees, ", leaf_targets = [0,1,1], targets = 2", more, "}"));
    };
    const std::string trees = "if_true = [1,-2], if_false = [-1,-3], roots = [0]";
    return {{text("f32[N,3]", trees), ""},
            {text("f32[N,3]", "if_true = [-1,-2], if_false = [-3,-3], roots = [0,1,-1]",
                  ", aggregate = \"max\", nan_is_true = [1,0]"),
             ""},
            {text("f32[N,3]", "if_true = [1,-2], if_false = [-1,-1], roots = [0]",
                  ", leaf_starts = [0,2]"),
             ""},
            {text("f32[N,3]", trees, ", leaf_starts = [0,4,1]"), "leaf_starts contains 4"},
            {text("f32[N,2]", trees), "compares feature 2"},
            {text("f32[N,3]", "if_true = [1,0], if_false = [-1,-3], roots = [0]"), "goes back"},
            {text("f32[N,3]", "if_true = [1,-2], if_false = [-1,-4], roots = [0]"),
             "there is no leaf 3"}};
  }

 private:
  static void check_trees(const NodeView& node, std::int64_t features) {
    const auto nodes = static_cast<std::int64_t>(node.integers("features").size());
    const auto entries = static_cast<std::int64_t>(node.integers("leaf_targets").size());
    const Integers& starts = node.integers("leaf_starts");
    const std::int64_t leaves = starts.empty() ? entries : static_cast<std::int64_t>(starts.size());
    check_starts(starts, entries);
    for (const char* name : {"comparisons", "if_true", "if_false"})
      if (static_cast<std::int64_t>(node.integers(name).size()) != nodes)
        throw Error(name, " has ", node.integers(name).size(), " entries for ", nodes, " nodes");
    const Integers& nan = node.integers("nan_is_true");
    if (!nan.empty() && static_cast<std::int64_t>(nan.size()) != nodes)
      throw Error("nan_is_true has ", nan.size(), " entries for ", nodes, " nodes");
    if (node.input(1).shape != std::vector<Dim>{nodes} ||
        node.input(2).shape != std::vector<Dim>{entries})
      throw Error("the splits ", node.input(1).to_string(), " and weights ",
                  node.input(2).to_string(), " are not [", nodes, "] and [", entries, "]");
    for (std::int64_t i = 0; i < nodes; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const std::int64_t feature = node.integers("features")[at];
      const std::int64_t mode = node.integers("comparisons")[at];
      if (feature < 0 || feature >= features)
        throw Error("node ", i, " compares feature ", feature, " of ", features);
      if (mode < 0 || mode >= kComparisons) throw Error("node ", i, " has the comparison ", mode);
      check_target(node.integers("if_true")[at], i, nodes, leaves);
      check_target(node.integers("if_false")[at], i, nodes, leaves);
    }
    for (const std::int64_t root : node.integers("roots")) check_target(root, -1, nodes, leaves);
    for (const std::int64_t target : node.integers("leaf_targets"))
      if (target < 0 || target >= node.integer("targets"))
        throw Error("a leaf counts for target ", target, " of ", node.integer("targets"));
  }

  static void check_starts(const Integers& starts, std::int64_t entries) {
    std::int64_t last = 0;
    for (const std::int64_t start : starts) {
      if (start < last || start > entries)
        throw Error("leaf_starts contains ", start, ", which is before ", last, " or beyond ",
                    entries);
      last = start;
    }
  }

  // A node leads to later nodes only, so every walk ends.
  static void check_target(std::int64_t to, std::int64_t from, std::int64_t nodes,
                           std::int64_t leaves) {
    if (to < 0 && -1 - to >= leaves) throw Error("there is no leaf ", -1 - to);
    if (to >= nodes) throw Error("there is no node ", to);
    if (to >= 0 && to <= from) throw Error("node ", from, " goes back to node ", to);
  }

  // The attributes, found by name once for all nodes that are asked.
  struct Trees {
    const Integers &features, &modes, &nan, &if_true, &if_false, &starts, &targets;
    explicit Trees(const NodeView& node)
        : features(node.integers("features")),
          modes(node.integers("comparisons")),
          nan(node.integers("nan_is_true")),
          if_true(node.integers("if_true")),
          if_false(node.integers("if_false")),
          starts(node.integers("leaf_starts")),
          targets(node.integers("leaf_targets")) {}

    std::size_t first_entry(std::int64_t leaf) const {
      const auto at = static_cast<std::size_t>(leaf);
      if (starts.empty()) return at;
      return at < starts.size() ? static_cast<std::size_t>(starts[at]) : targets.size();
    }
  };

  // The leaf that a row reaches.
  template <typename T>
  static std::int64_t leaf(const Trees& trees, std::int64_t at, const T* row, const T* splits) {
    while (at >= 0) {
      const auto i = static_cast<std::size_t>(at);
      const T x = row[trees.features[i]];
      const bool holds = compares(trees.modes[i], x, splits[i]) ||
                         (!trees.nan.empty() && trees.nan[i] != 0 && std::isnan(x));
      at = (holds ? trees.if_true : trees.if_false)[i];
    }
    return -1 - at;
  }

  template <typename T>
  static Tensor predict(const NodeView& node, std::span<const Tensor> in) {
    const std::int64_t rows = in[0].shape()[0], width = in[0].shape()[1];
    const std::int64_t targets = node.integer("targets");
    const std::string& aggregate = node.string("aggregate");
    const bool is_least = aggregate == "min", is_greatest = aggregate == "max";
    const double start = is_least      ? std::numeric_limits<T>::max()
                         : is_greatest ? std::numeric_limits<T>::lowest()
                                       : 0.0;
    const Integers& roots = node.integers("roots");
    const Trees trees(node);
    const double share = aggregate == "mean" ? static_cast<double>(roots.size()) : 1.0;
    const T* weights = in[2].data<T>().data();
    Tensor y(in[0].format(), {rows, targets});
    T* to = y.mutable_data<T>().data();
    std::vector<double> results;
    for (std::int64_t r = 0; r < rows; ++r) {
      results.assign(static_cast<std::size_t>(targets), start);
      for (const std::int64_t root : roots) {
        const std::int64_t reached =
            leaf(trees, root, in[0].data<T>().data() + r * width, in[1].data<T>().data());
        const std::size_t end = trees.first_entry(reached + 1);
        for (std::size_t i = trees.first_entry(reached); i < end; ++i) {
          double& result = results[static_cast<std::size_t>(trees.targets[i])];
          const auto weight = static_cast<double>(weights[i]);
          if (is_least)
            result = std::min(result, weight);
          else if (is_greatest)
            result = std::max(result, weight);
          else
            result += weight / share;
        }
      }
      for (const double result : results) *to++ = static_cast<T>(result);
    }
    return y;
  }
};

}  // namespace

void register_tree_operators() { operators().add(std::make_unique<TreeEnsemble>()); }

}  // namespace tandem
