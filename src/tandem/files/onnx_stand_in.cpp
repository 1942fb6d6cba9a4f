#include "tandem/base/text.h"
#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_model.h"
#include "tandem/files/stand_in.h"
#include "tandem/graph/symbolic.h"

namespace tandem {
namespace {

std::string type_text(const TensorType& type) {
  std::vector<std::string> dims;
  for (const Dim& dim : type.shape)
    dims.push_back(dim.is_constant() ? dim.to_string() : braced(dim));
  return concat(type.format.name(), "[", join(dims, ","), "]");
}

// As text to be read; braces would be expressions.
std::string setting_text(const onnx::AttributeProto& attribute) {
  constexpr std::size_t kMost = 80;
  std::vector<std::string> parts;
  for (const std::int64_t value : attribute.ints()) parts.push_back(std::to_string(value));
  for (const float value : attribute.floats()) parts.push_back(shortest(value));
  for (const std::string& value : attribute.strings()) parts.push_back(value);
  std::string text = concat("[", join(parts, ","), "]");
  switch (attribute.type()) {
    case onnx::AttributeProto::INT: text = std::to_string(attribute.i()); break;
    case onnx::AttributeProto::FLOAT: text = shortest(attribute.f()); break;
    case onnx::AttributeProto::STRING: text = attribute.s(); break;
    case onnx::AttributeProto::TENSOR: text = "a tensor"; break;
    case onnx::AttributeProto::GRAPH: text = "a graph"; break;
    default: break;
  }
  text = concat(attribute.name(), "=", text.substr(0, kMost));
  for (char& c : text)
    if (c == '{' || c == '}' || static_cast<unsigned char>(c) < ' ') c = ' ';
  return text;
}

}  // namespace

// An operator that is not known, with results of the types that the file declares. False where it
// declares none.
bool OnnxImporter::import_opaque(const onnx::NodeProto& proto, const std::string& label) {
  std::vector<std::string> types, settings;
  std::vector<std::string> names;
  for (const std::string& output : proto.output()) {
    if (output.empty()) continue;
    const auto type = depth() > 0 ? std::nullopt : annotated_type(output);
    if (!type) return false;
    types.push_back(type_text(*type));
    names.push_back(output);
  }
  if (types.empty()) return false;
  std::vector<ValueId> inputs;
  for (const std::string& input : proto.input())
    inputs.push_back(input.empty() ? kNone : materialize(input));
  for (const auto& attribute : proto.attribute()) settings.push_back(setting_text(attribute));
  const std::string& domain = proto.domain();
  const auto outputs = builder().add_node(
      "Opaque", inputs,
      {{"op", domain.empty() ? proto.op_type() : concat(domain, ":", proto.op_type())},
       {"types", types},
       {"settings", settings}},
      label);
  for (std::size_t i = 0; i < names.size(); ++i) values_[names[i]].value = outputs[i];
  return true;
}

std::optional<TensorType> OnnxImporter::annotated_type(const std::string& name) {
  if (!annotated_) {
    annotated_.emplace();
    for (const auto* infos : {&graph_.value_info(), &graph_.output()})
      for (const auto& info : *infos)
        if (info.type().has_tensor_type() && info.type().tensor_type().has_shape())
          annotated_->emplace(info.name(), &info);
  }
  const auto found = annotated_->find(name);
  if (found != annotated_->end()) return declared_type(*found->second);
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
