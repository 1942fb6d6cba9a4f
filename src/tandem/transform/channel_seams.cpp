#include "tandem/transform/channel_seams.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>

#include "tandem/base/error.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/operator.h"

namespace tandem {
namespace {

bool is_product(std::string_view op) { return op == "Conv" || op == "Gemm" || op == "MatMul"; }
bool is_norm(std::string_view op) { return op == "LayerNormalization" || op == "RMSNormalization"; }

// Weights [..] as channels that are made (outputs) or read (inputs).
struct WeightAxes {
  std::size_t output = 0, input = 0;
};

std::optional<WeightAxes> weight_axes(const NodeView& product) {
  const Tensor* weights = product.constant(1);
  if (weights == nullptr || !weights->format().is_float()) return std::nullopt;
  const std::string_view op = product.node.op->name();
  if (op == "Conv") return WeightAxes{0, 1};
  if (weights->rank() != 2) return std::nullopt;
  if (op == "Gemm" && product.integer("transB") != 0) return WeightAxes{0, 1};
  return WeightAxes{1, 0};
}

// Calls visit(element, channel) for the elements of a constant along an axis.
template <typename Visit>
void for_each_channel(const Tensor& tensor, std::size_t axis, const Visit& visit) {
  const std::int64_t stride = row_major_strides(tensor.shape())[axis],
                     extent = tensor.shape()[axis];
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    visit(i, static_cast<std::size_t>(i / stride % extent));
}

// Where a number can be added to each output channel of a product: its bias, or the sum with a
// constant behind it.
struct BiasPlace {
  NodeId node = kNone;
  std::size_t input = 0;
  double factor = 1;  // from the product of inputs to the constant
};

std::optional<BiasPlace> bias_place(const Module& network, NodeId product) {
  const Graph& graph = network.main();
  const NodeView node{network, graph, graph.nodes[product]};
  const std::string_view op = node.node.op->name();
  const auto is_row = [](const Tensor* constant, std::int64_t channels) {
    return constant != nullptr && (constant->size() == 1 || (constant->size() == channels &&
                                                             constant->shape().back() == channels));
  };
  if (op == "Conv") return BiasPlace{product, 2, 1};
  const std::int64_t channels =
      node.graph.values[node.node.outputs[0]].type.shape.back().constant();
  if (op == "Gemm") {
    const double beta = node.real("beta");
    if (beta == 0 || (node.has_input(2) && !is_row(node.constant(2), channels))) return {};
    return BiasPlace{product, 2, node.real("alpha") / beta};
  }
  const auto readers = consumers(graph);
  const auto& read = readers[node.node.outputs[0]];
  if (read.size() != 1 || graph.nodes[read[0]].op->name() != "Add") return {};
  const NodeView sum{network, graph, graph.nodes[read[0]]};
  const std::size_t other = sum.node.inputs[0] == node.node.outputs[0] ? 1 : 0;
  if (!is_row(sum.constant(other), channels) || !sum.constant(other)->format().is_float())
    return {};
  return BiasPlace{read[0], other, 1};
}

class SeamFinder {
 public:
  explicit SeamFinder(const Module& network)
      : network_(network), graph_(network.main()), readers_(consumers(graph_)) {}

  std::vector<ChannelSeam> run() const {
    std::vector<ChannelSeam> seams;
    for (NodeId id = 0; id < graph_.nodes.size(); ++id)
      if (auto seam = seam_behind(id)) seams.push_back(std::move(*seam));
    return seams;
  }

 private:
  NodeView view(NodeId id) const { return {network_, graph_, graph_.nodes[id]}; }
  bool is_output(ValueId value) const {
    return std::ranges::find(graph_.outputs, value) != graph_.outputs.end() ||
           std::ranges::any_of(graph_.updates,
                               [&](const StateUpdate& update) { return update.value == value; });
  }

  // The axis and number of channels that a node makes, where its constants can be scaled.
  bool start(NodeId id, ChannelSeam& seam) const {
    const NodeView node = view(id);
    const std::string_view op = node.node.op->name();
    const std::size_t rank =
        node.node.outputs.empty() ? 0 : graph_.values[node.node.outputs[0]].type.shape.size();
    if (is_norm(op)) {
      const Tensor* scale = node.constant(1);
      if (node.node.outputs.size() != 1 || scale == nullptr || scale->rank() != 1) return false;
      if (node.has_input(2) && node.constant(2) == nullptr) return false;
      seam.axis = rank - 1;
      seam.channels = scale->size();
      seam.takes_shift = op == "LayerNormalization" && node.has_input(2);
      return seam.channels > 1;
    }
    const auto axes = is_product(op) ? weight_axes(node) : std::nullopt;
    if (!axes) return false;
    if (node.has_input(2) && node.constant(2) == nullptr) return false;
    if (op == "Gemm" && node.has_input(2) && node.constant(2)->size() != 1 &&
        node.constant(2)->shape().back() != node.constant(2)->size())
      return false;
    seam.axis = op == "Conv" ? 1 : rank - 1;
    seam.channels = node.constant(1)->shape()[axes->output];
    return seam.channels > 1;
  }

  std::optional<ChannelSeam> seam_behind(NodeId id) const {
    ChannelSeam seam;
    seam.producer = id;
    if (!start(id, seam)) return std::nullopt;
    seam.value = graph_.nodes[id].outputs[0];
    bool pads = false;
    while (true) {
      if (is_output(seam.value)) return std::nullopt;
      std::vector<NodeId> found;
      if (collect(seam.value, seam.axis, seam.channels, found, pads)) {
        std::sort(found.begin(), found.end());
        found.erase(std::unique(found.begin(), found.end()), found.end());
        if (found.empty()) return std::nullopt;
        seam.readers = std::move(found);
        seam.takes_shift &= !pads && std::ranges::all_of(seam.readers, [&](NodeId reader) {
          return bias_place(network_, reader).has_value();
        });
        return seam;
      }
      if (readers_[seam.value].size() != 1) return std::nullopt;
      const NodeId next = readers_[seam.value][0];
      const auto moved = axis_behind(view(next), seam.axis);
      if (!moved && !passes(next, seam)) return std::nullopt;
      seam.between.push_back({next, seam.axis});
      if (moved) seam.axis = *moved;
      seam.value = graph_.nodes[next].outputs[0];
    }
  }

  // Whether a node between commutes with positive scales of the channels.
  bool passes(NodeId id, const ChannelSeam& seam) const {
    const NodeView node = view(id);
    const std::string_view op = node.node.op->name();
    if (op == "Relu") return true;
    if (op != "Add") return false;
    const std::size_t other = node.node.inputs[0] == seam.value ? 1 : 0;
    const Tensor* addend = node.constant(other);
    if (addend == nullptr || !addend->format().is_float()) return false;
    const std::size_t rank = graph_.values[seam.value].type.shape.size();
    if (addend->shape().size() > rank) return false;
    // One number for each channel, or for all.
    for (std::size_t d = 0; d < addend->shape().size(); ++d) {
      const std::size_t axis = d + rank - addend->shape().size();
      if (axis != seam.axis && addend->shape()[d] != 1) return false;
    }
    return addend->size() == 1 || addend->size() == seam.channels;
  }

  // The products that read a value's channels, through data movement; false where others do.
  bool collect(ValueId value, std::size_t axis, std::int64_t channels, std::vector<NodeId>& found,
               bool& pads) const {
    if (is_output(value) || readers_[value].empty()) return false;
    for (const NodeId reader : readers_[value]) {
      const NodeView node = view(reader);
      const std::string_view op = node.node.op->name();
      if (node.node.inputs[0] != value || std::ranges::count(node.node.inputs, value) != 1)
        return false;
      if (is_product(op)) {
        if (!reads_channels(node, axis, channels)) return false;
        if (op == "Conv")
          pads |= std::ranges::any_of(node.integers("pads"), [](auto p) { return p != 0; });
        found.push_back(reader);
      } else if (const auto moved = axis_behind(node, axis)) {
        if (!collect(node.node.outputs[0], *moved, channels, found, pads)) return false;
      } else {
        return false;
      }
    }
    return true;
  }

  static bool reads_channels(const NodeView& node, std::size_t axis, std::int64_t channels) {
    const auto axes = weight_axes(node);
    if (!axes) return false;
    const Tensor& weights = *node.constant(1);
    const std::string_view op = node.node.op->name();
    if (op == "Conv") {
      const bool is_depthwise = node.integer("group") == channels && weights.shape()[1] == 1;
      return axis == 1 && (is_depthwise || node.integer("group") == 1);
    }
    if (op == "Gemm" && node.integer("transA") != 0) return false;
    return axis + 1 == node.input(0).shape.size() && weights.shape()[axes->input] == channels;
  }

  // Where the channels' axis goes in data movement.
  static std::optional<std::size_t> axis_behind(const NodeView& node, std::size_t axis) {
    const std::string_view op = node.node.op->name();
    if (op == "Identity") return axis;
    if (op == "Transpose") {
      const auto perm = node.integers("perm");
      const auto place = std::ranges::find(perm, static_cast<std::int64_t>(axis));
      if (place == perm.end()) return std::nullopt;
      return static_cast<std::size_t>(place - perm.begin());
    }
    if (op == "Reshape") {
      const auto& from = node.input(0).shape;
      const auto& to = node.graph.values[node.node.outputs[0]].type.shape;
      if (axis + 1 == from.size() && !to.empty() && to.back() == from.back()) return to.size() - 1;
    }
    return std::nullopt;
  }

  const Module& network_;
  const Graph& graph_;
  std::vector<std::vector<NodeId>> readers_;
};

class Rescaler {
 public:
  Rescaler(Module& network, const ChannelSeam& seam, std::span<const double> scale,
           std::span<const double> shift)
      : network_(network), seam_(seam), scale_(scale), shift_(shift) {
    const auto channels = static_cast<std::size_t>(seam.channels);
    ensure(scale.size() == channels && (shift.empty() || shift.size() == channels),
           "scales of another number of channels");
    ensure(shift.empty() || seam.takes_shift, "a shift of channels that take none");
  }

  void run() {
    scale_producer();
    for (const auto& [node, axis] : seam_.between) scale_addend(node, axis);
    for (const NodeId reader : seam_.readers) scale_reader(reader);
  }

 private:
  Graph& graph() { return network_.main(); }
  NodeView view(NodeId id) { return {network_, graph(), graph().nodes[id]}; }

  void set_constant(NodeId node, std::size_t input, const Tensor& like,
                    const std::vector<double>& values) {
    const std::string name = graph().values[graph().nodes[node].inputs[input]].name;
    Builder builder(network_, network_.functions.at("main"));
    const ValueId constant =
        builder.constant(Tensor::from_reals(like.format(), like.shape(), values), name);
    graph().nodes[node].inputs[input] = constant;
  }

  // Divides a constant that has one number for each channel, or one for all.
  void divide(NodeId node, std::size_t input, std::span<const double> shift, std::size_t axis) {
    const Tensor old = *view(node).constant(input);
    const auto reals = old.to_reals();
    Shape shape = old.shape();
    std::vector<double> values;
    if (old.size() == 1 && seam_.channels > 1) {
      shape.assign(1, seam_.channels);
      if (graph().nodes[node].op->name() == "Add") {
        const std::size_t rank = graph().values[seam_.value].type.shape.size();
        shape.assign(rank, 1);
        shape[axis] = seam_.channels;
      }
    }
    for (std::size_t c = 0; c < scale_.size(); ++c) {
      const double value = reals[old.size() == 1 ? 0 : c];
      values.push_back((value - (shift.empty() ? 0 : shift[c])) / scale_[c]);
    }
    set_constant(node, input, Tensor(old.format(), shape), values);
  }

  void scale_producer() {
    const NodeView node = view(seam_.producer);
    if (is_norm(node.node.op->name())) {
      const bool has_bias = node.has_input(2);
      divide(seam_.producer, 1, {}, 0);
      if (has_bias) divide(seam_.producer, 2, shift_, 0);
      return;
    }
    const WeightAxes axes = *weight_axes(node);
    const Tensor weights = *node.constant(1);
    const bool has_bias = node.has_input(2);
    auto values = weights.to_reals();
    for_each_channel(weights, axes.output, [&](std::int64_t i, std::size_t c) {
      values[static_cast<std::size_t>(i)] /= scale_[c];
    });
    set_constant(seam_.producer, 1, weights, values);
    if (has_bias) divide(seam_.producer, 2, {}, 0);
  }

  void scale_addend(NodeId id, std::size_t axis) {
    const NodeView node = view(id);
    if (node.node.op->name() != "Add") return;
    divide(id, node.constant(1) != nullptr ? 1 : 0, {}, axis);
  }

  void scale_reader(NodeId id) {
    const NodeView node = view(id);
    const WeightAxes axes = *weight_axes(node);
    const Tensor weights = *node.constant(1);
    const std::size_t axis = is_depthwise(node) ? axes.output : axes.input;
    auto values = weights.to_reals();
    for_each_channel(weights, axis, [&](std::int64_t i, std::size_t c) {
      // A depthwise layer may have several filters for a channel.
      const std::size_t channel =
          axis == axes.output ? c * scale_.size() / static_cast<std::size_t>(weights.shape()[axis])
                              : c;
      values[static_cast<std::size_t>(i)] *= scale_[channel];
    });
    if (!shift_.empty()) add_shift(id, weights, axes);
    set_constant(id, 1, weights, values);
  }

  static bool is_depthwise(const NodeView& node) {
    return node.node.op->name() == "Conv" && node.integer("group") > 1;
  }

  // The old weights times the shift go into the bias.
  void add_shift(NodeId id, const Tensor& weights, const WeightAxes& axes) {
    std::vector<double> sums(static_cast<std::size_t>(weights.shape()[axes.output]));
    const std::int64_t in_stride = row_major_strides(weights.shape())[axes.input],
                       inputs = weights.shape()[axes.input];
    const bool depthwise = is_depthwise(view(id));
    for_each_channel(weights, axes.output, [&](std::int64_t i, std::size_t o) {
      const auto c = depthwise ? o * scale_.size() / sums.size()
                               : static_cast<std::size_t>(i / in_stride % inputs);
      sums[o] += weights.real(i) * shift_[c];
    });
    const BiasPlace place = *bias_place(network_, id);
    for (double& sum : sums) sum *= place.factor;
    Node& node = graph().nodes[place.node];
    if (node.inputs.size() <= place.input) node.inputs.resize(place.input + 1, kNone);
    const auto count = static_cast<std::int64_t>(sums.size());
    if (node.inputs[place.input] == kNone) {
      Builder builder(network_, network_.functions.at("main"));
      const std::string name = node.name + ".shift";
      const ValueId bias =
          builder.constant(Tensor::from_reals(weights.format(), {count}, sums), name);
      graph().nodes[place.node].inputs[place.input] = bias;
      return;
    }
    const Tensor old = *view(place.node).constant(place.input);
    for (std::size_t o = 0; o < sums.size(); ++o)
      sums[o] += old.real(old.size() == 1 ? 0 : static_cast<std::int64_t>(o));
    const Shape shape = old.size() == 1 ? Shape{count} : old.shape();
    set_constant(place.node, place.input, Tensor(old.format(), shape), sums);
  }

  Module& network_;
  const ChannelSeam& seam_;
  std::span<const double> scale_, shift_;
};

}  // namespace

std::vector<ChannelSeam> channel_seams(const Module& network) { return SeamFinder(network).run(); }

void rescale_channels(Module& network, const ChannelSeam& seam, std::span<const double> scale,
                      std::span<const double> shift) {
  Rescaler(network, seam, scale, shift).run();
}

std::vector<double> producer_reach(const Module& network, const ChannelSeam& seam) {
  const NodeView node{network, network.main(), network.main().nodes[seam.producer]};
  std::vector<double> reach(static_cast<std::size_t>(seam.channels));
  const Tensor& constants = *node.constant(1);
  const std::size_t axis = is_norm(node.node.op->name()) ? 0 : weight_axes(node)->output;
  for_each_channel(constants, axis, [&](std::int64_t i, std::size_t c) {
    reach[c] = std::max(reach[c], std::abs(constants.real(i)));
  });
  return reach;
}

std::vector<double> reader_reach(const Module& network, const ChannelSeam& seam) {
  std::vector<double> reach(static_cast<std::size_t>(seam.channels));
  for (const NodeId reader : seam.readers) {
    const NodeView node{network, network.main(), network.main().nodes[reader]};
    const Tensor& weights = *node.constant(1);
    const WeightAxes axes = *weight_axes(node);
    const bool depthwise = node.node.op->name() == "Conv" && node.integer("group") > 1;
    const std::size_t axis = depthwise ? axes.output : axes.input;
    const auto extent = static_cast<std::size_t>(weights.shape()[axis]);
    for_each_channel(weights, axis, [&](std::int64_t i, std::size_t c) {
      const std::size_t channel = depthwise ? c * reach.size() / extent : c;
      reach[channel] = std::max(reach[channel], std::abs(weights.real(i)));
    });
  }
  return reach;
}

std::size_t equalize_layers(Module& network) {
  constexpr int kMostSweeps = 20;
  constexpr double kStill = 1e-3;
  std::vector<ChannelSeam> seams = channel_seams(network);
  std::erase_if(seams, [&](const ChannelSeam& seam) {
    return is_norm(network.main().nodes[seam.producer].op->name());
  });
  std::vector<bool> changed(seams.size());
  bool moves = true;
  for (int sweep = 0; moves && sweep < kMostSweeps; ++sweep) {
    moves = false;
    for (std::size_t i = 0; i < seams.size(); ++i) {
      const auto first = producer_reach(network, seams[i]),
                 second = reader_reach(network, seams[i]);
      std::vector<double> scale;
      bool differs = false;
      for (std::size_t c = 0; c < first.size(); ++c) {
        const bool has_both = first[c] > 0 && second[c] > 0;
        scale.push_back(has_both ? std::sqrt(first[c] / second[c]) : 1);
        differs |= std::abs(scale.back() - 1) > kStill;
      }
      if (!differs) continue;
      rescale_channels(network, seams[i], scale);
      changed[i] = moves = true;
    }
  }
  remove_unused(network);
  return static_cast<std::size_t>(std::ranges::count(changed, true));
}

}  // namespace tandem
