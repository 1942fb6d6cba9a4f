#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tandem {

// Decision trees as the operator TreeEnsemble lists them: node i compares x[features[i]] with
// splits[i] and goes to a later node, or to a leaf as -1 - leaf.
template <typename T>
struct TreeLists {
  using Integers = std::span<const std::int64_t>;
  Integers features, comparisons, if_true, if_false, roots;
  Integers nan_is_true;  // empty: NaN goes nowhere as if it held
  const T* splits = nullptr;
  Integers leaf_starts;  // empty: each leaf has one weight
  Integers leaf_targets;
  const T* weights = nullptr;
  enum class Join { kSum, kMean, kMin, kMax } join = Join::kSum;
  std::int64_t targets = 1;
};

// The same trees, laid out for walks. Each node lies in 16 bytes (of float), and the two that it
// leads to side by side, so that a step is a comparison and an addition; a leaf leads to itself.
// All comparisons are `at most`: x < s is x <= the number before s, x > s swaps the ways of x <= s,
// and x == s asks twice. Eight walks are under way at once, so that none waits for memory alone.
template <typename T>
class PackedTrees {
 public:
  // Whether its places can be counted in 31 bits. The lists must be those of a valid operator.
  static bool fits(const TreeLists<T>& lists);
  explicit PackedTrees(const TreeLists<T>& lists);

  // y [rows, targets] of x [rows, width]: bit for bit what the operator's definition says, on any
  // number of threads.
  void run(const T* x, std::int64_t rows, std::int64_t width, T* y) const;

 private:
  struct Slot {
    T split;  // NaN in a leaf: no comparison holds
    std::uint32_t feature, next, leaf;
  };
  struct Plain;
  class Packer;
  void set_leaves(const TreeLists<T>& lists);
  void add(std::uint32_t leaf, double* sums) const;
  template <bool kNan>
  void walk(const T* x, std::int64_t stride, const std::uint32_t* from,
            std::uint32_t* leaves) const;
  template <bool kNan>
  void run_all(const T* x, std::int64_t rows, std::int64_t width, T* y) const;
  template <bool kNan>
  void run_rows(const T* x, std::int64_t rows, std::int64_t width, T* y) const;
  template <bool kNan>
  void run_row(const T* x, T* y) const;

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> roots_;  // by tree: its slot
  bool asks_ = false, heeds_nan_ = false;

  // What the leaves add: one number for each target in order, or listed with its target.
  enum class Leaves { kDense, kSum, kMin, kMax } form_ = Leaves::kSum;
  std::vector<double> values_;
  std::vector<std::uint32_t> starts_, value_targets_;
  std::size_t targets_ = 1;
  double first_ = 0;  // of each sum
};

}  // namespace tandem
