#include "tandem/kernels/tree_ensemble.h"

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/random.h"
#include "tandem/base/threads.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// Random trees, whose nodes may be reached on several ways, with the values that comparisons
// stumble over.
template <typename T>
struct RandomTrees {
  Integers features, comparisons, if_true, if_false, roots, nan_is_true, leaf_starts, leaf_targets;
  std::vector<T> splits, weights;
  TreeLists<T> lists;
  std::int64_t width = 1;

  explicit RandomTrees(std::uint64_t seed) : random_(seed, "trees") {
    width = 1 + below(6);
    lists.targets = 1 + below(4);
    const std::int64_t nodes = below(4) == 0 ? below(3) : below(200), leaves = 1 + below(30);
    const bool one_mode = below(2) == 0, heeds_nan = below(2) == 0;
    const std::int64_t mode = below(6);
    for (std::int64_t i = 0; i < nodes; ++i) {
      features.push_back(below(width));
      comparisons.push_back(one_mode ? mode : below(6));
      splits.push_back(number());
      if (heeds_nan) nan_is_true.push_back(below(2));
      if_true.push_back(way(i, nodes, leaves));
      if_false.push_back(way(i, nodes, leaves));
    }
    for (std::int64_t tree = below(30); tree > 0; --tree) roots.push_back(way(-1, nodes, leaves));
    set_leaves(leaves);
    lists = {features,      comparisons, if_true,      if_false,       roots,      nan_is_true,
             splits.data(), leaf_starts, leaf_targets, weights.data(), lists.join, lists.targets};
  }

  std::int64_t below(std::int64_t end) {
    return static_cast<std::int64_t>(random_.uniform() * static_cast<double>(end));
  }

  // Few different ones, so that many are equal.
  T number() {
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    const T special[] = {kInfinity,
                         -kInfinity,
                         std::numeric_limits<T>::quiet_NaN(),
                         T{-0.0},
                         T{0},
                         std::numeric_limits<T>::denorm_min(),
                         std::numeric_limits<T>::max()};
    if (below(8) == 0) return special[below(7)];
    return static_cast<T>(below(20)) / T{8} - T{1};
  }

  std::vector<T> rows(std::int64_t count) {
    std::vector<T> x(static_cast<std::size_t>(count * width));
    for (T& value : x) value = number();
    return x;
  }

 private:
  std::int64_t way(std::int64_t from, std::int64_t nodes, std::int64_t leaves) {
    if (from + 1 >= nodes || below(4) == 0) return -1 - below(leaves);
    const std::int64_t far =
        below(3) == 0 ? nodes - from - 1 : std::min<std::int64_t>(8, nodes - from - 1);
    return from + 1 + below(far);
  }

  void set_leaves(std::int64_t leaves) {
    using Join = typename TreeLists<T>::Join;
    constexpr Join kJoins[] = {Join::kSum, Join::kMean, Join::kMin, Join::kMax};
    lists.join = kJoins[below(4)];
    const std::int64_t kind = below(3);  // all targets in order, one weight, any number of them
    for (std::int64_t leaf = 0; leaf < leaves; ++leaf) {
      const std::int64_t count = kind == 0 ? lists.targets : kind == 1 ? 1 : below(4);
      if (kind != 1) leaf_starts.push_back(static_cast<std::int64_t>(leaf_targets.size()));
      for (std::int64_t i = 0; i < count; ++i) {
        leaf_targets.push_back(kind == 0 ? i : below(lists.targets));
        weights.push_back(static_cast<T>(random_.uniform() - 0.5));
      }
    }
  }

  RandomSequence random_;
};

template <typename T>
bool holds(std::int64_t mode, T x, T split) {
  switch (mode) {
    case 0: return x <= split;
    case 1: return x < split;
    case 2: return x >= split;
    case 3: return x > split;
    case 4: return x == split;
    default: return x != split;
  }
}

// One row as ONNX says it.
template <typename T>
std::vector<T> expected_of(const TreeLists<T>& trees, const T* row) {
  using Join = typename TreeLists<T>::Join;
  const bool least = trees.join == Join::kMin, greatest = trees.join == Join::kMax;
  const double first = least      ? std::numeric_limits<T>::max()
                       : greatest ? std::numeric_limits<T>::lowest()
                                  : 0.0;
  const double share = trees.join == Join::kMean ? static_cast<double>(trees.roots.size()) : 1.0;
  std::vector<double> sums(static_cast<std::size_t>(trees.targets), first);
  for (std::int64_t at : trees.roots) {
    while (at >= 0) {
      const auto i = static_cast<std::size_t>(at);
      const T x = row[trees.features[i]];
      const bool nan = !trees.nan_is_true.empty() && trees.nan_is_true[i] != 0 && std::isnan(x);
      at = (nan || holds(trees.comparisons[i], x, trees.splits[i]) ? trees.if_true
                                                                   : trees.if_false)[i];
    }
    const auto leaf = static_cast<std::size_t>(-1 - at);
    const auto start_of = [&](std::size_t which) {
      if (trees.leaf_starts.empty()) return which;
      return which < trees.leaf_starts.size() ? static_cast<std::size_t>(trees.leaf_starts[which])
                                              : trees.leaf_targets.size();
    };
    for (std::size_t i = start_of(leaf); i < start_of(leaf + 1); ++i) {
      double& sum = sums[static_cast<std::size_t>(trees.leaf_targets[i])];
      const auto weight = static_cast<double>(trees.weights[i]);
      sum = least ? std::min(sum, weight) : greatest ? std::max(sum, weight) : sum + weight / share;
    }
  }
  return {sums.begin(), sums.end()};
}

template <typename T>
void expect_equal_bits(const RandomTrees<T>& trees, const std::vector<T>& x,
                       const std::vector<T>& y) {
  const auto targets = static_cast<std::size_t>(trees.lists.targets);
  for (std::size_t row = 0; row < y.size() / targets; ++row) {
    const auto expected =
        expected_of(trees.lists, x.data() + row * static_cast<std::size_t>(trees.width));
    for (std::size_t i = 0; i < targets; ++i) {
      using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
      ASSERT_EQ(std::bit_cast<Bits>(y[row * targets + i]), std::bit_cast<Bits>(expected[i]))
          << "row " << row << ", target " << i << ": " << y[row * targets + i] << " for "
          << expected[i];
    }
  }
}

template <typename T>
void check_random_trees(std::uint64_t seeds) {
  const int before = thread_count();
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomTrees<T> trees(seed);
    ASSERT_TRUE(PackedTrees<T>::fits(trees.lists));
    const PackedTrees<T> packed(trees.lists);
    for (const std::int64_t rows : {std::int64_t{1}, std::int64_t{7}, trees.below(100)}) {
      const std::vector<T> x = trees.rows(rows);
      std::vector<T> y(static_cast<std::size_t>(rows * trees.lists.targets));
      set_thread_count(1 + static_cast<int>(seed % 4));
      packed.run(x.data(), rows, trees.width, y.data());
      expect_equal_bits(trees, x, y);
      if (testing::Test::HasFatalFailure()) break;
    }
    if (testing::Test::HasFatalFailure()) break;
  }
  set_thread_count(before);
}

TEST(PackedTrees, EqualsTheDefinitionOnRandomTreesOfFloats) { check_random_trees<float>(600); }
TEST(PackedTrees, EqualsTheDefinitionOnRandomTreesOfDoubles) { check_random_trees<double>(300); }

// More trees than one thread walks at a time.
TEST(PackedTrees, CutsTheTreesOfOneRow) {
  const int before = thread_count();
  RandomTrees<float> trees(5);
  while (trees.roots.size() < 3000)
    trees.roots.push_back(trees.below(static_cast<std::int64_t>(trees.features.size())));
  trees.lists.roots = trees.roots;
  const PackedTrees<float> packed(trees.lists);
  const std::vector<float> x = trees.rows(3);
  for (const int threads : {1, 2, 3, 4}) {
    set_thread_count(threads);
    std::vector<float> y(static_cast<std::size_t>(3 * trees.lists.targets));
    packed.run(x.data(), 3, trees.width, y.data());
    expect_equal_bits(trees, x, y);
  }
  set_thread_count(before);
}

}  // namespace
}  // namespace tandem
