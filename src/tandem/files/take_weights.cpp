#include <cstdint>
#include <cstring>
#include <map>

#include "tandem/base/error.h"
#include "tandem/files/weights_file.h"
#include "tandem/transform/rewriter.h"

namespace tandem {
namespace {

void check_shape(const Tensor& constant, const TensorType& given, const std::string& name) {
  if (given.static_shape() != constant.shape())
    throw Error("tensor '", name, "' has the shape ", to_string(given.static_shape()),
                ", the network's constant ", to_string(constant.shape()),
                "; give weights of this network");
}

class WeightTaker {
 public:
  WeightTaker(Module& network, const Module& weights) : network_(network), weights_(weights) {
    for (ConstantId id = 0; id < network.constants.size(); ++id)
      constants_[network.constants[id].name] = id;
  }

  TakenWeights run() {
    TakenWeights result;
    const Graph& source = weights_.main();
    for (const ValueId output : source.outputs) {
      const Value& value = source.values[output];
      const auto found = constants_.find(value.name);
      if (found == constants_.end()) {
        result.unused.push_back(value.name);
        continue;
      }
      result.taken.push_back(value.name);
      check_shape(network_.constants[found->second].tensor, value.type, value.name);
      if (value.constant != kNone)
        replace(found->second, weights_.constants[value.constant].tensor);
      else
        computed_[found->second] = output;
    }
    if (result.taken.empty())
      throw Error("none of its ", source.outputs.size(),
                  " tensors has the name of a constant of the network",
                  source.outputs.empty() ? ""
                                         : concat("; the first is '",
                                                  source.values[source.outputs.front()].name, "'"));
    if (!computed_.empty()) rewrite();
    return result;
  }

 private:
  void replace(ConstantId id, const Tensor& tensor) {
    Tensor& constant = network_.constants[id].tensor;
    constant = tensor.format() == constant.format() ? tensor : tensor.converted(constant.format());
  }

  void rewrite() {
    check_bodies();
    Rewriter rewriter(network_);
    const Graph& source = weights_.main();
    std::vector<ValueId> now(source.values.size(), kNone);
    const auto value_of = [&](ValueId value) {
      if (value == kNone) return kNone;
      const ConstantId constant = source.values[value].constant;
      if (now[value] == kNone && constant != kNone)
        now[value] = rewriter.builder().constant(weights_.constants[constant].tensor,
                                                 weights_.constants[constant].name);
      return now[value];
    };
    const std::vector<bool> needed = needed_nodes(source);
    for (NodeId id = 0; id < source.nodes.size(); ++id) {
      if (!needed[id]) continue;
      const Node& node = source.nodes[id];
      std::vector<ValueId> inputs;
      for (const ValueId input : node.inputs) inputs.push_back(value_of(input));
      const auto outputs = rewriter.builder().add_node(node.op->name(), std::move(inputs),
                                                       node.attributes, node.name);
      for (std::size_t i = 0; i < outputs.size(); ++i) now[node.outputs[i]] = outputs[i];
    }
    const Graph& graph = network_.main();
    for (ValueId value = 0; value < graph.values.size(); ++value)
      if (const auto found = computed_.find(graph.values[value].constant); found != computed_.end())
        rewriter.set(value, now[found->second]);
    for (const Node& node : graph.nodes) rewriter.copy(node);
    Module result = rewriter.finish();
    remove_unused(result);
    network_ = std::move(result);
  }

  std::vector<bool> needed_nodes(const Graph& source) const {
    std::vector<bool> nodes(source.nodes.size(), false), values(source.values.size(), false);
    for (const auto& [constant, output] : computed_) values[output] = true;
    for (NodeId id = source.nodes.size(); id-- > 0;) {
      const Node& node = source.nodes[id];
      for (const ValueId output : node.outputs)
        if (values[output]) nodes[id] = true;
      if (!nodes[id]) continue;
      for (const ValueId input : node.inputs)
        if (input != kNone) values[input] = true;
    }
    return nodes;
  }

  // Inside a body there is no place for what is computed once.
  void check_bodies() const {
    const GraphId main = network_.functions.at("main");
    for (GraphId id = 0; id < network_.graphs.size(); ++id) {
      if (id == main) continue;
      for (const Value& value : network_.graphs[id].values)
        if (computed_.contains(value.constant))
          throw Error("the constant '", network_.constants[value.constant].name,
                      "' is read inside the body '", network_.graphs[id].name,
                      "', where codes cannot take its place; give that tensor as reals");
    }
  }

  Module& network_;
  const Module& weights_;
  std::map<std::string, ConstantId> constants_;
  std::map<ConstantId, ValueId> computed_;  // by constant, the output that takes its place
};

}  // namespace

TakenWeights take_weights(Module& network, const Module& weights, std::string_view source) {
  try {
    return WeightTaker(network, weights).run();
  } catch (const Error& error) {
    throw error.at(source);
  }
}

Tensor stored_tensor(const Format& format, const Shape& shape, ByteSpan bytes,
                     const SharedBytes& owner) {
  Tensor tensor(format, shape);
  if (tensor.bytes().size() == bytes.size()) {
    const bool is_aligned = reinterpret_cast<std::uintptr_t>(bytes.data()) % 8 == 0;
    if (owner.owner && is_aligned) return Tensor::borrowing(format, shape, bytes, owner.owner);
    if (!bytes.empty()) std::memcpy(tensor.mutable_bytes().data(), bytes.data(), bytes.size());
    return tensor;
  }
  const auto to = tensor.mutable_data<float>();
  for (std::size_t i = 0; i < to.size(); ++i) {
    std::uint16_t code = 0;
    std::memcpy(&code, bytes.data() + sizeof code * i, sizeof code);
    to[i] = static_cast<float>(format.decode(code));
  }
  return tensor;
}

}  // namespace tandem
