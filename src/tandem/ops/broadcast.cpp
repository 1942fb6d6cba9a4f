#include "tandem/ops/broadcast.h"

#include "tandem/base/error.h"

namespace tandem {

std::vector<std::int64_t> broadcast_offsets(const Shape& from, const Shape& to) {
  ensure(from.size() <= to.size(), "broadcast to a lower rank");
  const std::size_t lead = to.size() - from.size();
  const auto strides = row_major_strides(from);
  std::vector<std::int64_t> step(to.size(), 0);
  for (std::size_t d = 0; d < from.size(); ++d) {
    ensure(from[d] == to[lead + d] || from[d] == 1,
           concat("broadcast of ", to_string(from), " to ", to_string(to)));
    if (from[d] != 1) step[lead + d] = strides[d];
  }
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(element_count(to)));
  Shape index(to.size(), 0);
  std::int64_t offset = 0;
  for (std::int64_t& result : offsets) {
    result = offset;
    for (std::size_t d = to.size(); d-- > 0;) {
      offset += step[d];
      if (++index[d] < to[d]) break;
      offset -= step[d] * to[d];
      index[d] = 0;
    }
  }
  return offsets;
}

std::vector<Dim> broadcast_dims(const std::vector<Dim>& a, const std::vector<Dim>& b) {
  const std::vector<Dim>& longer = a.size() >= b.size() ? a : b;
  const std::vector<Dim>& shorter = a.size() >= b.size() ? b : a;
  std::vector<Dim> result = longer;
  const std::size_t lead = longer.size() - shorter.size();
  for (std::size_t d = 0; d < shorter.size(); ++d) {
    const Dim& other = shorter[d];
    Dim& mine = result[lead + d];
    if (mine == other || other == Dim(1)) continue;
    if (mine != Dim(1)) {
      throw Error("the shapes ", TensorType{a, Format()}.to_string(), " and ",
                  TensorType{b, Format()}.to_string(), " do not broadcast: ", mine.to_string(),
                  " against ", other.to_string());
    }
    mine = other;
  }
  return result;
}

bool broadcasts_to(const std::vector<Dim>& from, const std::vector<Dim>& to) {
  if (from.size() > to.size()) return false;
  const std::size_t lead = to.size() - from.size();
  for (std::size_t d = 0; d < from.size(); ++d)
    if (from[d] != Dim(1) && from[d] != to[lead + d]) return false;
  return true;
}

std::size_t normalized_axis(std::int64_t axis, std::size_t rank) {
  const auto signed_rank = static_cast<std::int64_t>(rank);
  if (axis < -signed_rank || axis >= signed_rank)
    throw Error("axis ", axis, " is outside of rank ", rank);
  return static_cast<std::size_t>(axis < 0 ? axis + signed_rank : axis);
}

AxisSplit split_at(const Shape& shape, std::size_t axis) {
  AxisSplit split;
  for (std::size_t d = 0; d < axis; ++d) split.outer *= shape[d];
  split.extent = shape[axis];
  for (std::size_t d = axis + 1; d < shape.size(); ++d) split.inner *= shape[d];
  return split;
}

}  // namespace tandem
