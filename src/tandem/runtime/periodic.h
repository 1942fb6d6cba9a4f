#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/ops/broadcast.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

// Internal to the room: constants that broadcast to a value, as arrays that repeat.

// After how many elements of `to` (row-major) a tensor of shape `from` that broadcasts to it
// repeats.
inline std::int64_t broadcast_period(const Shape& from, const Shape& to) {
  std::size_t first = 0;
  while (first < from.size() && from[first] == 1) ++first;
  std::int64_t period = 1;
  for (std::size_t d = first + to.size() - from.size(); d < to.size(); ++d) period *= to[d];
  return period;
}

// A period made of whole periods, long enough that walking along it is cheap.
inline std::int64_t comfortable_period(std::int64_t period, std::int64_t size) {
  constexpr std::int64_t kComfortable = 512;
  if (period >= kComfortable) return period;
  const std::int64_t repeats =
      std::min((kComfortable + period - 1) / period, (size + period - 1) / period);
  return period * std::max<std::int64_t>(repeats, 1);
}

// The integers of a constant for elements 0 to period - 1 of a value of shape `to`.
template <typename T>
std::vector<T> expanded_constant(const Tensor& constant, const Shape& to, std::int64_t period) {
  const std::int64_t own = broadcast_period(constant.shape(), to);
  ensure(period % own == 0, "a constant repeats in another period");
  const auto integers = constant.to_integers();
  const auto offsets = broadcast_offsets(constant.shape(), to);
  std::vector<T> result(static_cast<std::size_t>(period));
  for (std::int64_t i = 0; i < period; ++i) {
    const auto offset = static_cast<std::size_t>(offsets[static_cast<std::size_t>(i % own)]);
    result[static_cast<std::size_t>(i)] = static_cast<T>(integers[offset]);
  }
  return result;
}

// Calls visit(done, phase, count) for the parts of [begin, begin + count) between the ends of the
// periods: `done` elements came before, `phase` is the position in the period.
template <typename Visit>
void for_each_period(std::int64_t period, std::int64_t begin, std::int64_t count, Visit visit) {
  std::int64_t done = 0;
  while (done < count) {
    const std::int64_t phase = (begin + done) % period;
    const std::int64_t now = std::min(period - phase, count - done);
    visit(done, phase, now);
    done += now;
  }
}

}  // namespace tandem
