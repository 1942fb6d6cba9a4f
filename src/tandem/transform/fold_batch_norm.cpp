#include "tandem/transform/fold_batch_norm.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/registry.h"

namespace tandem {
namespace {

// y = x * factor + addend for each channel.
struct ChannelLine {
  std::vector<double> factor, addend;
};

std::optional<ChannelLine> constant_line(const NodeView& norm) {
  for (std::size_t i = 1; i < 5; ++i)
    if (norm.constant(i) == nullptr) return std::nullopt;
  const auto scale = norm.constant(1)->to_reals(), shift = norm.constant(2)->to_reals(),
             mean = norm.constant(3)->to_reals(), variance = norm.constant(4)->to_reals();
  ChannelLine line;
  for (std::size_t c = 0; c < scale.size(); ++c) {
    line.factor.push_back(scale[c] / std::sqrt(variance[c] + norm.real("epsilon")));
    line.addend.push_back(shift[c] - mean[c] * line.factor[c]);
  }
  return line;
}

// The axis of the weights along which output channels lie, where the line can go into them.
std::optional<std::size_t> channel_axis(const NodeView& product) {
  const std::string_view op = product.node.op->name();
  const Tensor* weights = product.constant(1);
  if (weights == nullptr || !weights->format().is_float()) return std::nullopt;
  if (op == "Conv") return 0;
  if (op == "Gemm") return product.integer("transB") != 0 ? 0 : 1;
  if (op == "MatMul" && weights->rank() == 2 && product.input(0).shape.size() == 2) return 1;
  return std::nullopt;
}

Tensor scaled_along(const Tensor& weights, std::size_t axis, const std::vector<double>& factor) {
  const std::int64_t stride = row_major_strides(weights.shape())[axis];
  auto values = weights.to_reals();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::int64_t channel =
        static_cast<std::int64_t>(i) / stride % static_cast<std::int64_t>(factor.size());
    values[i] *= factor[static_cast<std::size_t>(channel)];
  }
  return Tensor::from_reals(weights.format(), weights.shape(), values);
}

// The bias of a product per channel, times `weight` (Gemm's beta); nullopt where it is none.
std::optional<std::vector<double>> channel_bias(const NodeView& product, std::size_t channels,
                                                double weight) {
  std::vector<double> bias(channels, 0.0);
  if (product.node.inputs.size() < 3 || !product.has_input(2)) return bias;
  const Tensor* constant = product.constant(2);
  if (constant == nullptr) return std::nullopt;
  const auto size = static_cast<std::size_t>(constant->size());
  const bool last_axis_only = constant->rank() == 0 || constant->shape().back() == constant->size();
  if (!last_axis_only || (size != 1 && size != channels)) return std::nullopt;
  for (std::size_t c = 0; c < channels; ++c)
    bias[c] = weight * constant->real(size == 1 ? 0 : static_cast<std::int64_t>(c));
  return bias;
}

class Folder {
 public:
  Folder(Module& module, GraphId graph) : module_(module), id_(graph), builder_(module, graph) {}

  bool run() {
    bool changed = false;
    for (NodeId norm = 0; norm < graph().nodes.size(); ++norm)
      if (graph().nodes[norm].op->name() == "BatchNormalization") changed |= fold(norm);
    return changed;
  }

 private:
  Graph& graph() { return module_.graphs[id_]; }
  NodeView view(NodeId node) { return {module_, graph(), graph().nodes[node]}; }

  bool read_once(ValueId value) {
    Graph& g = graph();
    std::size_t reads = 0;
    for (const Node& node : g.nodes)
      reads += static_cast<std::size_t>(std::count(node.inputs.begin(), node.inputs.end(), value));
    for (const StateUpdate& update : g.updates) reads += update.value == value ? 1 : 0;
    return reads == 1 && std::find(g.outputs.begin(), g.outputs.end(), value) == g.outputs.end();
  }

  ValueId add_constant(const std::vector<double>& values, Shape shape, Format format,
                       const std::string& name) {
    return builder_.constant(Tensor::from_reals(format, std::move(shape), values), name);
  }

  bool fold(NodeId norm) {
    const ValueId joint = graph().nodes[norm].inputs[0];
    const NodeId product = graph().values[joint].producer;
    if (product == kNone || !read_once(joint)) return false;
    const auto line = constant_line(view(norm));
    const auto axis = line ? channel_axis(view(product)) : std::nullopt;
    if (!axis) return false;
    const std::size_t channels = line->factor.size();
    const bool is_gemm = view(product).node.op->name() == "Gemm";
    auto bias = channel_bias(view(product), channels, is_gemm ? view(product).real("beta") : 1);
    if (!bias) return false;
    for (std::size_t c = 0; c < channels; ++c)
      (*bias)[c] = (*bias)[c] * line->factor[c] + line->addend[c];
    const Tensor weights = *view(product).constant(1);
    const std::string name = graph().nodes[product].name;
    const ValueId folded =
        builder_.constant(scaled_along(weights, *axis, line->factor), name + ".weights");
    graph().nodes[product].inputs[1] = folded;
    const ValueId addend = add_constant(*bias, {static_cast<std::int64_t>(channels)},
                                        weights.format(), name + ".bias");
    if (view(product).node.op->name() == "MatMul") {
      turn_into_add(norm, addend);
    } else {
      take_over(product, norm, addend);
    }
    return true;
  }

  // A matrix product has no bias: the normalization becomes its addition.
  void turn_into_add(NodeId norm, ValueId addend) {
    Node& node = graph().nodes[norm];
    node.op = &operators().find("Add");
    node.attributes = complete_attributes(node.op->attributes(), {}, "Add");
    node.inputs = {node.inputs[0], addend};
  }

  // The product computes the normalization's result; the normalization is left without readers.
  void take_over(NodeId product, NodeId norm, ValueId addend) {
    Graph& g = graph();
    Node& node = g.nodes[product];
    node.inputs.resize(3, kNone);
    node.inputs[2] = addend;
    if (node.op->name() == "Gemm") node.attributes["beta"] = 1.0;
    std::swap(node.outputs[0], g.nodes[norm].outputs[0]);
    g.values[node.outputs[0]].producer = product;
    g.values[g.nodes[norm].outputs[0]].producer = norm;
  }

  Module& module_;
  GraphId id_;
  Builder builder_;
};

}  // namespace

void fold_batch_norm(Module& module) {
  bool changed = false;
  for (GraphId graph = 0; graph < module.graphs.size(); ++graph)
    changed |= Folder(module, graph).run();
  if (changed) remove_unused(module);
}

}  // namespace tandem
