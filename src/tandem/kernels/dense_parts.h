#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace tandem {

// Internal to the room: how dense calls are cut into parts that threads compute.

// How many parts a call is cut into: enough for a few threads, none smaller than what a thread
// takes to wake up.
inline std::int64_t part_count(double operations, std::int64_t most) {
  constexpr double kLeastOperations = 1e6;
  constexpr std::int64_t kParts = 4;
  const auto affordable = static_cast<std::int64_t>(operations / kLeastOperations);
  return std::clamp<std::int64_t>(std::min(kParts, affordable), 1, std::max<std::int64_t>(most, 1));
}

struct DenseRange {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

// [0, size) in `parts` ranges whose borders are multiples of `unit`.
inline std::vector<DenseRange> dense_spans(std::int64_t size, std::int64_t parts,
                                           std::int64_t unit = 1) {
  const std::int64_t units = (size + unit - 1) / unit;
  std::vector<DenseRange> result;
  for (std::int64_t p = 0; p < parts; ++p) {
    const DenseRange span{units * p / parts * unit, std::min(size, units * (p + 1) / parts * unit)};
    if (span.size() > 0) result.push_back(span);
  }
  return result;
}

}  // namespace tandem
