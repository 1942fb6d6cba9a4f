#include "tandem/kernels/tree_ensemble.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tandem/base/threads.h"
#include "tandem/kernels/thread_memory.h"

namespace tandem {
namespace {

constexpr std::size_t kWalks = 8;  // under way at once
constexpr std::uint32_t kNanHolds = std::uint32_t{1} << 31;

enum Comparison : std::int64_t { kAtMost, kBelow, kAtLeast, kAbove, kEqual };

}  // namespace

// A node that asks whether x <= split.
template <typename T>
struct PackedTrees<T>::Plain {
  T split;
  std::int64_t feature;
  bool nan_holds;
  std::int64_t if_true, if_false;
};

template <typename T>
class PackedTrees<T>::Packer {
 public:
  Packer(const TreeLists<T>& lists, PackedTrees& trees) : lists_(lists), trees_(trees) {}

  void run() {
    for (std::size_t i = 0; i < lists_.features.size(); ++i) nodes_.push_back(plain(i));
    // What makes an equality of two questions stands behind all nodes.
    for (std::size_t i = 0; i < lists_.features.size(); ++i)
      if (lists_.comparisons[i] >= kEqual && !std::isnan(lists_.splits[i])) split_equality(i);
    pairs_.assign(nodes_.size(), 0);
    for (const std::int64_t root : lists_.roots) {
      const auto place = static_cast<std::uint32_t>(trees_.slots_.size());
      trees_.slots_.emplace_back();
      trees_.roots_.push_back(place);
      todo_.push_back({place, root});
      while (!todo_.empty()) {
        const auto [at, node] = todo_.back();
        todo_.pop_back();
        const Slot slot = node < 0 ? leaf(at, -1 - node) : inner(static_cast<std::size_t>(node));
        trees_.slots_[at] = slot;  // which has moved where inner() added some
      }
    }
  }

 private:
  static T before(T split) {
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    // Nothing is below -infinity, and nothing at most NaN.
    return split == -kInfinity ? std::numeric_limits<T>::quiet_NaN()
                               : std::nextafter(split, -kInfinity);
  }

  Plain plain(std::size_t i) const {
    const std::int64_t mode = lists_.comparisons[i];
    const T split = lists_.splits[i];
    const bool nan = !lists_.nan_is_true.empty() && lists_.nan_is_true[i] != 0;
    const std::int64_t feature = lists_.features[i], yes = lists_.if_true[i],
                       no = lists_.if_false[i];
    if (std::isnan(split)) {  // nothing holds but `!=`
      if (mode > kEqual) return {split, feature, false, no, yes};
      return {split, feature, nan, yes, no};
    }
    switch (mode) {
      case kAtMost: return {split, feature, nan, yes, no};
      case kBelow: return {before(split), feature, nan, yes, no};
      case kAtLeast: return {before(split), feature, !nan, no, yes};
      case kAbove: return {split, feature, !nan, no, yes};
      // Whether x is above; else whether it is below comes next. NaN equals nothing.
      case kEqual: return {split, feature, nan, yes, no};
      default: return {split, feature, false, no, yes};
    }
  }

  // Node i, which asks for x <= split, asks next for x <= the number before.
  void split_equality(std::size_t i) {
    Plain& first = nodes_[i];
    const Plain second{before(first.split), first.feature, false, first.if_false, first.if_true};
    first.if_true = static_cast<std::int64_t>(nodes_.size());
    nodes_.push_back(second);
  }

  Slot leaf(std::uint32_t at, std::int64_t which) const {
    return {std::numeric_limits<T>::quiet_NaN(), 0, at, static_cast<std::uint32_t>(which)};
  }

  // Nodes that several lead to have a place beside each of their partners, but lead on to one pair.
  Slot inner(std::size_t i) {
    const Plain& node = nodes_[i];
    trees_.asks_ = true;
    if (pairs_[i] == 0) {
      pairs_[i] = static_cast<std::uint32_t>(trees_.slots_.size());
      trees_.slots_.resize(trees_.slots_.size() + 2);
      todo_.push_back({pairs_[i], node.if_false});
      todo_.push_back({pairs_[i] + 1, node.if_true});
    }
    if (node.nan_holds) trees_.heeds_nan_ = true;
    return {node.split, static_cast<std::uint32_t>(node.feature) | (node.nan_holds ? kNanHolds : 0),
            pairs_[i], 0};
  }

  struct Todo {
    std::uint32_t at;
    std::int64_t node;
  };
  const TreeLists<T>& lists_;
  PackedTrees& trees_;
  std::vector<Plain> nodes_;
  std::vector<std::uint32_t> pairs_;  // by node: the slots that it leads to; 0: none yet
  std::vector<Todo> todo_;
};

template <typename T>
bool PackedTrees<T>::fits(const TreeLists<T>& lists) {
  constexpr std::size_t kMost = std::size_t{1} << 28;
  const auto is_small = [](std::int64_t feature) { return feature < std::int64_t{kNanHolds}; };
  return lists.features.size() < kMost && lists.roots.size() < kMost &&
         lists.leaf_targets.size() < kMost && lists.leaf_starts.size() < kMost &&
         lists.targets < std::int64_t{kMost} && std::ranges::all_of(lists.features, is_small);
}

template <typename T>
PackedTrees<T>::PackedTrees(const TreeLists<T>& lists)
    : targets_(static_cast<std::size_t>(lists.targets)) {
  Packer(lists, *this).run();
  set_leaves(lists);
}

template <typename T>
void PackedTrees<T>::set_leaves(const TreeLists<T>& lists) {
  using Join = typename TreeLists<T>::Join;
  const std::size_t entries = lists.leaf_targets.size();
  for (std::size_t i = 0; i < entries; ++i) starts_.push_back(static_cast<std::uint32_t>(i));
  if (!lists.leaf_starts.empty())
    starts_.assign(lists.leaf_starts.begin(), lists.leaf_starts.end());
  starts_.push_back(static_cast<std::uint32_t>(entries));
  const double share = lists.join == Join::kMean ? static_cast<double>(lists.roots.size()) : 1.0;
  bool is_dense = starts_.front() == 0 && entries == (starts_.size() - 1) * targets_;
  for (std::size_t i = 0; i < entries; ++i) {
    values_.push_back(static_cast<double>(lists.weights[i]) / share);
    value_targets_.push_back(static_cast<std::uint32_t>(lists.leaf_targets[i]));
    is_dense = is_dense && value_targets_[i] == i % targets_;
  }
  for (std::size_t leaf = 0; leaf < starts_.size(); ++leaf)
    is_dense = is_dense && starts_[leaf] == leaf * targets_;
  if (lists.join == Join::kMin) {
    form_ = Leaves::kMin;
    first_ = std::numeric_limits<T>::max();
  } else if (lists.join == Join::kMax) {
    form_ = Leaves::kMax;
    first_ = std::numeric_limits<T>::lowest();
  } else if (is_dense) {
    form_ = Leaves::kDense;
    starts_ = value_targets_ = {};
  }
}

template <typename T>
inline void PackedTrees<T>::add(std::uint32_t leaf, double* sums) const {
  if (form_ == Leaves::kDense) {
    const double* values = values_.data() + leaf * targets_;
    for (std::size_t i = 0; i < targets_; ++i) sums[i] += values[i];
    return;
  }
  for (std::uint32_t i = starts_[leaf]; i < starts_[leaf + 1]; ++i) {
    double& sum = sums[value_targets_[i]];
    switch (form_) {
      case Leaves::kMin: sum = std::min(sum, values_[i]); break;
      case Leaves::kMax: sum = std::max(sum, values_[i]); break;
      default: sum += values_[i];
    }
  }
}

// Eight walks, each from a slot of its own on a row `stride` behind the one before, until all stand
// at leaves.
template <typename T>
template <bool kNan>
inline void PackedTrees<T>::walk(const T* x, std::int64_t stride, const std::uint32_t* from,
                                 std::uint32_t* leaves) const {
  const Slot* slots = slots_.data();
  std::uint32_t at[kWalks], moved = 0;
  for (std::size_t k = 0; k < kWalks; ++k) at[k] = from[k];
  do {
    moved = 0;
#pragma GCC unroll 8
    for (std::size_t k = 0; k < kWalks; ++k) {
      const Slot& slot = slots[at[k]];
      const T* row = x + static_cast<std::int64_t>(k) * stride;
      std::uint32_t next = slot.next;
      if constexpr (kNan) {
        const T value = row[slot.feature & ~kNanHolds];
        next += static_cast<std::uint32_t>(value <= slot.split) |
                (static_cast<std::uint32_t>(value != value) & (slot.feature >> 31));
      } else {
        next += static_cast<std::uint32_t>(row[slot.feature] <= slot.split);
      }
      moved |= next ^ at[k];
      at[k] = next;
    }
  } while (moved != 0);
  for (std::size_t k = 0; k < kWalks; ++k) leaves[k] = slots[at[k]].leaf;
}

// Whole groups of rows, tree by tree, so that one tree after the other stays in the first cache.
// Each sum still takes the trees in their order.
template <typename T>
template <bool kNan>
void PackedTrees<T>::run_rows(const T* x, std::int64_t rows, std::int64_t width, T* y) const {
  const auto groups = static_cast<std::size_t>(rows) / kWalks;
  const std::size_t count = groups * kWalks * targets_;
  thread_local ThreadMemory memory;
  auto* sums = static_cast<double*>(memory.take(count * sizeof(double)));
  std::fill(sums, sums + count, first_);
  for (const std::uint32_t root : roots_) {
    std::uint32_t from[kWalks], leaves[kWalks];
    std::fill(from, from + kWalks, root);
    for (std::size_t group = 0; group < groups; ++group) {
      const std::size_t row = group * kWalks;
      walk<kNan>(x + static_cast<std::int64_t>(row) * width, width, from, leaves);
      for (std::size_t k = 0; k < kWalks; ++k) add(leaves[k], sums + (row + k) * targets_);
    }
  }
  for (std::size_t i = 0; i < count; ++i) y[i] = static_cast<T>(sums[i]);
}

// One row, eight trees at a time.
template <typename T>
template <bool kNan>
void PackedTrees<T>::run_row(const T* x, T* y) const {
  constexpr std::int64_t kTrees = 512;  // that one thread walks at a time
  const auto trees = static_cast<std::int64_t>(roots_.size());
  thread_local ThreadMemory memory, leaf_memory;
  auto* sums = static_cast<double*>(memory.take(targets_ * sizeof(double)));
  auto* leaves = static_cast<std::uint32_t*>(
      leaf_memory.take((roots_.size() + kWalks) * sizeof(std::uint32_t)));
  parallel_for(0, trees, kTrees, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t tree = begin; tree < end; tree += kWalks) {
      std::uint32_t from[kWalks];
      for (std::int64_t k = 0; k < std::int64_t{kWalks}; ++k)
        from[k] = roots_[static_cast<std::size_t>(std::min(tree + k, trees - 1))];
      walk<kNan>(x, 0, from, leaves + tree);
    }
  });
  std::fill(sums, sums + targets_, first_);
  for (std::int64_t tree = 0; tree < trees; ++tree) add(leaves[tree], sums);
  for (std::size_t i = 0; i < targets_; ++i) y[i] = static_cast<T>(sums[i]);
}

template <typename T>
void PackedTrees<T>::run(const T* x, std::int64_t rows, std::int64_t width, T* y) const {
  const T nothing = 0;
  if (!asks_) {  // a leaf looks at x[0], where there may be none
    x = &nothing;
    width = 0;
  }
  heeds_nan_ ? run_all<true>(x, rows, width, y) : run_all<false>(x, rows, width, y);
}

template <typename T>
template <bool kNan>
void PackedTrees<T>::run_all(const T* x, std::int64_t rows, std::int64_t width, T* y) const {
  constexpr auto kGroup = static_cast<std::int64_t>(kWalks);
  const auto targets = static_cast<std::int64_t>(targets_);
  const auto run_single = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      run_row<kNan>(x + row * width, y + row * targets);
  };
  if (rows < kGroup) return run_single(0, rows);  // whose trees are cut
  // Blocks of rows whose sums stay in the first cache, and of which threads get several.
  const std::int64_t most = std::clamp<std::int64_t>(2048 / targets, kGroup, 64);
  const std::int64_t block = std::clamp<std::int64_t>(rows / 8, kGroup, most) / kGroup * kGroup;
  parallel_for(0, rows, block, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t whole = (end - begin) / kGroup * kGroup;
    run_rows<kNan>(x + begin * width, whole, width, y + begin * targets);
    run_single(begin + whole, end);
  });
}

template class PackedTrees<float>;
template class PackedTrees<double>;

}  // namespace tandem
