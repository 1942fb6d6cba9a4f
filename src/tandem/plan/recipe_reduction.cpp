#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/ops/window.h"
#include "tandem/plan/recipe.h"

namespace tandem {
namespace {

HeadKind reducing_head(std::string_view op) {
  if (op == "IntSum" || op == "IntSumPool") return HeadKind::kSum;
  if (op == "IntReduceMax" || op == "IntMaxPool") return HeadKind::kGreatest;
  return HeadKind::kArgMax;
}

ComputeStage stage_of(const DataflowGraph& graph, const Node& node, const Folding& folding,
                      std::int64_t operands) {
  ComputeStage stage;
  stage.head = reducing_head(node.op->name());
  stage.pe = folding.pe;
  stage.simd = folding.simd;
  stage.steps = operands / folding.simd;
  stage.left = stage.right = graph.format(node.inputs[0]);
  stage.result = graph.format(node.outputs[0]);
  return stage;
}

bool is_pool(const Node& node) {
  return node.op->name() == "IntSumPool" || node.op->name() == "IntMaxPool";
}

// Windows of x[N, spatial..., C], `pe` channels at a time.
Recipe pool_recipe(const DataflowGraph& graph, const Node& node, const Folding& folding) {
  const NodeView view{graph.module(), graph.graph(), node};
  const Window window = window_of(view, view.integers("kernel"));
  const Shape x = graph.shape(node.inputs[0]);
  const std::vector<std::int64_t> input(x.begin() + 1, x.end() - 1);
  const auto output = window.output_extents(input);
  const std::size_t rank = window.rank();
  const std::int64_t kernel = product(window.kernel, 0, rank);
  ComputeStage stage = stage_of(graph, node, folding, kernel);
  Feed feed{node.inputs[0], folding.pe, std::nullopt, 0, stage.left};
  if (stage.head == HeadKind::kGreatest) {
    feed.fill = feed.format.integer_range().min;
  } else if (feed.format == Format::parse("bipolar")) {
    feed.format = Format::integer(2, true);  // padding adds 0, which bipolar lacks
  }
  stage.left = stage.right = feed.format;

  std::vector<std::int64_t> strides(rank, x.back());
  for (std::size_t d = rank - 1; d-- > 0;) strides[d] = strides[d + 1] * input[d + 1];
  Nest nest;
  nest.loops.push_back({x[0], strides[0] * input[0], {}});
  for (std::size_t d = 0; d < rank; ++d)
    nest.loops.push_back({output[d], window.strides[d] * strides[d], {}});
  nest.loops.push_back({x.back() / folding.pe, folding.pe, {}});
  for (std::size_t d = 0; d < rank; ++d)
    nest.loops.push_back({window.kernel[d], window.dilations[d] * strides[d], {}});
  nest.loops.push_back({folding.pe, 1, {}});
  for (std::size_t d = 0; d < rank; ++d) {
    nest.base -= window.pads_begin[d] * strides[d];
    NestBound bound{input[d], -window.pads_begin[d],
                    std::vector<std::int64_t>(nest.loops.size(), 0)};
    bound.strides[1 + d] = window.strides[d];
    bound.strides[2 + rank + d] = window.dilations[d];
    nest.bounds.push_back(std::move(bound));
  }
  feed.nest = std::move(nest);
  return {{feed}, stage, folding.pe, 0};
}

std::vector<bool> reduced_axes(const Node& node, const DataflowGraph& graph) {
  const NodeView view{graph.module(), graph.graph(), node};
  std::vector<bool> reduced(graph.shape(node.inputs[0]).size(), false);
  if (node.op->name() == "IntArgMax") {
    reduced[static_cast<std::size_t>(view.integer("axis"))] = true;
  } else {
    for (const std::int64_t axis : view.integers("axes"))
      reduced[static_cast<std::size_t>(axis)] = true;
  }
  return reduced;
}

// Kept axes outside, reduced axes inside; lanes along the last axis, which is kept or reduced.
Recipe axes_recipe(const DataflowGraph& graph, const Node& node, const Folding& folding) {
  const Shape x = graph.shape(node.inputs[0]);
  const auto reduced = reduced_axes(node, graph);
  const auto strides = row_major_strides(x);
  std::int64_t operands = 1;
  for (std::size_t d = 0; d < x.size(); ++d)
    if (reduced[d]) operands *= x[d];
  ComputeStage stage = stage_of(graph, node, folding, operands);
  if (stage.head == HeadKind::kArgMax) {
    const NodeView view{graph.module(), graph.graph(), node};
    stage.select_last = view.integer("select_last") != 0;
  }
  const bool last_kept = !x.empty() && !reduced.back();
  Feed feed{node.inputs[0], last_kept ? folding.pe : folding.simd, std::nullopt, 0, stage.left};
  Nest nest;
  for (std::size_t d = 0; d + (last_kept ? 1 : 0) < x.size(); ++d)
    if (!reduced[d]) nest.loops.push_back({x[d], strides[d], {}});
  if (last_kept) nest.loops.push_back({x.back() / folding.pe, folding.pe, {}});
  for (std::size_t d = 0; d < x.size(); ++d)
    if (reduced[d]) nest.loops.push_back({x[d], strides[d], {}});
  if (last_kept) nest.loops.push_back({folding.pe, 1, {}});
  feed.nest = std::move(nest);
  return {{feed}, stage, folding.pe, 0};
}

}  // namespace

Recipe reduction_recipe(const DataflowGraph& graph, NodeId id, const Folding& folding) {
  const Node& node = graph.node(id);
  return is_pool(node) ? pool_recipe(graph, node, folding) : axes_recipe(graph, node, folding);
}

FoldingSpace reduction_foldings(const DataflowGraph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const Shape x = graph.shape(node.inputs[0]);
  FoldingSpace space;
  if (is_pool(node)) {
    space.pe = divisors(x.back());
  } else if (!x.empty()) {
    if (!reduced_axes(node, graph).back())
      space.pe = divisors(x.back());
    else if (node.op->name() != "IntArgMax")
      space.simd = divisors(x.back());
  }
  return space;
}

}  // namespace tandem
