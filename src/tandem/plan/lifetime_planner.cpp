#include "tandem/plan/lifetime_planner.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tandem {
namespace {

constexpr std::int64_t kUnplaced = -1;

bool overlap(const LifetimeBlock& a, const LifetimeBlock& b) {
  return a.first_step <= b.last_step && b.first_step <= a.last_step;
}

std::int64_t aligned(std::int64_t offset, std::int64_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

std::int64_t most_alive(const std::vector<LifetimeBlock>& blocks) {
  std::int64_t most = 0;
  for (const LifetimeBlock& at : blocks) {
    std::int64_t alive = 0;
    for (const LifetimeBlock& block : blocks)
      if (block.first_step <= at.first_step && at.first_step <= block.last_step)
        alive += block.bytes;
    most = std::max(most, alive);
  }
  return most;
}

// The occupied stretches that a block must avoid, by increasing offset.
std::vector<std::pair<std::int64_t, std::int64_t>> occupied(
    const std::vector<LifetimeBlock>& blocks, const std::vector<std::int64_t>& offsets,
    std::size_t block) {
  std::vector<std::pair<std::int64_t, std::int64_t>> stretches;
  for (std::size_t i = 0; i < blocks.size(); ++i)
    if (offsets[i] != kUnplaced && overlap(blocks[i], blocks[block]))
      stretches.emplace_back(offsets[i], offsets[i] + blocks[i].bytes);
  std::ranges::sort(stretches);
  return stretches;
}

// The smallest gap that holds the block (the lowest of equal ones); else above everything.
std::int64_t best_fit(const std::vector<LifetimeBlock>& blocks,
                      const std::vector<std::int64_t>& offsets, std::size_t block) {
  const LifetimeBlock& wanted = blocks[block];
  std::int64_t free_from = 0, best = kUnplaced, best_slack = 0;
  for (const auto& [begin, end] : occupied(blocks, offsets, block)) {
    const std::int64_t start = aligned(free_from, wanted.alignment);
    const std::int64_t slack = begin - start - wanted.bytes;
    if (slack >= 0 && (best == kUnplaced || slack < best_slack)) {
      best = start;
      best_slack = slack;
    }
    free_from = std::max(free_from, end);
  }
  return best == kUnplaced ? aligned(free_from, wanted.alignment) : best;
}

std::int64_t lowest_fit(const std::vector<LifetimeBlock>& blocks,
                        const std::vector<std::int64_t>& offsets, std::size_t block) {
  const LifetimeBlock& wanted = blocks[block];
  std::int64_t start = 0;
  for (const auto& [begin, end] : occupied(blocks, offsets, block)) {
    if (begin - start >= wanted.bytes) break;
    start = std::max(start, aligned(end, wanted.alignment));
  }
  return start;
}

std::int64_t peak_of(const std::vector<LifetimeBlock>& blocks,
                     const std::vector<std::int64_t>& offsets) {
  std::int64_t peak = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i)
    peak = std::max(peak, offsets[i] + blocks[i].bytes);
  return peak;
}

class ExhaustiveSearch {
 public:
  ExhaustiveSearch(const std::vector<LifetimeBlock>& blocks, LifetimeLayout& best)
      : blocks_(blocks), best_(best), offsets_(blocks.size(), kUnplaced) {}

  void run() { place(0, 0); }

 private:
  void place(std::size_t placed, std::int64_t peak) {
    if (peak >= best_.peak_bytes || best_.peak_bytes == best_.bound_bytes) return;
    if (placed == blocks_.size()) {
      best_.peak_bytes = peak;
      best_.offsets = offsets_;
      return;
    }
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      if (offsets_[i] != kUnplaced) continue;
      offsets_[i] = lowest_fit(blocks_, offsets_, i);
      place(placed + 1, std::max(peak, offsets_[i] + blocks_[i].bytes));
      offsets_[i] = kUnplaced;
    }
  }

  const std::vector<LifetimeBlock>& blocks_;
  LifetimeLayout& best_;
  std::vector<std::int64_t> offsets_;
};

}  // namespace

LifetimeLayout plan_lifetimes(const std::vector<LifetimeBlock>& blocks,
                              std::size_t exhaustive_blocks) {
  LifetimeLayout best;
  best.bound_bytes = most_alive(blocks);
  const auto life = [&](std::size_t i) { return blocks[i].last_step - blocks[i].first_step; };
  for (int rule = 0; rule < 3; ++rule) {
    std::vector<std::size_t> order(blocks.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
      if (rule == 0) return blocks[a].bytes > blocks[b].bytes;
      if (rule == 1)
        return life(a) != life(b) ? life(a) > life(b) : blocks[a].bytes > blocks[b].bytes;
      return blocks[a].first_step < blocks[b].first_step;
    });
    std::vector<std::int64_t> offsets(blocks.size(), kUnplaced);
    for (const std::size_t i : order) offsets[i] = best_fit(blocks, offsets, i);
    const std::int64_t peak = peak_of(blocks, offsets);
    if (best.offsets.empty() || peak < best.peak_bytes) {
      best.offsets = std::move(offsets);
      best.peak_bytes = peak;
    }
  }
  const bool exhaustive = blocks.size() <= exhaustive_blocks;
  if (exhaustive && best.peak_bytes > best.bound_bytes) ExhaustiveSearch(blocks, best).run();
  best.optimal = exhaustive || best.peak_bytes == best.bound_bytes;
  return best;
}

}  // namespace tandem
