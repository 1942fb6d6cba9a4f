#include "tandem/kernels/saturation.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace tandem {
namespace {

constexpr std::int64_t kColumns = PairedPanel::kColumns, kBlock = PairedPanel::kBlock;

// What the positive and the negative products alone add up to bounds every part of a sum.
struct Reach {
  int positive = 0, negative = 0;

  void add(int weight) { (weight > 0 ? positive : negative) += weight; }
  bool fits(int most) const { return positive * most <= INT16_MAX && negative * most >= INT16_MIN; }
};

// Sixteen rows of a panel and how they are paired.
class Block {
 public:
  Block(const std::int8_t* weights, int most) : weights_(weights), most_(most) {}

  // Pairs, the proven ones first; `proven` of them are.
  std::array<std::pair<int, int>, kBlock / 2> paired(std::int64_t& proven) const {
    auto pairs = greedy();
    repair(pairs);
    const auto end = std::stable_partition(pairs.begin(), pairs.end(), [&](const auto& pair) {
      return fits(pair.first, pair.second);
    });
    proven = end - pairs.begin();
    return pairs;
  }

 private:
  int weight(int row, std::int64_t column) const { return weights_[row * kColumns + column]; }
  bool fits(int a, int b) const {
    for (std::int64_t j = 0; j < kColumns; ++j) {
      Reach reach;
      reach.add(weight(a, j));
      reach.add(weight(b, j));
      if (!reach.fits(most_)) return false;
    }
    return true;
  }
  int greatest(int row) const {
    int result = 0;
    for (std::int64_t j = 0; j < kColumns; ++j) result = std::max(result, std::abs(weight(row, j)));
    return result;
  }

  // The largest row takes the smallest one that fits, and so on.
  std::array<std::pair<int, int>, kBlock / 2> greedy() const {
    std::array<int, kBlock> order{};
    std::iota(order.begin(), order.end(), 0);
    std::array<int, kBlock> size{};
    for (const int row : order) size[static_cast<std::size_t>(row)] = greatest(row);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      return size[static_cast<std::size_t>(a)] > size[static_cast<std::size_t>(b)];
    });
    std::vector<int> left(order.begin(), order.end());
    std::array<std::pair<int, int>, kBlock / 2> pairs{};
    for (auto& pair : pairs) {
      const int row = left.front();
      left.erase(left.begin());
      auto partner = std::find_if(left.rbegin(), left.rend(), [&](int b) { return fits(row, b); });
      if (partner == left.rend()) partner = left.rbegin();
      pair = {row, *partner};
      left.erase(std::next(partner).base());
    }
    return pairs;
  }

  // Swaps partners with other pairs where both then fit.
  void repair(std::array<std::pair<int, int>, kBlock / 2>& pairs) const {
    for (auto& pair : pairs) {
      if (fits(pair.first, pair.second)) continue;
      for (auto& other : pairs) {
        if (&other == &pair) continue;
        if (fits(pair.first, other.second) && fits(other.first, pair.second)) {
          std::swap(pair.second, other.second);
          break;
        }
        if (fits(pair.first, other.first) && fits(pair.second, other.second)) {
          std::swap(pair.second, other.first);
          break;
        }
      }
    }
  }

  const std::int8_t* weights_;
  int most_;
};

// Appends steps to a panel and closes a group when the next step would not fit.
class Steps {
 public:
  Steps(PairedPanel& panel, int most) : panel_(panel), most_(most) {}

  // Rows a to d of the block at `offset`; a row below 0 stands for zeros.
  void add(const std::int8_t* block, std::uint32_t offset, std::array<int, 4> rows) {
    PairedPanel::Step step{offset, {}};
    std::array<std::int8_t, kColumns * 4> weights{};
    for (std::size_t i = 0; i < 4; ++i) {
      if (rows[i] < 0) continue;
      step.picks[i] = static_cast<std::uint8_t>(rows[i]);
      for (std::size_t j = 0; j < kColumns; ++j)
        weights[4 * j + i] = block[static_cast<std::size_t>(rows[i]) * kColumns + j];
    }
    if (std::all_of(weights.begin(), weights.end(), [](std::int8_t w) { return w == 0; })) return;
    auto reach = reach_;
    accumulate(weights, reach);
    const bool fits =
        std::all_of(reach.begin(), reach.end(), [&](const Reach& r) { return r.fits(most_); });
    if (!fits) {
      reach = {};
      accumulate(weights, reach);
    }
    if (!fits || panel_.groups.empty()) panel_.groups.push_back(0);
    ++panel_.groups.back();
    reach_ = reach;
    panel_.steps.push_back(step);
    panel_.weights.insert(panel_.weights.end(), weights.begin(), weights.end());
  }

 private:
  using Reaches = std::array<Reach, kColumns * 2>;  // of each 16-bit sum
  static void accumulate(const std::array<std::int8_t, kColumns * 4>& weights, Reaches& reach) {
    for (std::size_t i = 0; i < weights.size(); ++i) reach[i / 2].add(weights[i]);
  }

  PairedPanel& panel_;
  int most_;
  Reaches reach_{};
};

}  // namespace

PairedPanel pair_panel(std::span<const std::int8_t> weights, std::int64_t depth, int most) {
  PairedPanel panel;
  Steps steps(panel, most);
  for (std::int64_t row = 0; row < depth; row += kBlock) {
    const std::int8_t* block = weights.data() + row * kColumns;
    std::int64_t proven = 0;
    const auto pairs = Block(block, most).paired(proven);
    const auto offset = static_cast<std::uint32_t>(row);
    panel.pairs += kBlock / 2;
    panel.unproven += kBlock / 2 - proven;
    for (std::int64_t p = 0; p < kBlock / 2; ++p) {
      const auto [a, b] = pairs[static_cast<std::size_t>(p)];
      if (p + 1 < proven) {
        const auto [c, d] = pairs[static_cast<std::size_t>(++p)];
        steps.add(block, offset, {a, b, c, d});
      } else if (p < proven) {
        steps.add(block, offset, {a, b, -1, -1});
      } else {
        steps.add(block, offset, {a, -1, b, -1});
      }
    }
  }
  return panel;
}

bool fits_16_bits(std::span<const std::int8_t> weights, int most) {
  Reach reach;
  for (const std::int8_t weight : weights) reach.add(weight);
  return reach.fits(most);
}

}  // namespace tandem
