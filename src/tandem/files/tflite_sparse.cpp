#include "tandem/files/tflite_sparse.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

template <typename Vector>
Integers numbers_of(const Vector* vector) {
  if (vector == nullptr) return {};
  const auto list = list_of(vector->values());
  return {list.begin(), list.end()};
}

// One axis of the tensor, or of the blocks into which an axis is cut, in the order in which the
// elements lie: all its places, or for each position of the axes before it those listed.
struct Level {
  std::int64_t extent = 0;
  std::int64_t step = 0;  // elements of the dense tensor between two places
  bool is_dense = true;
  Integers segments, indices;  // indices[segments[p] .. segments[p + 1]] belong to position p
};

[[noreturn]] void fail(const TfliteTensor& tensor, std::string_view what) {
  throw Error(tensor.to_string(), " is sparse, but ", what, "; convert the model again");
}

Integers segments_of(const tflite::DimensionMetadata& axis) {
  if (const auto* list = axis.array_segments_as_Int32Vector()) return numbers_of(list);
  if (const auto* list = axis.array_segments_as_Uint16Vector()) return numbers_of(list);
  return numbers_of(axis.array_segments_as_Uint8Vector());
}

Integers indices_of(const tflite::DimensionMetadata& axis) {
  if (const auto* list = axis.array_indices_as_Int32Vector()) return numbers_of(list);
  if (const auto* list = axis.array_indices_as_Uint16Vector()) return numbers_of(list);
  return numbers_of(axis.array_indices_as_Uint8Vector());
}

void read_lists(const TfliteTensor& tensor, Level& level, const tflite::DimensionMetadata& axis) {
  level.segments = segments_of(axis);
  level.indices = indices_of(axis);
  if (level.segments.empty() || level.segments.front() != 0 ||
      !std::ranges::is_sorted(level.segments) ||
      level.segments.back() > static_cast<std::int64_t>(level.indices.size())) {
    fail(tensor, "the segments of an axis do not ascend within its indices");
  }
  for (const std::int64_t index : level.indices) {
    if (index < 0 || index >= level.extent) fail(tensor, "an index lies beyond its axis");
  }
}

// Extents and steps of the tensor's axes, then of its blocks'.
struct Axes {
  Integers extents, steps;
};

Axes axes_of(const TfliteTensor& tensor, const Integers& order, const Integers& blocked) {
  const auto& metadata = *tensor.sparsity->dim_metadata();
  const std::size_t rank = tensor.shape.size(), count = order.size();
  Axes axes{tensor.shape, Integers(count, 1)};
  for (std::size_t d = rank; d-- > 1;) axes.steps[d - 1] = axes.steps[d] * tensor.shape[d];
  for (std::size_t block = 0; block < blocked.size(); ++block) {
    if (blocked[block] < 0 || blocked[block] >= static_cast<std::int64_t>(rank))
      fail(tensor, "its blocks cut an axis that it has not");
    const auto axis = static_cast<std::size_t>(blocked[block]);
    const auto place = std::ranges::find(order, static_cast<std::int64_t>(rank + block));
    const auto at = static_cast<flatbuffers::uoffset_t>(place - order.begin());
    const std::int64_t size = metadata.Get(at)->dense_size();
    if (size < 1 || axes.extents[axis] % size != 0)
      fail(tensor, concat("blocks of ", size, " do not cut its axis ", axis));
    axes.extents[axis] /= size;
    axes.extents.push_back(size);
    axes.steps[rank + block] = axes.steps[axis];
    axes.steps[axis] *= size;
  }
  return axes;
}

std::vector<Level> levels_of(const TfliteTensor& tensor) {
  const auto traversal = list_of(tensor.sparsity->traversal_order());
  const auto map = list_of(tensor.sparsity->block_map());
  const Integers order(traversal.begin(), traversal.end()), blocked(map.begin(), map.end());
  const auto* metadata = tensor.sparsity->dim_metadata();
  const std::size_t count = tensor.shape.size() + blocked.size();
  Integers sorted = order;
  std::ranges::sort(sorted);
  for (std::size_t i = 0; i < sorted.size(); ++i)
    if (sorted[i] != static_cast<std::int64_t>(i)) fail(tensor, "an axis is listed twice");
  if (order.size() != count || metadata == nullptr || metadata->size() != count)
    fail(tensor, "not every axis is described");
  const Axes axes = axes_of(tensor, order, blocked);
  std::vector<Level> levels(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto& axis = *metadata->Get(static_cast<flatbuffers::uoffset_t>(i));
    const auto at = static_cast<std::size_t>(order[i]);
    levels[i].extent = axes.extents[at];
    levels[i].step = axes.steps[at];
    levels[i].is_dense = axis.format() == tflite::DimensionType::DENSE;
    if (levels[i].is_dense && axis.dense_size() != levels[i].extent)
      fail(tensor, concat("a dense axis has ", axis.dense_size(), " places"));
    if (!levels[i].is_dense) read_lists(tensor, levels[i], axis);
  }
  return levels;
}

// Where the elements lie in the dense tensor, in their order: level after level, each place of the
// ones before with its places.
Integers places_of(const TfliteTensor& tensor) {
  Integers places = {0};
  for (const Level& level : levels_of(tensor)) {
    Integers next;
    for (std::size_t p = 0; p < places.size(); ++p) {
      if (level.is_dense) {
        for (std::int64_t i = 0; i < level.extent; ++i) next.push_back(places[p] + i * level.step);
        continue;
      }
      if (p + 1 >= level.segments.size()) fail(tensor, "an axis has too few segments");
      const auto begin = level.indices.begin() + level.segments[p],
                 end = level.indices.begin() + level.segments[p + 1];
      if (std::adjacent_find(begin, end, std::greater_equal()) != end)
        fail(tensor, "the indices of an axis do not ascend");
      for (auto index = begin; index != end; ++index)
        next.push_back(places[p] + *index * level.step);
    }
    places = std::move(next);
  }
  return places;
}

}  // namespace

std::vector<std::byte> densified(const TfliteTensor& tensor) {
  constexpr std::int64_t kMostElements = std::int64_t{1} << 26;
  const std::int64_t elements = element_count(tensor.shape);
  if (tensor.format->bits() < 8 || tensor.format->is_boolean() || elements > kMostElements)
    fail(tensor, "that is read for elements of whole bytes, at most 2^26 of them");
  const auto width = static_cast<std::size_t>(storage_bytes(tensor.format->storage()));
  const Integers places = places_of(tensor);
  if (places.size() * width != tensor.data.size()) {
    fail(tensor, concat("it has ", tensor.data.size(), " bytes for ", places.size(), " elements"));
  }
  std::vector<std::byte> dense(static_cast<std::size_t>(elements) * width);
  for (std::size_t i = 0; i < places.size(); ++i) {
    std::memcpy(dense.data() + static_cast<std::size_t>(places[i]) * width,
                tensor.data.data() + i * width, width);
  }
  return dense;
}

}  // namespace tandem
