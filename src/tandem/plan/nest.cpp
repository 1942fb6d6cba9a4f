#include "tandem/plan/nest.h"

#include <algorithm>
#include <numeric>

#include "tandem/base/error.h"

namespace tandem {

std::int64_t NestLoop::least() const {
  if (!table.empty()) return *std::min_element(table.begin(), table.end());
  return std::min<std::int64_t>(0, (count - 1) * stride);
}

std::int64_t Nest::beats() const {
  std::int64_t beats = 1;
  for (const NestLoop& loop : loops) beats *= loop.count;
  return beats;
}

NestWalker::NestWalker(const Nest& nest)
    : nest_(&nest), index_(nest.loops.size(), 0), address_(nest.base) {
  for (const NestBound& bound : nest.bounds) coordinates_.push_back(bound.base);
}

bool NestWalker::inside() const {
  for (std::size_t b = 0; b < coordinates_.size(); ++b)
    if (coordinates_[b] < 0 || coordinates_[b] >= nest_->bounds[b].extent) return false;
  return true;
}

std::size_t NestWalker::advance() {
  for (std::size_t l = nest_->loops.size(); l-- > 0;) {
    const NestLoop& loop = nest_->loops[l];
    const std::int64_t from = index_[l];
    const std::int64_t to = from + 1 < loop.count ? from + 1 : 0;
    index_[l] = to;
    address_ += loop.at(to) - loop.at(from);
    for (std::size_t b = 0; b < coordinates_.size(); ++b)
      coordinates_[b] += (to - from) * nest_->bounds[b].strides[l];
    if (to != 0) return l;
  }
  return nest_->loops.size();
}

Release release_rule(const Nest& nest) {
  const auto& loops = nest.loops;
  const auto monotone = [&](std::size_t count) {
    for (std::size_t l = 0; l < count; ++l) {
      std::int64_t back = 0;
      for (std::size_t inner = l + 1; inner < count; ++inner) back += loops[inner].last();
      for (std::int64_t i = 1; i < loops[l].count; ++i) {
        if (loops[l].at(i) - loops[l].at(i - 1) < back) return false;
        if (loops[l].table.empty()) break;
      }
    }
    return true;
  };
  Release release;
  release.loops = loops.size();
  while (!monotone(release.loops)) --release.loops;
  release.start = nest.base;
  for (std::size_t l = release.loops; l < loops.size(); ++l) release.start += loops[l].least();
  return release;
}

std::int64_t least_store(const Nest& nest) {
  const Release release = release_rule(nest);
  NestWalker walker(nest);
  std::int64_t outer = 0, needed = 1;
  for (std::int64_t beat = nest.beats(); beat-- > 0;) {
    if (walker.inside()) {
      const std::int64_t freed = std::max<std::int64_t>(0, release.start + outer);
      needed = std::max(needed, walker.address() + 1 - freed);
    }
    if (walker.advance() < release.loops) {
      outer = 0;
      for (std::size_t l = 0; l < release.loops; ++l) outer += nest.loops[l].at(walker.index(l));
    }
  }
  return needed;
}

Nest simplified(Nest nest) {
  const auto joins = [&](std::size_t outer, std::size_t inner) {
    const NestLoop &a = nest.loops[outer], &b = nest.loops[inner];
    if (!a.table.empty() || !b.table.empty() || a.stride != b.count * b.stride) return false;
    return std::all_of(nest.bounds.begin(), nest.bounds.end(), [&](const NestBound& bound) {
      return bound.strides[outer] == b.count * bound.strides[inner];
    });
  };
  const auto erase = [&](std::size_t loop) {
    nest.loops.erase(nest.loops.begin() + static_cast<std::ptrdiff_t>(loop));
    for (NestBound& bound : nest.bounds)
      bound.strides.erase(bound.strides.begin() + static_cast<std::ptrdiff_t>(loop));
  };
  for (std::size_t l = nest.loops.size(); l-- > 0;) {
    if (nest.loops[l].count == 1) {
      nest.base += nest.loops[l].at(0);
      erase(l);
    }
  }
  for (std::size_t l = nest.loops.size(); l-- > 1;) {
    if (!joins(l - 1, l)) continue;
    nest.loops[l].count *= nest.loops[l - 1].count;
    erase(l - 1);
  }
  // A bound that never fails costs comparators and says nothing.
  std::erase_if(nest.bounds, [&](const NestBound& bound) {
    std::int64_t low = bound.base, high = bound.base;
    for (std::size_t l = 0; l < nest.loops.size(); ++l) {
      const std::int64_t reach = bound.strides[l] * (nest.loops[l].count - 1);
      (reach < 0 ? low : high) += reach;
    }
    return low >= 0 && high < bound.extent;
  });
  return nest;
}

bool is_identity(const Nest& nest, std::int64_t frame) {
  const Nest plain = simplified(nest);
  if (!plain.bounds.empty() || plain.base != 0 || nest.beats() != frame) return false;
  return frame == 1 ||
         (plain.loops.size() == 1 && plain.loops[0].table.empty() && plain.loops[0].stride == 1);
}

bool has_lanes(const Nest& nest, std::int64_t lanes) {
  if (lanes == 1) return true;
  const auto divides = [&](std::int64_t value) { return value % lanes == 0; };
  if (nest.loops.empty() || !divides(nest.base)) return false;
  const NestLoop& inner = nest.loops.back();
  if (!inner.table.empty() || inner.stride != 1 || !divides(inner.count)) return false;
  for (std::size_t l = 0; l + 1 < nest.loops.size(); ++l) {
    const NestLoop& loop = nest.loops[l];
    if (!divides(loop.stride) || !std::all_of(loop.table.begin(), loop.table.end(), divides))
      return false;
  }
  return std::all_of(nest.bounds.begin(), nest.bounds.end(),
                     [](const NestBound& bound) { return bound.strides.back() == 0; });
}

Nest in_words(const Nest& nest, std::int64_t lanes) {
  ensure(has_lanes(nest, lanes), "a nest does not move words of so many lanes");
  if (lanes == 1) return nest;
  Nest words = nest;
  words.base /= lanes;
  words.loops.back().count /= lanes;
  for (std::size_t l = 0; l + 1 < words.loops.size(); ++l) {
    words.loops[l].stride /= lanes;
    for (std::int64_t& entry : words.loops[l].table) entry /= lanes;
  }
  return simplified(words);
}

namespace {

std::vector<std::int64_t> divisors_above_one(std::int64_t n, std::int64_t limit) {
  std::vector<std::int64_t> result;
  for (std::int64_t p = 2; p <= limit && p <= n; ++p)
    if (n % p == 0) result.push_back(p);
  return result;
}

// True when every block of `period` entries repeats the first one's differences.
bool repeats(std::span<const std::int64_t> sequence, std::int64_t period) {
  const auto p = static_cast<std::size_t>(period);
  for (std::size_t i = p; i < sequence.size(); ++i)
    if (sequence[i] - sequence[i - i % p] != sequence[i % p] - sequence[0]) return false;
  return true;
}

// Loops whose contributions, added to the first entry, give the sequence.
std::vector<NestLoop> loops_of(std::vector<std::int64_t> sequence) {
  std::vector<NestLoop> inner_first;
  while (sequence.size() > 1) {
    const auto n = static_cast<std::int64_t>(sequence.size());
    const std::int64_t stride = sequence[1] - sequence[0];
    std::int64_t run = 2;
    while (run < n &&
           sequence[static_cast<std::size_t>(run)] - sequence[static_cast<std::size_t>(run - 1)] ==
               stride)
      ++run;
    std::int64_t period = 0;
    for (const std::int64_t p : divisors_above_one(n, run))
      if (repeats(sequence, p)) period = p;
    NestLoop loop;
    if (period != 0) {
      loop.stride = stride;
    } else {
      for (const std::int64_t p : divisors_above_one(n, n)) {
        if (!repeats(sequence, p)) continue;
        period = p;
        break;
      }
      for (std::int64_t i = 0; i < period; ++i)
        loop.table.push_back(sequence[static_cast<std::size_t>(i)] - sequence[0]);
    }
    loop.count = period;
    inner_first.push_back(std::move(loop));
    std::vector<std::int64_t> starts;
    for (std::size_t i = 0; i < sequence.size(); i += static_cast<std::size_t>(period))
      starts.push_back(sequence[i]);
    sequence = std::move(starts);
  }
  return {inner_first.rbegin(), inner_first.rend()};
}

// The range of indices of one axis at which the map has elements, for a box of elements.
struct Inside {
  std::int64_t begin = 0, end = 0;
};

std::optional<std::vector<Inside>> box_of(const Shape& shape, std::span<const std::int64_t> map) {
  std::vector<Inside> box(shape.size(), {INT64_MAX, 0});
  const auto strides = row_major_strides(shape);
  std::int64_t inside = 0;
  for (std::size_t i = 0; i < map.size(); ++i) {
    if (map[i] < 0) continue;
    ++inside;
    for (std::size_t d = 0; d < shape.size(); ++d) {
      const std::int64_t at = static_cast<std::int64_t>(i) / strides[d] % shape[d];
      box[d].begin = std::min(box[d].begin, at);
      box[d].end = std::max(box[d].end, at + 1);
    }
  }
  std::int64_t volume = 1;
  for (const Inside& range : box) volume *= std::max<std::int64_t>(0, range.end - range.begin);
  if (volume != inside) return std::nullopt;
  return box;
}

}  // namespace

Nest nest_of_map(const Shape& shape, std::span<const std::int64_t> map) {
  auto nest = find_nest(shape, map);
  ensure(nest.has_value(), "a filled map is no affine nest around a box");
  return *std::move(nest);
}

std::optional<Nest> find_nest(const Shape& shape, std::span<const std::int64_t> map) {
  ensure(!map.empty(), "a nest of no elements");
  Nest nest;
  if (std::none_of(map.begin(), map.end(), [](std::int64_t at) { return at < 0; })) {
    nest.base = map[0];
    nest.loops = loops_of({map.begin(), map.end()});
    return simplified(nest);
  }
  const auto found = box_of(shape, map);
  if (!found) return std::nullopt;
  const std::vector<Inside>& box = *found;
  const auto strides = row_major_strides(shape);
  std::int64_t corner = 0;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (box[d].end > 0) corner += box[d].begin * strides[d];
  }
  const std::int64_t first = std::max<std::int64_t>(0, map[static_cast<std::size_t>(corner)]);
  nest.base = first;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    const std::int64_t extent = std::max<std::int64_t>(0, box[d].end - box[d].begin);
    NestLoop loop;
    loop.count = shape[d];
    if (extent > 1) loop.stride = map[static_cast<std::size_t>(corner + strides[d])] - first;
    NestBound bound{extent, -box[d].begin, std::vector<std::int64_t>(shape.size(), 0)};
    if (extent == 0) bound.base = 0;
    bound.strides[d] = 1;
    nest.base -= extent == 0 ? 0 : box[d].begin * loop.stride;
    nest.loops.push_back(loop);
    nest.bounds.push_back(bound);
  }
  NestWalker walker(nest);
  for (const std::int64_t at : map) {
    if (walker.inside() != (at >= 0) || (at >= 0 && walker.address() != at)) return std::nullopt;
    walker.advance();
  }
  return simplified(nest);
}

}  // namespace tandem
