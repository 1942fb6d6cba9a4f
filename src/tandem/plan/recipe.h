#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tandem/plan/dataflow.h"
#include "tandem/plan/dataflow_graph.h"
#include "tandem/plan/movement_map.h"
#include "tandem/plan/pipeline.h"

namespace tandem {

// How one node becomes stages. Internal to the room.

// What a stage reads: a value, in beats of `lanes` elements, in the order of the nest (over
// elements) where there is one.
struct Feed {
  ValueId value = kNone;
  std::int64_t lanes = 1;
  std::optional<Nest> nest;
  std::int64_t fill = 0;
  Format format;  // of the elements as read (wider than the value's where fill needs it)
};

struct Recipe {
  std::vector<Feed> feeds;        // one per input of the body
  std::optional<StageBody> body;  // absent: the result is the first feed
  std::int64_t lanes = 1;         // of the result
  std::size_t output = 0;         // of the node
};

// Whether a stage can make a movement's result of that shape out of the stream of its one input.
bool is_streamed(const MovementMap& movement, const Shape& shape);

// One recipe per output of the node (a movement), else one. Throws Error naming what prevents it.
std::vector<Recipe> recipes_of(const DataflowGraph& graph, NodeId node, const Folding& folding);

FoldingSpace foldings_of(const DataflowGraph& graph, NodeId node);

// The node as an element-wise function of its only computed operand, which must have the shape of
// the result; nullopt for all other nodes.
std::optional<MapOp> map_of(const DataflowGraph& graph, NodeId node, std::int64_t lanes);

// The parts of recipes_of and folding_space, by family of operators.
Recipe linear_recipe(const DataflowGraph& graph, NodeId node, const Folding& folding);
FoldingSpace linear_foldings(const DataflowGraph& graph, NodeId node);
Recipe reduction_recipe(const DataflowGraph& graph, NodeId node, const Folding& folding);
FoldingSpace reduction_foldings(const DataflowGraph& graph, NodeId node);
Recipe elementwise_recipe(const DataflowGraph& graph, NodeId node, const Folding& folding);

// A feed of a value that is broadcast to `shape`.
Feed broadcast_feed(const DataflowGraph& graph, ValueId value, const Shape& shape,
                    std::int64_t lanes);

// Constants of elements given in row-major order, by beats of so many lanes, with their period.
LaneConstants lane_constants(const std::vector<std::int64_t>& elements, std::int64_t lanes);

std::vector<std::int64_t> divisors(std::int64_t n);
std::int64_t product(const Shape& shape, std::size_t begin, std::size_t end);

}  // namespace tandem
