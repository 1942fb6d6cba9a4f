#include "tandem/plan/lifetime_planner.h"

#include <algorithm>
#include <numeric>

#include "tandem/base/error.h"
#include "tandem/base/random.h"

namespace tandem {
namespace {

constexpr std::int64_t kUnplaced = -1;

bool overlap(const LifetimeBlock& a, const LifetimeBlock& b) {
  return a.first_step <= b.last_step && b.first_step <= a.last_step;
}

std::int64_t aligned(std::int64_t offset, std::int64_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

// Start offsets between (low, high), both exclusive, are taken.
struct Taken {
  std::int64_t low = 0, high = 0;
};

// Which starts each placed block takes from another one.
class Placement {
 public:
  explicit Placement(const std::vector<LifetimeBlock>& blocks)
      : blocks_(blocks), conflicts_(blocks.size()), offsets_(blocks.size(), kUnplaced) {
    for (std::size_t i = 0; i < blocks.size(); ++i)
      for (std::size_t k = 0; k < i; ++k)
        if (overlap(blocks[i], blocks[k])) add_conflict(i, k);
  }

  const std::vector<std::int64_t>& offsets() const { return offsets_; }
  std::int64_t end(std::size_t block) const { return offsets_[block] + blocks_[block].bytes; }
  std::int64_t peak() const {
    std::int64_t peak = 0;
    for (std::size_t i = 0; i < blocks_.size(); ++i) peak = std::max(peak, end(i));
    return peak;
  }
  bool is_placed(std::size_t block) const { return offsets_[block] != kUnplaced; }
  void remove(std::size_t block) { offsets_[block] = kUnplaced; }
  void clear() { offsets_.assign(blocks_.size(), kUnplaced); }

  // At the lowest offset that is free.
  void place_lowest(std::size_t block) {
    std::int64_t start = 0;
    for (const auto& [low, high] : taken(block)) {
      if (start <= low) break;
      if (start < high) start = aligned(high, blocks_[block].alignment);
    }
    offsets_[block] = start;
  }

  // In the tightest gap (the lowest of equal ones); else above everything.
  void place_best(std::size_t block) {
    std::int64_t start = 0, best = kUnplaced, best_slack = 0;
    for (const auto& [low, high] : taken(block)) {
      const std::int64_t slack = low - start;
      if (slack >= 0 && (best == kUnplaced || slack < best_slack)) {
        best = start;
        best_slack = slack;
      }
      if (start < high) start = aligned(high, blocks_[block].alignment);
    }
    offsets_[block] = best == kUnplaced ? start : best;
  }

 private:
  struct Conflict {
    std::size_t other;
    Taken taken;  // relative to the other's offset
  };

  // How far behind `born` the block `dying` must start to share bytes with it; the bytes of `born`
  // where it must not.
  std::int64_t distance(std::size_t born, std::size_t dying) const {
    for (const Takeover& takeover : blocks_[born].takeovers)
      if (takeover.dying == dying) return std::min(takeover.distance, blocks_[born].bytes);
    return blocks_[born].bytes;
  }

  void add_conflict(std::size_t a, std::size_t b) {
    // a >= b + behind_a or b >= a + behind_b.
    std::int64_t behind_a = distance(b, a), behind_b = distance(a, b);
    if (-behind_a >= blocks_[a].bytes || -behind_b >= blocks_[b].bytes) return;
    // The search for offsets moves blocks down one by one, so a block must not need another one to
    // stay where it is: no distance is negative.
    behind_a = std::max<std::int64_t>(behind_a, 0);
    behind_b = std::max<std::int64_t>(behind_b, 0);
    conflicts_[a].push_back({b, {-behind_b, behind_a}});
    conflicts_[b].push_back({a, {-behind_a, behind_b}});
  }

  const std::vector<Taken>& taken(std::size_t block) {
    taken_.clear();
    for (const auto& [other, range] : conflicts_[block])
      if (is_placed(other))
        taken_.push_back({offsets_[other] + range.low, offsets_[other] + range.high});
    std::ranges::sort(taken_, {}, &Taken::low);
    return taken_;
  }

  const std::vector<LifetimeBlock>& blocks_;
  std::vector<std::vector<Conflict>> conflicts_;  // by block
  std::vector<std::int64_t> offsets_;
  std::vector<Taken> taken_;  // kept for its memory
};

class Search {
 public:
  Search(const std::vector<LifetimeBlock>& blocks, LifetimeLayout& best)
      : blocks_(blocks), best_(best), placement_(blocks) {}

  void try_order(const std::vector<std::size_t>& order) {
    for (const bool lowest : {false, true}) {
      const std::int64_t peak = place(order, lowest);
      if (!best_order_.empty() && peak >= best_.peak_bytes) continue;
      keep(peak);
      best_order_ = order;
      best_lowest_ = lowest;
    }
  }

  // Moves a block at the peak to the front of the best order or somewhere before its place, again
  // and again.
  void improve(int tries) {
    RandomSequence random(0, "plan/lifetimes");
    std::vector<std::size_t> order = best_order_;
    std::int64_t least = best_.peak_bytes;
    while (tries-- > 0 && !is_done()) {
      place(order, best_lowest_);
      std::vector<std::size_t> highest;
      for (std::size_t i = 1; i < order.size(); ++i)
        if (placement_.end(order[i]) == least) highest.push_back(i);
      if (highest.empty()) return;
      const auto count = static_cast<std::int64_t>(highest.size());
      const std::size_t from = highest[static_cast<std::size_t>(random.integer(0, count - 1))];
      const auto to = random.integer(0, static_cast<std::int64_t>(from) - 1);
      std::vector<std::size_t> moved = order;
      std::rotate(moved.begin() + to, moved.begin() + static_cast<std::ptrdiff_t>(from),
                  moved.begin() + static_cast<std::ptrdiff_t>(from) + 1);
      const std::int64_t peak = place(moved, best_lowest_);
      if (peak < best_.peak_bytes) keep(peak);
      if (peak > least) continue;
      least = peak;
      order = std::move(moved);
    }
  }

  void exhaust() {
    placement_.clear();
    exhaust(0, 0);
  }

  bool is_done() const { return best_.peak_bytes == best_.bound_bytes; }

 private:
  std::int64_t place(const std::vector<std::size_t>& order, bool lowest) {
    placement_.clear();
    for (const std::size_t block : order)
      lowest ? placement_.place_lowest(block) : placement_.place_best(block);
    return placement_.peak();
  }

  void keep(std::int64_t peak) {
    best_.peak_bytes = peak;
    best_.offsets = placement_.offsets();
  }

  void exhaust(std::size_t placed, std::int64_t peak) {
    if (peak >= best_.peak_bytes || is_done()) return;
    if (placed == blocks_.size()) return keep(peak);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      if (placement_.is_placed(i)) continue;
      placement_.place_lowest(i);
      exhaust(placed + 1, std::max(peak, placement_.end(i)));
      placement_.remove(i);
    }
  }

  const std::vector<LifetimeBlock>& blocks_;
  LifetimeLayout& best_;
  Placement placement_;
  std::vector<std::size_t> best_order_;
  bool best_lowest_ = false;
};

// The bytes that a takeover saves at most.
std::int64_t most_shared(const LifetimeBlock& born, const LifetimeBlock& dying,
                         std::int64_t distance) {
  const std::int64_t together = std::max({born.bytes, dying.bytes, distance + dying.bytes});
  return std::max<std::int64_t>(born.bytes + dying.bytes - together, 0);
}

// The bytes of some blocks, less what each two of them may share.
std::int64_t bytes_together(const std::vector<LifetimeBlock>& blocks,
                            const std::vector<std::size_t>& some) {
  std::int64_t bytes = 0;
  for (const std::size_t i : some) {
    bytes += blocks[i].bytes;
    for (const Takeover& takeover : blocks[i].takeovers)
      if (std::ranges::find(some, takeover.dying) != some.end())
        bytes -= most_shared(blocks[i], blocks[takeover.dying], takeover.distance);
  }
  return bytes;
}

}  // namespace

std::int64_t least_bytes(const std::vector<LifetimeBlock>& blocks, std::size_t step) {
  constexpr std::size_t kMostShared = 10;
  std::vector<std::size_t> plain, sharing;  // alive; with takeovers in this step
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const LifetimeBlock& block = blocks[i];
    if (step < block.first_step || block.last_step < step) continue;
    const bool ends_here = block.first_step == step || block.last_step == step;
    (ends_here && sharing.size() < kMostShared ? sharing : plain).push_back(i);
  }
  // Any of them need that much, and where many share the same bytes, a few may need more than all.
  std::int64_t most = 0;
  for (std::size_t subset = 0; subset < std::size_t{1} << sharing.size(); ++subset) {
    std::vector<std::size_t> some = plain;
    for (std::size_t k = 0; k < sharing.size(); ++k)
      if ((subset >> k & 1) != 0) some.push_back(sharing[k]);
    most = std::max(most, bytes_together(blocks, some));
  }
  return most;
}

LifetimeLayout plan_lifetimes(const std::vector<LifetimeBlock>& blocks,
                              std::size_t exhaustive_blocks) {
  LifetimeLayout best;
  for (const LifetimeBlock& block : blocks) {
    best.bound_bytes = std::max(best.bound_bytes, least_bytes(blocks, block.first_step));
    for (const Takeover& takeover : block.takeovers)
      ensure(overlap(blocks.at(takeover.dying), block) &&
                 blocks[takeover.dying].first_step <= block.first_step,
             "a block takes over from one that is not there when it starts");
  }
  Search search(blocks, best);
  const auto life = [&](std::size_t i) { return blocks[i].last_step - blocks[i].first_step; };
  for (int rule = 0; rule < 4; ++rule) {
    std::vector<std::size_t> order(blocks.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
      if (rule == 0) return blocks[a].bytes > blocks[b].bytes;
      if (rule == 1)
        return life(a) != life(b) ? life(a) > life(b) : blocks[a].bytes > blocks[b].bytes;
      if (rule == 2) return blocks[a].first_step < blocks[b].first_step;
      return blocks[a].last_step > blocks[b].last_step;
    });
    search.try_order(order);
  }
  constexpr int kTries = 500;
  search.improve(kTries);
  const bool exhaustive = blocks.size() <= exhaustive_blocks;
  if (exhaustive && !search.is_done()) search.exhaust();
  best.optimal = exhaustive || search.is_done();
  return best;
}

}  // namespace tandem
