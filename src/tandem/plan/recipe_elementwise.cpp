#include <algorithm>
#include <bit>
#include <map>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/ops/broadcast.h"
#include "tandem/plan/recipe.h"

namespace tandem {
namespace {

using Elements = std::vector<std::int64_t>;

// The constant's value for every element of `shape`.
Elements broadcast_integers(const Tensor& constant, const Shape& shape) {
  Elements elements;
  for (const std::int64_t offset : broadcast_offsets(constant.shape(), shape))
    elements.push_back(constant.integer(offset));
  return elements;
}

// Widest spread of shifts that is made up for by wider constants; beyond it a shifter is cheaper.
constexpr std::int64_t kShiftSpread = 4;

void set_rescale(MapOp& map, const DataflowGraph& graph, const Node& node, std::int64_t lanes) {
  const NodeView view{graph.module(), graph.graph(), node};
  map.kind = MapKind::kRescale;
  map.rounding = parse_rounding(view.string("rounding"));
  map.overflow = parse_overflow(view.string("overflow"));
  const Shape shape = graph.shape(node.outputs[0]);
  Elements multiplier = broadcast_integers(*graph.constant(node.inputs[1]), shape);
  Elements addend = broadcast_integers(*graph.constant(node.inputs[2]), shape);
  Elements shift = broadcast_integers(*graph.constant(node.inputs[3]), shape);
  // (m x + b) / 2^s keeps its value, and so its rounding, when all three lose or gain a power of
  // two.
  for (std::size_t i = 0; i < shift.size(); ++i) {
    while (shift[i] > 0 && multiplier[i] % 2 == 0 && addend[i] % 2 == 0) {
      multiplier[i] /= 2;
      addend[i] /= 2;
      --shift[i];
    }
  }
  const auto [least, greatest] = std::minmax_element(shift.begin(), shift.end());
  if (*greatest - *least <= kShiftSpread) {
    const std::int64_t common = *greatest;
    for (std::size_t i = 0; i < shift.size(); ++i) {
      multiplier[i] *= std::int64_t{1} << (common - shift[i]);
      addend[i] *= std::int64_t{1} << (common - shift[i]);
      shift[i] = common;
    }
  }
  map.operand = lane_constants(multiplier, lanes);
  map.addend = lane_constants(addend, lanes);
  map.shift = lane_constants(shift, lanes);
}

// The rows of constants that table[..., entries] has, each once, and the row of every element.
void set_rows(MapOp& map, const Tensor& table, const Shape& shape, std::int64_t lanes) {
  const std::int64_t entries = table.shape().back();
  Shape outer = table.shape();
  outer.pop_back();
  std::map<Elements, std::int64_t> known;
  std::vector<std::int64_t> row_index;
  for (std::int64_t r = 0; r < element_count(outer); ++r) {
    Elements row;
    for (std::int64_t i = 0; i < entries; ++i) row.push_back(table.integer(r * entries + i));
    const auto [at, added] = known.emplace(row, static_cast<std::int64_t>(known.size()));
    if (added) map.rows.push_back(row);
    row_index.push_back(at->second);
  }
  Elements rows;
  for (const std::int64_t offset : broadcast_offsets(outer, shape))
    rows.push_back(row_index[static_cast<std::size_t>(offset)]);
  map.row = lane_constants(rows, lanes);
}

std::optional<MapKind> kind_with_constant(std::string_view op, bool constant_left) {
  if (op == "IntAdd") return MapKind::kAdd;
  if (op == "IntSub") return constant_left ? MapKind::kSubtractFrom : MapKind::kSubtract;
  if (op == "IntMul") return MapKind::kMultiply;
  if (op == "IntMax") return MapKind::kMax;
  if (op == "IntMin") return MapKind::kMin;
  return std::nullopt;
}

HeadKind elementwise_head(std::string_view op) {
  if (op == "IntAdd") return HeadKind::kAdd;
  if (op == "IntSub") return HeadKind::kSubtract;
  if (op == "IntMul") return HeadKind::kMultiply;
  if (op == "IntMax") return HeadKind::kMax;
  if (op == "IntMin") return HeadKind::kMin;
  throw InternalError(concat(op, " is no element-wise primitive"));
}

// Index of the only computed operand, or kNone.
std::size_t computed_operand(const DataflowGraph& graph, const Node& node) {
  std::size_t found = kNone;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == kNone || graph.constant(node.inputs[i]) != nullptr) continue;
    if (found != kNone) return kNone;
    found = i;
  }
  return found;
}

// A magnitude of the format's integers needs so many bits.
int magnitude_bits(Format format) {
  const IntegerRange range = format.integer_range();
  const auto bits = [](std::int64_t value) {
    const auto word = static_cast<std::uint64_t>(value);
    return static_cast<int>(std::bit_width(value < 0 ? std::uint64_t{0} - word : word));
  };
  return std::max({1, bits(range.min), bits(range.max)});
}

// The map in which the computed operand is broadcast already.
std::optional<MapOp> broadcast_map(const DataflowGraph& graph, NodeId id, std::int64_t lanes) {
  const Node& node = graph.node(id);
  const std::size_t operand = computed_operand(graph, node);
  if (operand == kNone) return std::nullopt;
  const NodeView view{graph.module(), graph.graph(), node};
  const std::string_view op = node.op->name();
  const Shape shape = graph.shape(node.outputs[0]);
  MapOp map;
  map.node = id;
  map.in = graph.format(node.inputs[operand]);
  map.out = graph.format(node.outputs[0]);
  map.input = map.in.integer_range();
  if (op == "Rescale") {
    set_rescale(map, graph, node, lanes);
  } else if (op == "Clamp") {
    map.kind = MapKind::kClamp;
    map.low = view.integer("min");
    map.high = view.integer("max");
  } else if (op == "Table" || op == "Threshold") {
    map.kind = op == "Table" ? MapKind::kTable : MapKind::kThreshold;
    set_rows(map, *graph.constant(node.inputs[1]), shape, lanes);
    if (op == "Threshold") {
      map.base = view.integer("base");
      map.step = view.integer("step");
    }
  } else if (const auto kind = kind_with_constant(op, operand == 1)) {
    map.kind = *kind;
    map.operand =
        lane_constants(broadcast_integers(*graph.constant(node.inputs[1 - operand]), shape), lanes);
  } else {
    return std::nullopt;
  }
  return map;
}

}  // namespace

std::optional<MapOp> map_of(const DataflowGraph& graph, NodeId id, std::int64_t lanes) {
  const Node& node = graph.node(id);
  const std::size_t operand = computed_operand(graph, node);
  if (operand == kNone || graph.elements(node.inputs[operand]) != graph.elements(node.outputs[0]))
    return std::nullopt;
  return broadcast_map(graph, id, lanes);
}

Feed broadcast_feed(const DataflowGraph& graph, ValueId value, const Shape& shape,
                    std::int64_t lanes) {
  Feed feed{value, lanes, std::nullopt, 0, graph.format(value)};
  const Shape from = graph.shape(value);
  if (element_count(from) != element_count(shape))
    feed.nest = nest_of_map(shape, broadcast_offsets(from, shape));
  return feed;
}

Recipe elementwise_recipe(const DataflowGraph& graph, NodeId id, const Folding& folding) {
  const Node& node = graph.node(id);
  const Shape shape = graph.shape(node.outputs[0]);
  const std::int64_t lanes = folding.pe;
  Recipe recipe;
  recipe.lanes = lanes;
  if (node.op->name() == "IntSqrt") {
    const Format operand = graph.format(node.inputs[0]);
    recipe.feeds = {broadcast_feed(graph, node.inputs[0], shape, lanes)};
    recipe.body =
        SquareRootStage{lanes, (operand.bits() + 1) / 2, operand, graph.format(node.outputs[0])};
    return recipe;
  }
  if (auto map = broadcast_map(graph, id, lanes)) {
    map->dsp = folding.dsp;
    ComputeStage stage;
    stage.pe = lanes;
    stage.left = stage.right = stage.result = map->in;
    recipe.feeds = {
        broadcast_feed(graph, node.inputs[computed_operand(graph, node)], shape, lanes)};
    stage.maps.push_back(std::move(*map));
    recipe.body = std::move(stage);
    return recipe;
  }
  for (const ValueId input : node.inputs)
    recipe.feeds.push_back(broadcast_feed(graph, input, shape, lanes));
  const Format left = graph.format(node.inputs[0]), right = graph.format(node.inputs[1]);
  const Format result = graph.format(node.outputs[0]);
  if (node.op->name() == "IntDiv") {
    const NodeView view{graph.module(), graph.graph(), node};
    recipe.body = DivideStage{
        lanes, magnitude_bits(left), left, right, result, parse_rounding(view.string("rounding"))};
    return recipe;
  }
  ComputeStage stage;
  stage.head = elementwise_head(node.op->name());
  stage.pe = lanes;
  stage.dsp = folding.dsp;
  stage.left = left;
  stage.right = right;
  stage.result = result;
  recipe.body = std::move(stage);
  return recipe;
}

LaneConstants lane_constants(const Elements& elements, std::int64_t lanes) {
  LaneConstants constants{lanes, 1, elements};
  const auto count = static_cast<std::int64_t>(elements.size());
  ensure(count % lanes == 0, "lanes do not divide the elements");
  for (const std::int64_t period : divisors(count / lanes)) {
    const auto stride = static_cast<std::size_t>(period * lanes);
    bool repeats = true;
    for (std::size_t i = stride; i < elements.size() && repeats; ++i)
      repeats = elements[i] == elements[i - stride];
    if (!repeats) continue;
    constants.period = period;
    constants.values.resize(stride);
    break;
  }
  return constants;
}

}  // namespace tandem
