#include "tandem/files/onnx_export.h"

#include <algorithm>
#include <array>
#include <limits>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/base/version.h"
#include "tandem/files/onnx_quant.h"
#include "tandem/files/onnx_tensor.h"

namespace tandem {
namespace {

bool is_quantizer(const Node& node) {
  return node.op->name() == "Quantize" || node.op->name() == "Dequantize";
}

onnx::AttributeProto& add_attribute(onnx::NodeProto& node, std::string_view name,
                                    onnx::AttributeProto::AttributeType type) {
  auto& attribute = *node.add_attribute();
  attribute.set_name(std::string(name));
  attribute.set_type(type);
  return attribute;
}

void describe(onnx::ValueInfoProto& info, const Value& value) {
  info.set_name(value.name);
  const auto type = onnx_type(value.type.format);
  if (!type) {
    throw Error("'", value.name, "' is ", value.type.format.name(),
                ", a format that ONNX has not; quantize it to 4, 8 or 16 bits or keep it real");
  }
  auto& tensor = *info.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(*type);
  auto& shape = *tensor.mutable_shape();
  for (const Dim& dim : value.type.shape) {
    auto& axis = *shape.add_dim();
    if (dim.is_constant()) {
      axis.set_dim_value(dim.constant());
    } else if (const auto symbols = dim.symbols();
               symbols.size() == 1 && dim == Dim::symbol(symbols.front())) {
      axis.set_dim_param(symbols.front());
    }
  }
}

// Why Quant does not say a Quantize or Dequantize: what stands against the Dequantize in question.
std::string quant_obstacle(const Graph& graph, const std::vector<std::vector<NodeId>>& readers,
                           const std::map<const Node*, std::string>& obstacles, const Node& node) {
  if (const auto own = obstacles.find(&node); own != obstacles.end()) return own->second;
  for (const NodeId id : readers[node.outputs[0]]) {
    const auto reader = obstacles.find(&graph.nodes[id]);
    if (reader != obstacles.end()) return reader->second;
  }
  return "its codes have a reader other than a Dequantize";
}

}  // namespace

void set_attribute(onnx::NodeProto& node, std::string_view name, std::int64_t value) {
  add_attribute(node, name, onnx::AttributeProto::INT).set_i(value);
}

namespace {

float narrow_attribute(std::string_view name, double value) {
  const auto narrow = static_cast<float>(value);
  if (static_cast<double>(narrow) != value)
    throw Error("attribute ", name, " = ", shortest(value),
                " is no f32, as ONNX's attributes are; the nearest is ",
                shortest(static_cast<double>(narrow)));
  return narrow;
}

}  // namespace

void set_attribute(onnx::NodeProto& node, std::string_view name, double value) {
  add_attribute(node, name, onnx::AttributeProto::FLOAT).set_f(narrow_attribute(name, value));
}

void set_attribute(onnx::NodeProto& node, std::string_view name, const std::string& value) {
  add_attribute(node, name, onnx::AttributeProto::STRING).set_s(value);
}

void set_attribute(onnx::NodeProto& node, std::string_view name,
                   const std::vector<std::int64_t>& values) {
  auto& attribute = add_attribute(node, name, onnx::AttributeProto::INTS);
  for (const std::int64_t value : values) attribute.add_ints(value);
}

void set_attribute(onnx::NodeProto& node, std::string_view name,
                   const std::vector<double>& values) {
  auto& attribute = add_attribute(node, name, onnx::AttributeProto::FLOATS);
  for (const double value : values) attribute.add_floats(narrow_attribute(name, value));
}

void set_attribute(onnx::NodeProto& node, std::string_view name,
                   const std::vector<std::string>& values) {
  auto& attribute = add_attribute(node, name, onnx::AttributeProto::STRINGS);
  for (const std::string& value : values) attribute.add_strings(value);
}

OnnxExporter::OnnxExporter(const Module& module, std::string_view source)
    : module_(module), graph_(module.main()), source_(source) {
  for (const Value& value : graph_.values) names_.insert(value.name);
}

std::string OnnxExporter::name_of(ValueId value) {
  if (value == kNone) return "";
  const ConstantId id = graph_.values[value].constant;
  if (id == kNone) return graph_.values[value].name;
  const auto known = initializers_.find(id);
  if (known != initializers_.end()) return known->second;
  const Tensor& tensor = module_.constants[id].tensor;
  if (!onnx_type(tensor.format())) {
    throw Error("it reads the constant '", module_.constants[id].name, "' of format ",
                tensor.format().name(), ", which ONNX has not");
  }
  const std::string& name = graph_.values[value].name;
  *proto_.add_initializer() = proto_of(tensor, name);
  return initializers_.emplace(id, name).first->second;
}

std::string OnnxExporter::initializer(const Tensor& tensor, const std::string& wanted) {
  std::string name = wanted;
  for (int i = 2; !names_.insert(name).second; ++i) name = concat(wanted, "_", i);
  *proto_.add_initializer() = proto_of(tensor, name);
  return name;
}

std::string OnnxExporter::integers(const std::vector<std::int64_t>& values,
                                   const std::string& wanted) {
  const Shape shape = {static_cast<std::int64_t>(values.size())};
  return initializer(Tensor::from_integers(Format::parse("int64"), shape, values), wanted);
}

onnx::NodeProto& OnnxExporter::emit(const Node& node, std::string_view op,
                                    std::vector<std::string> inputs) {
  while (!inputs.empty() && inputs.back().empty()) inputs.pop_back();
  auto& proto = *proto_.add_node();
  proto.set_op_type(std::string(op));
  proto.set_name(node.name);
  for (const std::string& input : inputs) proto.add_input(input);
  for (const ValueId output : node.outputs) proto.add_output(graph_.values[output].name);
  return proto;
}

void OnnxExporter::check_module() const {
  if (module_.functions.size() != 1 || !module_.states.empty() || !graph_.updates.empty()) {
    throw Error(
        "ONNX has no place for states or for functions beside 'main'; write the module's "
        "own text instead");
  }
  if (!graph_.codings.empty()) {
    throw Error(
        "the module is lowered to integers, for which ONNX has no operators; write the "
        "quantized network that it was lowered from");
  }
}

namespace {

// Gelu is of operator set 20; DeformConv and padding that wraps of 19; GroupNormalization, LpPool
// with dilations, antialiasing and scattered extremes of 18.
bool is_newer(const Node& node) {
  const auto says = [&](const char* attribute, std::initializer_list<std::string_view> values) {
    const auto found = node.attributes.find(attribute);
    const auto* text =
        found == node.attributes.end() ? nullptr : std::get_if<std::string>(&found->second);
    return text != nullptr && std::find(values.begin(), values.end(), *text) != values.end();
  };
  const std::string_view op = node.op->name();
  const auto antialias = node.attributes.find("antialias");
  if (antialias != node.attributes.end() && std::get<std::int64_t>(antialias->second) != 0)
    return true;
  constexpr std::array<std::string_view, 4> kNewOperators = {"DeformConv", "Gelu",
                                                             "GroupNormalization", "LpPool"};
  return std::ranges::find(kNewOperators, op) != kNewOperators.end() ||
         (op == "Pad" && says("mode", {"wrap"})) ||
         (op.starts_with("Scatter") && says("reduction", {"max", "min"}));
}

// Integers of 4 and 16 bits, floats of 8.
bool is_new(const Format& format) {
  const int bits = format.bits();
  return format.is_float() ? bits == 8 : format.is_integer() && (bits == 4 || bits == 16);
}

}  // namespace

// More than one axis of scales can be said in blocks alone.
bool OnnxExporter::is_in_blocks(const Node& node) const {
  const Tensor* scale = constant_of(module_, graph_, node.inputs[1]);
  return scale != nullptr &&
         std::ranges::count_if(scale->shape(), [](std::int64_t size) { return size != 1; }) > 1;
}

void OnnxExporter::choose_opset() {
  constexpr std::int64_t kNewer = 21;  // types of 4 and 16 bits in QuantizeLinear, and blocks
  for (const Node& node : graph_.nodes) {
    if (is_newer(node)) need_opset(kNewer);
    std::vector<ValueId> values;
    if (is_quantizer(node)) values = node.inputs;
    if (node.op->name() == "Quantize") values.push_back(node.outputs[0]);
    if (node.op->name() == "Dequantize" && is_in_blocks(node)) need_opset(kNewer);
    for (const ValueId value : values) {
      if (value == kNone) continue;
      const Format& format = graph_.values[value].type.format;
      if (is_new(format)) need_opset(kNewer);
    }
    // AveragePool takes dilations since 19.
    const auto dilations = node.attributes.find("dilations");
    if (node.op->name() == "AveragePool" && dilations != node.attributes.end() &&
        !std::get<std::vector<std::int64_t>>(dilations->second).empty()) {
      need_opset(kNewer);
    }
  }
}

// QuantizeLinear for everything where that is possible; otherwise Quant wherever it is.
void OnnxExporter::choose_forms() {
  bool all_linear = true, any = false;
  for (const Node& node : graph_.nodes) {
    if (!is_quantizer(node)) continue;
    any = true;
    forms_[&node] = QuantForm::kLinear;
    if (linear_obstacle(module_, graph_, node)) all_linear = false;
  }
  if (any) dialect_ = all_linear ? OnnxDialect::kQdq : OnnxDialect::kQonnx;
  if (all_linear) return;
  std::map<const Node*, std::string> obstacles;
  std::map<const Node*, bool> whole;  // a Quantize all of whose readers take it along
  const auto readers = consumers(graph_);
  for (const Node& node : graph_.nodes) {
    if (node.op->name() != "Dequantize") continue;
    const QuantChoice choice = quant_choice(module_, graph_, node);
    if (choice.form)
      forms_[&node] = *choice.form;
    else
      obstacles[&node] = choice.obstacle;
  }
  for (const Node& node : graph_.nodes) {
    if (node.op->name() != "Quantize") continue;
    const auto& reading = readers[node.outputs[0]];
    const bool paired = !reading.empty() &&
                        std::find(graph_.outputs.begin(), graph_.outputs.end(), node.outputs[0]) ==
                            graph_.outputs.end() &&
                        std::all_of(reading.begin(), reading.end(), [&](NodeId id) {
                          const auto form = forms_.find(&graph_.nodes[id]);
                          return form != forms_.end() && form->second != QuantForm::kLinear;
                        });
    if (paired) {
      forms_[&node] = QuantForm::kPaired;
      continue;
    }
    for (const NodeId id : reading)
      if (const auto form = forms_.find(&graph_.nodes[id]); form != forms_.end())
        form->second = QuantForm::kLinear;
  }
  for (const Node& node : graph_.nodes) {
    const auto form = forms_.find(&node);
    if (form == forms_.end() || form->second != QuantForm::kLinear) continue;
    const auto obstacle = linear_obstacle(module_, graph_, node);
    if (!obstacle) continue;
    refused_.push_back({node.name, std::string(node.op->name()),
                        concat("QuantizeLinear: ", *obstacle,
                               "; Quant: ", quant_obstacle(graph_, readers, obstacles, node)),
                        "quantize with rounding half_even to 8 bits, or with a Dequantize of the "
                        "same scale and zero right behind"});
  }
}

void OnnxExporter::write_node(NodeId id) {
  const Node& node = graph_.nodes[id];
  try {
    if (is_quantizer(node)) {
      write_quantizer(*this, node);
    } else {
      write_operator(*this, node);
    }
  } catch (const Error& error) {
    refused_.push_back({node.name, std::string(node.op->name()), error.what(),
                        "write the module's own text instead"});
  }
}

void OnnxExporter::write_surface() {
  proto_.set_name(module_.metadata.contains("onnx_graph") ? module_.metadata.at("onnx_graph")
                                                          : "main");
  for (const ValueId input : graph_.inputs) {
    const Value& value = graph_.values[input];
    for (const Dim& dim : value.type.shape) {
      const auto symbols = dim.symbols();
      if (!dim.is_constant() && (symbols.size() != 1 || dim != Dim::symbol(symbols.front()))) {
        throw Error("input '", value.name, "' has the dimension ", dim.to_string(),
                    ", which ONNX cannot name; bind its symbols first");
      }
    }
    describe(*proto_.add_input(), value);
  }
  for (const ValueId output : graph_.outputs) {
    const Value& value = graph_.values[output];
    if (value.producer == kNone)
      throw Error("output '", value.name, "' is an input or constant; put an Identity before it");
    describe(*proto_.add_output(), value);
  }
}

void OnnxExporter::write_metadata(onnx::ModelProto& model) const {
  const auto put = [&](const std::string& key, const std::string& value) {
    auto& entry = *model.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  };
  for (const auto& [key, value] : module_.metadata) {
    if (key == "producer")
      model.set_producer_name(value);
    else if (key == "producer_version")
      model.set_producer_version(value);
    else if (key != "onnx_graph" && key != "onnx_opset")
      put(key, value);
  }
  for (const Symbol& symbol : module_.symbols)
    put(concat(kSymbolKey, symbol.name), concat(symbol.min, ",", symbol.max));
}

OnnxFile OnnxExporter::run() {
  check_module();
  choose_opset();
  choose_forms();
  for (NodeId id = 0; refused_.empty() && id < graph_.nodes.size(); ++id) write_node(id);
  if (!refused_.empty()) throw RefusedModel(source_, "written as ONNX", std::move(refused_));
  write_surface();
  onnx::ModelProto model;
  model.set_ir_version(opset_ >= 21 ? 10 : 8);
  model.set_producer_name("tandem");
  model.set_producer_version(version());
  write_metadata(model);
  auto& own = *model.add_opset_import();
  own.set_domain("");
  own.set_version(opset_);
  if (dialect_ == OnnxDialect::kQonnx) {
    auto& qonnx = *model.add_opset_import();
    qonnx.set_domain(std::string(kQonnxDomain));
    qonnx.set_version(1);
  }
  *model.mutable_graph() = std::move(proto_);
  if (model.ByteSizeLong() > static_cast<std::size_t>(std::numeric_limits<int>::max()))
    throw Error("the model has more than 2 GiB, the most that an ONNX file holds");
  OnnxFile file;
  file.bytes = model.SerializeAsString();
  file.dialect = dialect_;
  return file;
}

std::string_view name(OnnxDialect dialect) {
  switch (dialect) {
    case OnnxDialect::kPlain: return "ONNX";
    case OnnxDialect::kQdq: return "QDQ";
    case OnnxDialect::kQonnx: return "QONNX";
  }
  return "?";
}

OnnxFile write_onnx(const Module& module, std::string_view source) {
  try {
    return OnnxExporter(module, source).run();
  } catch (const RefusedModel&) {
    throw;
  } catch (const Error& error) {
    throw error.at(source);
  }
}

}  // namespace tandem
