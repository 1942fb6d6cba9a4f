#include "tandem/plan/recipe.h"

#include <algorithm>
#include <numeric>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"

namespace tandem {
namespace {

bool is_linear(std::string_view op) { return op == "IntMatMul" || op == "IntConv"; }

bool is_reduction(std::string_view op) {
  return op == "IntSum" || op == "IntReduceMax" || op == "IntSumPool" || op == "IntMaxPool" ||
         op == "IntArgMax";
}

// The map of a movement that reads one input only, -1 where a constant stands, and that constant.
struct SingleSource {
  std::vector<std::int64_t> map;
  std::int64_t fill = 0;
};

// nullopt where it reads several inputs or adds several constants.
std::optional<SingleSource> find_single_source(const MovementMap& movement) {
  SingleSource single;
  bool filled = false;
  for (std::size_t i = 0; i < movement.input.size(); ++i) {
    const bool moved = movement.input[i] >= 0;
    if (movement.input[i] > 0) return std::nullopt;
    single.map.push_back(moved ? movement.offset[i] : -1);
    if (moved) continue;
    if (filled && single.fill != movement.offset[i]) return std::nullopt;
    single.fill = movement.offset[i];
    filled = true;
  }
  return single;
}

SingleSource single_source(const MovementMap& movement) {
  auto single = find_single_source(movement);
  ensure(single.has_value(), "a movement of several inputs or constants");
  return *std::move(single);
}

Recipe move_recipe(const DataflowGraph& graph, NodeId id, std::size_t output, std::int64_t lanes) {
  const Node& node = graph.node(id);
  const ValueId value = node.outputs[output];
  const SingleSource single = single_source(graph.movement(value));
  Feed feed{node.inputs[0], lanes, std::nullopt, single.fill, graph.format(value)};
  feed.nest = nest_of_map(graph.shape(value), single.map);
  return {{feed}, std::nullopt, lanes, output};
}

// Lengths of the runs that a Concat takes from its inputs in turn.
std::vector<std::int64_t> concat_runs(const DataflowGraph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const auto& inputs = graph.movement(node.outputs[0]).input;
  std::vector<std::int64_t> runs(node.inputs.size(), 0);
  for (const std::int32_t input : inputs) ++runs[static_cast<std::size_t>(input)];
  std::int64_t rounds = 1;
  const auto last = static_cast<std::int32_t>(node.inputs.size()) - 1;
  for (std::size_t i = 1; i < inputs.size(); ++i)
    if (inputs[i] == 0 && inputs[i - 1] == last) ++rounds;
  for (std::int64_t& run : runs) run /= rounds;
  return runs;
}

Recipe concat_recipe(const DataflowGraph& graph, NodeId id, std::int64_t lanes) {
  const Node& node = graph.node(id);
  Recipe recipe;
  recipe.lanes = lanes;
  ConcatStage stage;
  for (const std::int64_t run : concat_runs(graph, id)) stage.run.push_back(run / lanes);
  for (const ValueId input : node.inputs)
    recipe.feeds.push_back({input, lanes, std::nullopt, 0, graph.format(input)});
  recipe.body = std::move(stage);
  return recipe;
}

}  // namespace

bool is_streamed(const MovementMap& movement, const Shape& shape) {
  const auto single = find_single_source(movement);
  return single && find_nest(shape, single->map).has_value();
}

std::vector<std::int64_t> divisors(std::int64_t n) {
  std::vector<std::int64_t> low, high;
  for (std::int64_t d = 1; d * d <= n; ++d) {
    if (n % d != 0) continue;
    low.push_back(d);
    if (d * d != n) high.push_back(n / d);
  }
  low.insert(low.end(), high.rbegin(), high.rend());
  return low;
}

std::int64_t product(const Shape& shape, std::size_t begin, std::size_t end) {
  std::int64_t result = 1;
  for (std::size_t i = begin; i < end; ++i) result *= shape[i];
  return result;
}

std::vector<Recipe> recipes_of(const DataflowGraph& graph, NodeId id, const Folding& folding) {
  const Node& node = graph.node(id);
  const std::string_view op = node.op->name();
  if (is_linear(op)) return {linear_recipe(graph, id, folding)};
  if (is_reduction(op)) return {reduction_recipe(graph, id, folding)};
  if (op == "Concat") return {concat_recipe(graph, id, folding.pe)};
  if (node.op->traits().domain != Domain::kMovement)
    return {elementwise_recipe(graph, id, folding)};
  std::vector<Recipe> recipes;
  for (std::size_t k = 0; k < node.outputs.size(); ++k) {
    const ValueId value = node.outputs[k];
    if (graph.resolve(value) == value && graph.readers(value) > 0)
      recipes.push_back(move_recipe(graph, id, k, folding.pe));
  }
  return recipes;
}

namespace {

// Whole words also where the frame ends: what nothing reads there must not share one with what is
// read of the next frame.
bool moves_words(const DataflowGraph& graph, const Feed& feed, std::int64_t lanes) {
  return graph.elements(feed.value) % lanes == 0 && has_lanes(*feed.nest, lanes);
}

// Lanes with which every wanted output of a movement moves whole words.
std::vector<std::int64_t> movement_lanes(const DataflowGraph& graph, NodeId id) {
  const Node& node = graph.node(id);
  std::vector<std::int64_t> lanes;
  if (node.op->name() == "Concat") {
    std::int64_t common = 0;
    for (const std::int64_t run : concat_runs(graph, id)) common = std::gcd(common, run);
    return divisors(common);
  }
  const auto recipes = recipes_of(graph, id, {});
  for (const std::int64_t candidate : divisors(graph.elements(node.outputs[0]))) {
    if (std::all_of(recipes.begin(), recipes.end(), [&](const Recipe& recipe) {
          return moves_words(graph, recipe.feeds[0], candidate);
        }))
      lanes.push_back(candidate);
  }
  return lanes;
}

// Lanes of an element-wise node: all divisors, less those at which an operand that is broadcast
// cannot be repeated word by word.
std::vector<std::int64_t> elementwise_lanes(const DataflowGraph& graph, NodeId id) {
  const auto recipes = recipes_of(graph, id, {});
  std::vector<std::int64_t> lanes;
  for (const std::int64_t candidate : divisors(graph.elements(graph.node(id).outputs[0]))) {
    const auto& feeds = recipes[0].feeds;
    if (std::all_of(feeds.begin(), feeds.end(), [&](const Feed& feed) {
          return !feed.nest || moves_words(graph, feed, candidate);
        }))
      lanes.push_back(candidate);
  }
  return lanes;
}

}  // namespace

FoldingSpace foldings_of(const DataflowGraph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const std::string_view op = node.op->name();
  if (is_linear(op)) return linear_foldings(graph, id);
  if (is_reduction(op)) return reduction_foldings(graph, id);
  if (node.op->traits().domain == Domain::kMovement) return {movement_lanes(graph, id), {1}};
  return {elementwise_lanes(graph, id), {1}};
}

}  // namespace tandem
