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
    if (second_) moments.second.assign(elements * static_cast<std::size_t>(moments.columns), 0);
    moments_[site.node] = std::move(moments);
    readers_.emplace(node.inputs[0], site.node);
  }
}

void LayerInputs::add(ValueId value, const Tensor& reals) {
  const auto [begin, end] = readers_.equal_range(value);
  for (auto reader = begin; reader != end; ++reader) {
    const Node& node = network_.main().nodes[reader->second];
    InputMoments& moments = moments_[reader->second];
    if (node.op->name() == "Conv")
      add_convolution(node, reals, moments);
    else
      add_product(node, reals, moments);
  }
}

const InputMoments& LayerInputs::of(NodeId layer) const {
  const auto found = moments_.find(layer);
  ensure(found != moments_.end(), "no inputs were gathered for a layer");
  return found->second;
}

// `vectors` are rows of one group.
void LayerInputs::add_vectors(InputMoments& moments, std::int64_t group,
                              const std::vector<float>& vectors) {
  const std::int64_t columns = moments.columns;
  const auto n = static_cast<std::size_t>(columns);
  const std::size_t rows = vectors.size() / std::max<std::size_t>(n, 1);
  double* first = moments.first.data() + static_cast<std::size_t>(group) * n;
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < n; ++c) first[c] += static_cast<double>(vectors[r * n + c]);
  if (!second_) return;
  std::vector<float> transposed(vectors.size()), sums(n * n);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < n; ++c) transposed[c * rows + r] = vectors[r * n + c];
  gemm({columns, columns, static_cast<std::int64_t>(rows), columns}, transposed.data(),
       vectors.data(), sums.data());
  double* second = moments.second.data() + static_cast<std::size_t>(group) * n * n;
  for (std::size_t i = 0; i < n * n; ++i) second[i] += static_cast<double>(sums[i]);
}

void LayerInputs::add_product(const Node& node, const Tensor& x, InputMoments& moments) {
  const NodeView view{network_, network_.main(), node};
  std::vector<float> vectors = x.to_floats();
  if (node.op->name() == "Gemm" && view.integer("transA") != 0) {
    const auto rows = static_cast<std::size_t>(x.shape()[1]),
               columns = static_cast<std::size_t>(x.shape()[0]);
    std::vector<float> turned(vectors.size());
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < columns; ++c) turned[r * columns + c] = vectors[c * rows + r];
    vectors = std::move(turned);
  }
  moments.count +=
      static_cast<std::int64_t>(vectors.size()) / std::max<std::int64_t>(1, moments.columns);
  add_vectors(moments, 0, vectors);
}

void LayerInputs::add_convolution(const Node& node, const Tensor& x, InputMoments& moments) {
  const NodeView view{network_, network_.main(), node};
  const Shape kernel = constant_of(network_, network_.main(), node.inputs[1])->shape();
  const Window window = window_of(view, {kernel.begin() + 2, kernel.end()});
  const std::vector<std::int64_t> spatial(x.shape().begin() + 2, x.shape().end());
  const auto outputs = window.output_extents(spatial);
  const std::int64_t places = element_count(outputs), pixels = element_count(spatial);
  const std::int64_t taken = std::min(places, kPositions);
  const std::int64_t channels = kernel[1], taps = moments.columns / channels;
  const auto values = x.to_floats();
  const std::size_t rank = spatial.size();
  for (std::int64_t group = 0; group < moments.groups; ++group) {
    std::vector<float> vectors;
    vectors.reserve(static_cast<std::size_t>(x.shape()[0] * taken * moments.columns));
    for (std::int64_t n = 0; n < x.shape()[0]; ++n) {
      for (std::int64_t t = 0; t < taken; ++t) {
        const std::int64_t place = t * places / taken;
        for (std::int64_t c = 0; c < channels; ++c) {
          const std::int64_t plane = (n * x.shape()[1] + group * channels + c) * pixels;
          for (std::int64_t tap = 0; tap < taps; ++tap) {
            std::int64_t offset = 0, output_left = place, tap_left = tap, stride = 1;
            bool inside = true;
            for (std::size_t d = rank; d-- > 0;) {
              const std::int64_t at = output_left % outputs[d] * window.strides[d] -
                                      window.pads_begin[d] +
                                      tap_left % kernel[d + 2] * window.dilations[d];
              output_left /= outputs[d];
              tap_left /= kernel[d + 2];
              inside &= at >= 0 && at < spatial[d];
              offset += at * stride;
              stride *= spatial[d];
            }
            vectors.push_back(inside ? values[static_cast<std::size_t>(plane + offset)] : 0.0F);
          }
        }
      }
    }
    if (group == 0) moments.count += x.shape()[0] * taken;
    add_vectors(moments, group, vectors);
  }
}

}  // namespace tandem
