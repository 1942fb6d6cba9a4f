#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tandem {

// Leave for a block to share bytes with one that is still needed when it is first needed itself (in
// that step only, or in more): `dying` must start `distance` or more bytes behind it. 0 or less: at
// the same address or behind it; -(bytes of the dying block) or less: anywhere.
struct Takeover {
  std::size_t dying = 0;  // index of the other block
  std::int64_t distance = 0;
};

// A block of memory that is needed from one step to another, both inclusive.
struct LifetimeBlock {
  std::int64_t bytes = 0;
  std::int64_t alignment = 1;  // the offset is a multiple of it
  std::size_t first_step = 0, last_step = 0;
  std::vector<Takeover> takeovers = {};
};

struct LifetimeLayout {
  std::vector<std::int64_t> offsets;  // of each block
  std::int64_t peak_bytes = 0;        // the highest end
  std::int64_t bound_bytes = 0;       // no layout can be lower
  bool optimal = false;               // proven: the bound is met, or the search was exhaustive
};

// The bytes that blocks need in one step at least: the sum of those alive, less what takeovers let
// them share.
std::int64_t least_bytes(const std::vector<LifetimeBlock>& blocks, std::size_t step);

// Places blocks in one arena so that blocks whose lives overlap do not share bytes, but for
// takeovers. Best and lowest fit in several orders (largest first, longest first, earliest and
// latest first), then a search that moves blocks at the peak forward in the order; up to
// `exhaustive_blocks` blocks that miss the bound are then searched exhaustively by branch and bound
// over the order of placement (every layout in which no block can sink is reached by one).
LifetimeLayout plan_lifetimes(const std::vector<LifetimeBlock>& blocks,
                              std::size_t exhaustive_blocks = 9);

}  // namespace tandem
