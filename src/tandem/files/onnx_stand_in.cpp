#include "tandem/files/onnx_import.h"
#include "tandem/ops/movement.h"

namespace tandem {

// A refused node leaves values behind that nobody computes. So that what follows can be judged in
// the same breath, each gets a stand-in of its type that depends on the network's input.

namespace {

// The mean of every sample of `input`, repeated along the other dimensions of `type`; nullopt where
// the type is no batch of that kind.
std::optional<ValueId> spread_mean(Builder& builder, ValueId input, const TensorType& type) {
  const TensorType from = builder.type(input);
  if (!from.format.is_float() || !type.format.is_float() || type.shape.empty() ||
      from.shape.empty() || type.shape[0] != from.shape[0])
    return std::nullopt;
  std::vector<std::string> shape{"d0"};
  std::vector<Dim> column(type.shape.size(), Dim(1));
  column[0] = type.shape[0];
  for (std::size_t d = 1; d < type.shape.size(); ++d) {
    if (!type.shape[d].is_constant()) return std::nullopt;
    shape.push_back(std::to_string(type.shape[d].constant()));
  }
  ValueId mean = input;
  if (from.shape.size() > 1) {
    std::vector<std::int64_t> axes;
    for (std::size_t d = 1; d < from.shape.size(); ++d)
      axes.push_back(static_cast<std::int64_t>(d));
    mean = builder.add("ReduceMean", {input}, {{"axes", axes}, {"keepdims", std::int64_t{0}}});
  }
  return builder.add("Expand", {add_reshape(builder, mean, column)}, {{"shape", shape}});
}

}  // namespace

std::optional<TensorType> OnnxImporter::annotated_type(const std::string& name) {
  for (const auto* infos : {&graph_.value_info(), &graph_.output()}) {
    for (const auto& info : *infos)
      if (info.name() == name && info.type().has_tensor_type() &&
          info.type().tensor_type().has_shape())
        return declared_type(info);
  }
  return std::nullopt;
}

std::optional<ValueId> OnnxImporter::stand_in(const onnx::NodeProto& proto,
                                              const std::string& output) {
  try {
    if (const auto declared = annotated_type(output)) {
      for (const ValueId input : builder_.graph().inputs)
        if (const auto value = spread_mean(builder_, input, *declared)) return value;
      return std::nullopt;
    }
    // Without a declaration, most operators have results of their first operand's type.
    for (const std::string& input : proto.input()) {
      if (poisoned_.contains(input) || input.empty()) continue;
      const OnnxValue& known = find(input);
      if (known.value == kNone || known.constant) continue;
      guessed_.insert(output);
      return known.value;
    }
    return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

void OnnxImporter::stand_in_for(const onnx::NodeProto& proto) {
  for (const std::string& output : proto.output()) {
    if (output.empty() || values_.contains(output)) continue;
    if (const auto value = stand_in(proto, output)) {
      values_[output].value = *value;
    } else {
      poisoned_.insert(output);
    }
  }
}

// What could be read, with the values that nothing reads as outputs.
std::optional<Module> OnnxImporter::rest() {
  Graph& graph = builder_.graph();
  std::vector<bool> read(graph.values.size());
  for (const Node& node : graph.nodes)
    for (const ValueId input : node.inputs)
      if (input != kNone) read[input] = true;
  for (const Node& node : graph.nodes)
    for (const ValueId output : node.outputs)
      if (!read[output]) graph.outputs.push_back(output);
  if (graph.outputs.empty()) return std::nullopt;
  remove_unused(module_);
  return std::move(module_);
}

}  // namespace tandem
