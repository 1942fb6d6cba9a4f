#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/ops/window.h"
#include "tandem/plan/recipe.h"

namespace tandem {
namespace {

struct MatMulShape {
  std::int64_t batches, rows, depth, columns;
  bool batched_right;  // b has a's leading axes
};

MatMulShape matmul_shape(const DataflowGraph& graph, const Node& node) {
  const Shape a = graph.shape(node.inputs[0]), b = graph.shape(node.inputs[1]);
  return {product(a, 0, a.size() - 2), a[a.size() - 2], a.back(), b.back(), b.size() > 2};
}

ComputeStage dot_stage(const DataflowGraph& graph, const Node& node, const Folding& folding,
                       std::int64_t depth) {
  ComputeStage stage;
  stage.head = HeadKind::kDot;
  stage.pe = folding.pe;
  stage.simd = folding.simd;
  stage.steps = depth / folding.simd;
  stage.dsp = folding.dsp;
  stage.left = graph.format(node.inputs[0]);
  stage.right = graph.format(node.inputs[1]);
  stage.result = graph.format(node.outputs[0]);
  return stage;
}

// Rows of a against constant columns of b: all lanes see the same piece of the row, which is
// replayed for every group of `pe` columns.
Recipe constant_right(const DataflowGraph& graph, const Node& node, const Folding& folding,
                      const MatMulShape& s) {
  const Tensor& b = *graph.constant(node.inputs[1]);
  const std::int64_t folds = s.columns / folding.pe;
  ComputeStage stage = dot_stage(graph, node, folding, s.depth);
  stage.shared_operands = true;
  Weights weights;
  weights.format = b.format();
  weights.block = folds * stage.steps;
  weights.blocks = s.batched_right ? s.batches : 1;
  weights.repeats = s.batched_right ? s.rows : 1;
  weights.block_ram = folding.block_weights;
  for (std::int64_t batch = 0; batch < weights.blocks; ++batch) {
    for (std::int64_t fold = 0; fold < folds; ++fold) {
      for (std::int64_t step = 0; step < stage.steps; ++step) {
        for (std::int64_t p = 0; p < folding.pe; ++p) {
          for (std::int64_t lane = 0; lane < folding.simd; ++lane) {
            const std::int64_t k = step * folding.simd + lane, n = fold * folding.pe + p;
            weights.integers.push_back(b.integer((batch * s.depth + k) * s.columns + n));
          }
        }
      }
    }
  }
  stage.weights = std::move(weights);
  Feed feed{node.inputs[0], folding.simd, std::nullopt, 0, stage.left};
  feed.nest = Nest{{{s.batches * s.rows, s.depth, {}}, {folds, 0, {}}, {s.depth, 1, {}}}, 0, {}};
  return {{feed}, stage, folding.pe, 0};
}

// b computed: every lane has its own column, and one element of a serves all lanes.
Recipe computed_right(const DataflowGraph& graph, const Node& node, const Folding& folding,
                      const MatMulShape& s) {
  const std::int64_t folds = s.columns / folding.pe;
  ComputeStage stage = dot_stage(graph, node, folding, s.depth);
  std::swap(stage.left, stage.right);
  stage.shared_weights = true;
  Feed columns{node.inputs[1], folding.pe, std::nullopt, 0, stage.left};
  columns.nest = Nest{{{s.batches, s.batched_right ? s.depth * s.columns : 0, {}},
                       {s.rows, 0, {}},
                       {folds, folding.pe, {}},
                       {s.depth, s.columns, {}},
                       {folding.pe, 1, {}}},
                      0,
                      {}};
  Recipe recipe{{columns}, std::nullopt, folding.pe, 0};
  if (const Tensor* a = graph.constant(node.inputs[0])) {
    Weights weights;
    weights.format = a->format();
    weights.block = s.depth;
    weights.blocks = s.batches * s.rows;
    weights.repeats = folds;
    weights.integers = a->to_integers();
    weights.block_ram = folding.block_weights;
    stage.weights = std::move(weights);
  } else {
    Feed rows{node.inputs[0], 1, std::nullopt, 0, stage.right};
    rows.nest = Nest{{{s.batches * s.rows, s.depth, {}}, {folds, 0, {}}, {s.depth, 1, {}}}, 0, {}};
    recipe.feeds.push_back(rows);
  }
  recipe.body = stage;
  return recipe;
}

Recipe matmul_recipe(const DataflowGraph& graph, const Node& node, const Folding& folding) {
  const MatMulShape s = matmul_shape(graph, node);
  return graph.constant(node.inputs[1]) != nullptr ? constant_right(graph, node, folding, s)
                                                   : computed_right(graph, node, folding, s);
}

struct ConvShape {
  Window window;
  std::vector<std::int64_t> input, output;  // spatial extents
  std::int64_t images, channels, group, outputs, kernel;

  std::int64_t group_inputs() const { return channels / group; }
  std::int64_t group_outputs() const { return outputs / group; }
  bool depthwise() const { return group > 1 && group_inputs() == 1 && group_outputs() == 1; }
};

ConvShape conv_shape(const DataflowGraph& graph, const Node& node) {
  const Shape x = graph.shape(node.inputs[0]), w = graph.shape(node.inputs[1]);
  const NodeView view{graph.module(), graph.graph(), node};
  ConvShape s;
  s.window = window_of(view, {w.begin() + 1, w.end() - 1});
  s.input.assign(x.begin() + 1, x.end() - 1);
  s.output = s.window.output_extents(s.input);
  s.images = x[0];
  s.channels = x.back();
  s.group = view.integer("group");
  s.outputs = w[0];
  s.kernel = product(w, 1, w.size() - 1);
  return s;
}

// Builds the nest of a sliding window over x[N, spatial..., C]: loops over images, positions,
// `middle` (which must not leave a position), kernel elements and `inner`.
Nest window_nest(const ConvShape& s, const std::vector<NestLoop>& middle,
                 const std::vector<NestLoop>& inner) {
  const std::size_t rank = s.window.rank();
  std::vector<std::int64_t> strides(rank, s.channels);
  for (std::size_t d = rank - 1; d-- > 0;) strides[d] = strides[d + 1] * s.input[d + 1];
  Nest nest;
  nest.loops.push_back({s.images, strides[0] * s.input[0], {}});
  for (std::size_t d = 0; d < rank; ++d)
    nest.loops.push_back({s.output[d], s.window.strides[d] * strides[d], {}});
  nest.loops.insert(nest.loops.end(), middle.begin(), middle.end());
  const std::size_t kernel_at = nest.loops.size();
  for (std::size_t d = 0; d < rank; ++d)
    nest.loops.push_back({s.window.kernel[d], s.window.dilations[d] * strides[d], {}});
  nest.loops.insert(nest.loops.end(), inner.begin(), inner.end());
  for (std::size_t d = 0; d < rank; ++d) {
    nest.base -= s.window.pads_begin[d] * strides[d];
    NestBound bound{s.input[d], -s.window.pads_begin[d],
                    std::vector<std::int64_t>(nest.loops.size(), 0)};
    bound.strides[1 + d] = s.window.strides[d];
    bound.strides[kernel_at + d] = s.window.dilations[d];
    nest.bounds.push_back(std::move(bound));
  }
  return nest;
}

// The format of operands among which the padding is; bipolar has no 0.
Format padded_format(Format format, std::int64_t fill) {
  return format == Format::parse("bipolar") && fill == 0 ? Format::integer(2, true) : format;
}

Weights conv_weights(const Tensor& w, const ConvShape& s, const Folding& folding) {
  Weights weights;
  weights.format = w.format();
  weights.block_ram = folding.block_weights;
  const auto integers = w.to_integers();
  const auto at = [&](std::int64_t o, std::int64_t k, std::int64_t c) {
    return integers[static_cast<std::size_t>((o * s.kernel + k) * s.group_inputs() + c)];
  };
  if (s.depthwise()) {
    weights.block = s.channels / folding.pe * s.kernel;
    for (std::int64_t fold = 0; fold < s.channels / folding.pe; ++fold)
      for (std::int64_t k = 0; k < s.kernel; ++k)
        for (std::int64_t p = 0; p < folding.pe; ++p)
          weights.integers.push_back(at(fold * folding.pe + p, k, 0));
    return weights;
  }
  const std::int64_t folds = s.outputs / folding.pe, pieces = s.group_inputs() / folding.simd;
  weights.block = folds * s.kernel * pieces;
  for (std::int64_t fold = 0; fold < folds; ++fold)
    for (std::int64_t k = 0; k < s.kernel; ++k)
      for (std::int64_t piece = 0; piece < pieces; ++piece)
        for (std::int64_t p = 0; p < folding.pe; ++p)
          for (std::int64_t lane = 0; lane < folding.simd; ++lane)
            weights.integers.push_back(at(fold * folding.pe + p, k, piece * folding.simd + lane));
  return weights;
}

Recipe conv_recipe(const DataflowGraph& graph, const Node& node, const Folding& folding) {
  const ConvShape s = conv_shape(graph, node);
  const NodeView view{graph.module(), graph.graph(), node};
  const std::int64_t fill = view.integer("pad_value");
  ComputeStage stage = dot_stage(graph, node, folding, s.kernel * s.group_inputs());
  stage.left = padded_format(stage.left, fill);
  Feed x{node.inputs[0], folding.simd, std::nullopt, fill, stage.left};
  const Tensor* w = graph.constant(node.inputs[1]);
  if (s.depthwise() && w != nullptr) {
    x.lanes = folding.pe;
    x.nest = window_nest(s, {{s.channels / folding.pe, folding.pe, {}}}, {{folding.pe, 1, {}}});
  } else {
    stage.shared_operands = true;
    x.nest =
        window_nest(s, {{s.group, s.group_inputs(), {}}, {s.group_outputs() / folding.pe, 0, {}}},
                    {{s.group_inputs(), 1, {}}});
  }
  Recipe recipe{{x}, std::nullopt, folding.pe, 0};
  if (w != nullptr) {
    stage.weights = conv_weights(*w, s, folding);
  } else {
    Feed feed{node.inputs[1], folding.simd, std::nullopt, 0, stage.right};
    const std::int64_t size = s.outputs * s.kernel * s.group_inputs();
    feed.nest =
        Nest{{{s.images * product(s.output, 0, s.output.size()), 0, {}}, {size, 1, {}}}, 0, {}};
    recipe.feeds.push_back(feed);
  }
  recipe.body = stage;
  return recipe;
}

}  // namespace

Recipe linear_recipe(const DataflowGraph& graph, NodeId id, const Folding& folding) {
  const Node& node = graph.node(id);
  return node.op->name() == "IntConv" ? conv_recipe(graph, node, folding)
                                      : matmul_recipe(graph, node, folding);
}

FoldingSpace linear_foldings(const DataflowGraph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const bool constant_weights = graph.constant(node.inputs[1]) != nullptr;
  FoldingSpace space;
  if (node.op->name() == "IntMatMul") {
    const MatMulShape s = matmul_shape(graph, node);
    space.pe = divisors(s.columns);
    if (constant_weights) space.simd = divisors(s.depth);
    return space;
  }
  const ConvShape s = conv_shape(graph, node);
  if (constant_weights) space.pe = divisors(s.depthwise() ? s.channels : s.group_outputs());
  if (!(constant_weights && s.depthwise())) space.simd = divisors(s.group_inputs());
  return space;
}

}  // namespace tandem
