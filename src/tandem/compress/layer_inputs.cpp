#include "tandem/compress/layer_inputs.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/kernels/gemm.h"
#include "tandem/ops/window.h"

namespace tandem {

double InputMoments::mean(std::int64_t group, std::int64_t column) const {
  if (count == 0) return 0;
  return first[static_cast<std::size_t>(group * columns + column)] / static_cast<double>(count);
}

double InputMoments::variance(std::int64_t group, std::int64_t column) const {
  if (count == 0) return 0;
  const double middle = mean(group, column);
  const auto at = static_cast<std::size_t>(group * columns + column);
  return std::max(0.0, squares[at] / static_cast<double>(count) - middle * middle);
}

LayerInputs::LayerInputs(const Module& network, const QuantizationSites& sites, bool second_moments)
    : network_(network), second_(second_moments) {
  const Graph& graph = network.main();
  for (const WeightSite& site : sites.weights) {
    const Node& node = graph.nodes[site.node];
    InputMoments moments;
    const Tensor& weights = *constant_of(network, graph, node.inputs[1]);
    const std::int64_t channels = weights.shape()[static_cast<std::size_t>(site.axis)];
    moments.columns = channels == 0 ? 0 : weights.size() / channels;
    if (node.op->name() == "Conv") moments.groups = NodeView{network, graph, node}.integer("group");
    const auto elements = static_cast<std::size_t>(moments.groups * moments.columns);
    moments.first.assign(elements, 0);
    moments.squares.assign(elements, 0);
    if (second_) moments.second.assign(elements * static_cast<std::size_t>(moments.columns), 0);
    moments_[site.node] = std::move(moments);
  }
}

void LayerInputs::add(NodeId layer, std::span<const Tensor> samples) {
  const Node& node = network_.main().nodes[layer];
  InputMoments& moments = moments_.at(layer);
  for (std::int64_t group = 0; group < moments.groups; ++group) {
    std::vector<float> vectors;
    for (const Tensor& x : samples) {
      if (node.op->name() == "Conv")
        convolution_vectors(node, x, group, moments, vectors);
      else
        product_vectors(node, x, vectors);
    }
    if (group == 0)
      moments.count +=
          static_cast<std::int64_t>(vectors.size()) / std::max<std::int64_t>(1, moments.columns);
    add_vectors(moments, group, vectors);
  }
}

const InputMoments& LayerInputs::of(NodeId layer) const {
  const auto found = moments_.find(layer);
  ensure(found != moments_.end(), "no inputs were gathered for a layer");
  return found->second;
}

// `vectors` are rows of one group.
void LayerInputs::add_vectors(InputMoments& moments, std::int64_t group,
                              const std::vector<float>& vectors) const {
  const std::int64_t columns = moments.columns;
  const auto n = static_cast<std::size_t>(columns);
  const std::size_t rows = vectors.size() / std::max<std::size_t>(n, 1);
  double* first = moments.first.data() + static_cast<std::size_t>(group) * n;
  double* squares = moments.squares.data() + static_cast<std::size_t>(group) * n;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < n; ++c) {
      const auto x = static_cast<double>(vectors[r * n + c]);
      first[c] += x;
      squares[c] += x * x;
    }
  }
  if (!second_) return;
  std::vector<float> transposed(vectors.size()), sums(n * n);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < n; ++c) transposed[c * rows + r] = vectors[r * n + c];
  gemm({columns, columns, static_cast<std::int64_t>(rows), columns}, transposed.data(),
       vectors.data(), sums.data());
  double* second = moments.second.data() + static_cast<std::size_t>(group) * n * n;
  for (std::size_t i = 0; i < n * n; ++i) second[i] += static_cast<double>(sums[i]);
}

void LayerInputs::product_vectors(const Node& node, const Tensor& x,
                                  std::vector<float>& vectors) const {
  const NodeView view{network_, network_.main(), node};
  const std::vector<float> values = x.to_floats();
  if (node.op->name() != "Gemm" || view.integer("transA") == 0) {
    vectors.insert(vectors.end(), values.begin(), values.end());
    return;
  }
  const auto rows = static_cast<std::size_t>(x.shape()[1]),
             columns = static_cast<std::size_t>(x.shape()[0]);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c) vectors.push_back(values[c * rows + r]);
}

namespace {

// Where each weight of a channel's kernel reads, seen from the first pixel of its window.
struct Taps {
  std::vector<std::int64_t> offsets;             // in the plane
  std::vector<std::vector<std::int64_t>> steps;  // by dimension: of the coordinate
};

Taps taps_of(const Shape& kernel, const Window& window, const std::vector<std::int64_t>& spatial) {
  Taps taps;
  const std::size_t rank = spatial.size();
  taps.steps.resize(rank);
  const std::int64_t count = element_count({kernel.begin() + 2, kernel.end()});
  for (std::int64_t tap = 0; tap < count; ++tap) {
    std::int64_t left = tap, stride = 1, offset = 0;
    for (std::size_t d = rank; d-- > 0;) {
      const std::int64_t step = left % kernel[d + 2] * window.dilations[d];
      left /= kernel[d + 2];
      taps.steps[d].push_back(step);
      offset += step * stride;
      stride *= spatial[d];
    }
    taps.offsets.push_back(offset);
  }
  return taps;
}

}  // namespace

void LayerInputs::convolution_vectors(const Node& node, const Tensor& x, std::int64_t group,
                                      const InputMoments& moments,
                                      std::vector<float>& vectors) const {
  const NodeView view{network_, network_.main(), node};
  const Shape kernel = constant_of(network_, network_.main(), node.inputs[1])->shape();
  const Window window = window_of(view, {kernel.begin() + 2, kernel.end()});
  const std::vector<std::int64_t> spatial(x.shape().begin() + 2, x.shape().end());
  const auto outputs = window.output_extents(spatial);
  const std::int64_t places = element_count(outputs), pixels = element_count(spatial);
  const std::int64_t taken = std::min(places, kPositions);
  const std::int64_t channels = kernel[1];
  const std::size_t rank = spatial.size();
  const Taps taps = taps_of(kernel, window, spatial);
  const std::size_t count = taps.offsets.size();
  std::vector<float> copy;
  const bool is_f32 = x.format().storage() == Storage::kF32;
  if (!is_f32) copy = x.to_floats();
  const std::span<const float> values = is_f32 ? x.data<float>() : std::span<const float>(copy);
  std::size_t to = vectors.size();
  vectors.resize(to + static_cast<std::size_t>(x.shape()[0] * taken * moments.columns));
  std::vector<std::uint8_t> inside(count);
  for (std::int64_t n = 0; n < x.shape()[0]; ++n) {
    for (std::int64_t t = 0; t < taken; ++t) {
      std::ranges::fill(inside, std::uint8_t{1});
      std::int64_t left = t * places / taken, stride = 1, origin = 0;
      for (std::size_t d = rank; d-- > 0;) {
        const std::int64_t at = left % outputs[d] * window.strides[d] - window.pads_begin[d];
        left /= outputs[d];
        origin += at * stride;
        stride *= spatial[d];
        for (std::size_t k = 0; k < count; ++k) {
          const std::int64_t place = at + taps.steps[d][k];
          if (place < 0 || place >= spatial[d]) inside[k] = 0;
        }
      }
      for (std::int64_t c = 0; c < channels; ++c) {
        const std::int64_t plane = (n * x.shape()[1] + group * channels + c) * pixels + origin;
        for (std::size_t k = 0; k < count; ++k, ++to)
          if (inside[k] != 0)
            vectors[to] = values[static_cast<std::size_t>(plane + taps.offsets[k])];
      }
    }
  }
}

}  // namespace tandem
