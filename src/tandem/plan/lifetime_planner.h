#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tandem {

// A block of memory that is needed from one step to another, both inclusive.
struct LifetimeBlock {
  std::int64_t bytes = 0;
  std::int64_t alignment = 1;  // a power of two
  std::size_t first_step = 0, last_step = 0;
};

struct LifetimeLayout {
  std::vector<std::int64_t> offsets;  // of each block
  std::int64_t peak_bytes = 0;        // the highest end
  std::int64_t bound_bytes = 0;       // no layout can be lower: the most bytes alive at one step
  bool optimal = false;               // proven: the bound is met, or the search was exhaustive
};

// Places blocks in one arena so that blocks whose lives overlap do not share bytes. Best fit in
// several orders (largest first, longest first, earliest first); up to `exhaustive_blocks` blocks
// that miss the bound are then searched exhaustively by branch and bound over the order of
// placement (every layout in which no block can sink is reached by one).
LifetimeLayout plan_lifetimes(const std::vector<LifetimeBlock>& blocks,
                              std::size_t exhaustive_blocks = 9);

}  // namespace tandem
