#include "tandem/plan/movement_map.h"

#include <algorithm>
#include <string_view>

#include "tandem/base/error.h"
#include "tandem/ops/movement.h"
#include "tandem/ops/strides.h"
#include "tandem/tensor/tensor.h"

namespace tandem {
namespace {

constexpr std::int64_t kFirstBase = std::int64_t{1} << 40;
constexpr std::int64_t kSecondBase = std::int64_t{1} << 41;

bool is_moved_input(const NodeView& node, std::size_t index, const Format& moved,
                    bool number_constants) {
  return node.has_input(index) && node.input(index).format == moved &&
         (node.constant(index) == nullptr || number_constants || index == 0);
}

// The node alone in a graph in which what it moves are 64-bit integers.
struct NumberedNode {
  Graph graph;
  Node node;
};
NumberedNode numbered_node(const NodeView& node, const Format& moved, bool number_constants) {
  NumberedNode result{{}, node.node};
  const auto copy = [&](ValueId& id, bool is_moved) {
    if (id == kNone) return;
    Value value = node.graph.values[id];
    if (is_moved) {
      value.type.format = Format::integer(64, true);
      value.constant = kNone;
    }
    id = result.graph.values.size();
    result.graph.values.push_back(std::move(value));
  };
  for (std::size_t i = 0; i < result.node.inputs.size(); ++i)
    copy(result.node.inputs[i], is_moved_input(node, i, moved, number_constants));
  for (ValueId& output : result.node.outputs) copy(output, true);
  return result;
}

// The inputs with their elements numbered from `base` on; constants that are not moved themselves
// (indices) as they are when `number_constants` is false.
std::optional<std::vector<Tensor>> numbered_inputs(const NodeView& node, const Format& moved,
                                                   std::int64_t base, bool number_constants) {
  // Before anything is numbered: embeddings, whose rows data choose, are large.
  for (std::size_t i = 0; i < node.input_count(); ++i)
    if (node.has_input(i) && node.constant(i) == nullptr &&
        !is_moved_input(node, i, moved, number_constants))
      return std::nullopt;
  std::vector<Tensor> inputs;
  std::int64_t next = base;
  for (std::size_t i = 0; i < node.input_count(); ++i) {
    if (!node.has_input(i)) {
      inputs.emplace_back(moved, Shape{0});
      continue;
    }
    const Tensor* constant = node.constant(i);
    const TensorType& type = node.input(i);
    const bool is_moved = is_moved_input(node, i, moved, number_constants);
    if (!is_moved) {
      inputs.push_back(*constant);
      continue;
    }
    const Shape shape = type.static_shape();
    std::vector<std::int64_t> numbers(static_cast<std::size_t>(element_count(shape)));
    for (std::int64_t& number : numbers) number = next++;
    inputs.push_back(Tensor::from_integers(Format::integer(64, true), shape, numbers));
  }
  return inputs;
}

std::optional<MovementMap> try_map(const NodeView& node, std::size_t output,
                                   bool number_constants) {
  const Format moved = node.graph.values[node.node.outputs[output]].type.format;
  const auto first = numbered_inputs(node, moved, kFirstBase, number_constants);
  const auto second = numbered_inputs(node, moved, kSecondBase, number_constants);
  if (!first || !second) return std::nullopt;
  const NumberedNode numbered = numbered_node(node, moved, number_constants);
  const NodeView view{node.module, numbered.graph, numbered.node};
  std::vector<std::int64_t> a, b;
  try {
    a = node.node.op->evaluate(view, *first).at(output).to_integers();
    b = node.node.op->evaluate(view, *second).at(output).to_integers();
  } catch (const Error&) {
    return std::nullopt;  // numbers are no indices
  }
  std::vector<std::int64_t> sizes;
  for (const Tensor& tensor : *first) sizes.push_back(tensor.size());
  MovementMap map;
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::int64_t number = a[i] - kFirstBase;
    std::int32_t input = -1;
    if (b[i] - a[i] == kSecondBase - kFirstBase) {
      for (std::size_t k = 0; k < sizes.size() && input < 0; ++k) {
        const Tensor& tensor = (*first)[k];
        if (tensor.size() == 0 || tensor.integer(0) < kFirstBase) continue;
        if (number < sizes[k])
          input = static_cast<std::int32_t>(k);
        else
          number -= sizes[k];
      }
    } else if (a[i] == b[i]) {
      number = a[i];
    } else {
      return std::nullopt;
    }
    map.input.push_back(input);
    map.offset.push_back(number);
  }
  return map;
}

// A box of the output while it is taken apart.
struct Range {
  std::vector<std::int64_t> start, extents;
};

std::size_t flat_index(const std::vector<std::int64_t>& index,
                       const std::vector<std::int64_t>& strides) {
  std::int64_t flat = 0;
  for (std::size_t d = 0; d < index.size(); ++d) flat += index[d] * strides[d];
  return static_cast<std::size_t>(flat);
}

// The box as one affine piece, if it is one.
std::optional<MovementBox> affine_box(const MovementMap& map, const Range& range,
                                      const std::vector<std::int64_t>& strides) {
  const std::size_t rank = range.start.size();
  const std::size_t origin = flat_index(range.start, strides);
  MovementBox box{range.start, range.extents, map.input[origin], map.offset[origin],
                  std::vector<std::int64_t>(rank, 0)};
  for (std::size_t d = 0; d < rank; ++d)
    if (range.extents[d] > 1 && box.input >= 0)
      box.strides[d] = map.offset[origin + static_cast<std::size_t>(strides[d])] - box.base;
  std::vector<std::int64_t> index(rank, 0);
  const std::int64_t count = element_count(range.extents);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::size_t at = origin + flat_index(index, strides);
    const std::int64_t expected =
        box.base + static_cast<std::int64_t>(flat_index(index, box.strides));
    if (map.input[at] != box.input || map.offset[at] != expected) return std::nullopt;
    for (std::size_t d = rank; d-- > 0;) {
      if (++index[d] < range.extents[d]) break;
      index[d] = 0;
    }
  }
  return box;
}

// The longest part of the box at its beginning (or end) along an axis that is one piece; 0 when
// none is.
std::int64_t affine_part(const MovementMap& map, const Range& whole, std::size_t axis, bool at_end,
                         const std::vector<std::int64_t>& strides) {
  std::int64_t low = 0, high = whole.extents[axis] - 1;
  while (low < high) {
    const std::int64_t length = (low + high + 1) / 2;
    Range part = whole;
    part.extents[axis] = length;
    if (at_end) part.start[axis] += whole.extents[axis] - length;
    if (affine_box(map, part, strides))
      low = length;
    else
      high = length - 1;
  }
  return low;
}

// Where a box that is no single piece is cut: `length` from its beginning (or end) along `axis`.
struct Cut {
  std::size_t axis = 0;
  std::int64_t length = 0;
  bool at_end = false;
};

// The cut that takes the largest piece off; where none starts or ends here, the first slice of the
// first long axis.
Cut best_cut(const MovementMap& map, const Range& range, const std::vector<std::int64_t>& strides) {
  Cut best;
  double best_share = 0;
  for (std::size_t d = 0; d < range.extents.size(); ++d) {
    for (const bool at_end : {false, true}) {
      const std::int64_t length = affine_part(map, range, d, at_end, strides);
      const double share = static_cast<double>(length) / static_cast<double>(range.extents[d]);
      if (share <= best_share) continue;
      best_share = share;
      best = {d, length, at_end};
    }
  }
  if (best.length > 0) return best;
  while (range.extents[best.axis] < 2) ++best.axis;
  best.length = 1;
  return best;
}

}  // namespace

bool MovementMap::is_identity(std::size_t input_size) const {
  if (input.size() != input_size) return false;
  for (std::size_t i = 0; i < input.size(); ++i)
    if (input[i] != 0 || offset[i] != static_cast<std::int64_t>(i)) return false;
  return true;
}

std::optional<MovementMap> movement_map(const NodeView& node, std::size_t output) {
  if (auto map = try_map(node, output, true)) return map;
  return try_map(node, output, false);
}

std::optional<std::vector<MovementBox>> decompose(const MovementMap& map,
                                                  const std::vector<std::int64_t>& shape,
                                                  std::size_t most) {
  std::vector<MovementBox> boxes;
  if (element_count(shape) == 0) return boxes;
  const std::vector<std::int64_t> strides = row_major_strides(shape);
  std::vector<Range> open{{std::vector<std::int64_t>(shape.size(), 0), shape}};
  while (!open.empty()) {
    const Range range = open.back();
    open.pop_back();
    if (auto box = affine_box(map, range, strides)) {
      boxes.push_back(std::move(*box));
      continue;
    }
    if (boxes.size() + open.size() + 2 > most) return std::nullopt;
    const Cut cut = best_cut(map, range, strides);
    Range piece = range, rest = range;
    piece.extents[cut.axis] = cut.length;
    rest.extents[cut.axis] -= cut.length;
    (cut.at_end ? piece : rest).start[cut.axis] +=
        cut.at_end ? range.extents[cut.axis] - cut.length : cut.length;
    open.push_back(std::move(rest));
    open.push_back(std::move(piece));
  }
  return boxes;
}

std::vector<std::size_t> permutation_of(const NodeView& node) {
  const std::size_t rank = node.input(0).shape.size();
  std::vector<std::size_t> axes;
  for (const std::int64_t axis : node.integers("perm"))
    axes.push_back(
        static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis));
  if (axes.empty())
    for (std::size_t d = rank; d-- > 0;) axes.push_back(d);
  return axes;
}

namespace {

std::size_t axis_of(const NodeView& node, std::size_t rank) {
  const std::int64_t axis = node.integer("axis");
  return static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis);
}

std::vector<MovementBox> concatenation_boxes(const NodeView& node, const Shape& result) {
  const std::size_t axis = axis_of(node, result.size());
  std::vector<MovementBox> boxes;
  std::vector<std::int64_t> start(result.size(), 0);
  for (std::size_t i = 0; i < node.input_count(); ++i) {
    const Shape part = node.input(i).static_shape();
    boxes.push_back({start, part, static_cast<std::int32_t>(i), 0, row_major_strides(part)});
    start[axis] += part[axis];
  }
  return boxes;
}

MovementBox split_box(const NodeView& node, std::size_t output, const Shape& result) {
  const Shape whole = node.input(0).static_shape();
  const std::size_t axis = axis_of(node, whole.size());
  const auto strides = row_major_strides(whole);
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < output; ++i) begin += node.integers("sizes")[i];
  return {Shape(result.size(), 0), result, 0, begin * strides[axis], strides};
}

MovementBox transposition_box(const NodeView& node, const Shape& result) {
  const auto strides = row_major_strides(node.input(0).static_shape());
  MovementBox box{Shape(result.size(), 0), result, 0, 0, {}};
  for (const std::size_t axis : permutation_of(node)) box.strides.push_back(strides[axis]);
  return box;
}

}  // namespace

std::optional<std::vector<MovementBox>> movement_boxes(const NodeView& node, std::size_t output,
                                                       std::size_t most) {
  const std::string_view op = node.node.op->name();
  const Shape result = node.graph.values[node.node.outputs[output]].type.static_shape();
  if (op == "Concat") return concatenation_boxes(node, result);
  if (op == "Split") return {{split_box(node, output, result)}};
  if (op == "Transpose") return {{transposition_box(node, result)}};
  if (op == "Reshape" || op == "Identity")
    return {{MovementBox{Shape(result.size(), 0), result, 0, 0, row_major_strides(result)}}};
  if (op == "Slice") {
    const StridedPart part = slice_of(node, node.input(0).static_shape());
    return {{MovementBox{Shape(result.size(), 0), result, 0, part.offset, part.strides}}};
  }
  if (op == "Expand") {
    const auto strides = broadcast_strides(node.input(0).static_shape(), result);
    return {{MovementBox{Shape(result.size(), 0), result, 0, 0, strides}}};
  }
  const auto map = movement_map(node, output);
  if (!map) return std::nullopt;
  return decompose(*map, result, most);
}

}  // namespace tandem
