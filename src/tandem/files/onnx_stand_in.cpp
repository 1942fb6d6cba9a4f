#include "tandem/files/onnx_import.h"
#include "tandem/files/stand_in.h"

namespace tandem {

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
  if (depth() > 0) return std::nullopt;
  try {
    if (const auto declared = annotated_type(output)) {
      for (const ValueId input : builder().graph().inputs)
        if (const auto value = spread_mean(builder(), input, *declared)) return value;
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

std::optional<Module> OnnxImporter::rest() { return rest_of(module_); }

}  // namespace tandem
