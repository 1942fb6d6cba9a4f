#include "tandem/numerics/square_root.h"

#include <bit>

#include "tandem/base/error.h"

namespace tandem {

// Newton's steps on integers fall from any start at or above the root until they reach its floor,
// and rise or stay only there: they end when the next one does not fall, never after a fixed
// number.
std::int64_t floor_square_root(std::int64_t value) {
  ensure(value >= 0, "the square root of a negative integer");
  if (value == 0) return 0;
  const int bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(value)));
  std::int64_t root = std::int64_t{1} << ((bits + 1) / 2);
  for (;;) {
    const std::int64_t next = (root + value / root) / 2;
    if (next >= root) return root;
    root = next;
  }
}

}  // namespace tandem
