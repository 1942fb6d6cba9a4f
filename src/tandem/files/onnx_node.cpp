#include <algorithm>
#include <cmath>

#include "tandem/base/text.h"
#include "tandem/files/onnx_import.h"
#include "tandem/graph/symbolic.h"
#include "tandem/ops/coded.h"
#include "tandem/ops/movement.h"
#include "tandem/transform/constant_fold.h"

namespace tandem {

OnnxNode::OnnxNode(OnnxImporter& importer, const onnx::NodeProto& proto, std::string label,
                   std::int64_t opset)
    : importer_(&importer), proto_(&proto), label_(std::move(label)), opset_(opset) {}

Builder& OnnxNode::builder() { return importer_->builder(); }

const std::vector<Symbol>& OnnxNode::symbols() const { return importer_->module_.symbols; }

const std::filesystem::path& OnnxNode::folder() const { return importer_->folder_; }

bool OnnxNode::has(std::size_t input) const {
  asked_inputs_.insert(input);
  return input < input_count() && !proto_->input(static_cast<int>(input)).empty();
}

bool OnnxNode::has_output(std::size_t output) const {
  return output < output_count() && !proto_->output(static_cast<int>(output)).empty();
}

const std::string& OnnxNode::output_name(std::size_t output) const {
  return proto_->output(static_cast<int>(output));
}

ValueId OnnxNode::value(std::size_t input) {
  return has(input) ? importer_->materialize(proto_->input(static_cast<int>(input))) : kNone;
}

std::vector<ValueId> OnnxNode::values() {
  std::vector<ValueId> all;
  for (std::size_t i = 0; i < input_count(); ++i) all.push_back(value(i));
  return all;
}

TensorType OnnxNode::type(std::size_t input) {
  if (!has(input)) refuse(concat("input ", input, " is absent"), "give the node that input");
  return builder().type(value(input));
}

const Tensor* OnnxNode::constant(std::size_t input) const {
  if (!has(input)) return nullptr;
  const OnnxValue& value = importer_->find(proto_->input(static_cast<int>(input)));
  return value.constant ? &*value.constant : nullptr;
}

const Tensor& OnnxNode::required_constant(std::size_t input, std::string_view what) const {
  if (const Tensor* tensor = constant(input)) return *tensor;
  if (has(input)) {
    importer_->note_deciding(proto_->input(static_cast<int>(input)));
    importer_->throw_if_undecided(proto_->input(static_cast<int>(input)));
  }
  refuse(concat(what, " is ", has(input) ? "computed while the network runs" : "absent"),
         "export the model with that input as a constant");
}

double OnnxNode::scalar(std::size_t input, std::string_view what) const {
  const Tensor& tensor = required_constant(input, what);
  if (tensor.size() != 1) refuse(concat(what, " is no scalar"), "give it one element");
  return tensor.real(0);
}

std::vector<std::int64_t> OnnxNode::integers(std::size_t input, std::string_view what) const {
  const Tensor& tensor = required_constant(input, what);
  if (!tensor.format().is_integer() || tensor.rank() > 1) {
    refuse(concat(what, " is ", type_of(tensor).to_string(), ", not a list of integers"),
           "give it as a 1-D int64 tensor");
  }
  return tensor.to_integers();
}

std::optional<DimTensor> OnnxNode::dims(std::size_t input) const {
  if (!has(input)) return std::nullopt;
  return importer_->find(proto_->input(static_cast<int>(input))).dims;
}

std::vector<Dim> OnnxNode::required_dims(std::size_t input, std::string_view what) const {
  const auto known = dims(input);
  if (known && known->shape.size() == 1) return known->elements;
  if (!known) required_constant(input, what);
  refuse(concat(what, " is no list of integers"), "give it as a 1-D int64 tensor");
}

Dim OnnxNode::data_size(std::string_view what, ValueId from, const Dim& most) {
  if (importer_->depth() > 0) {
    for (std::size_t i = 0; i < input_count(); ++i)
      if (has(i)) importer_->note_deciding(proto_->input(static_cast<int>(i)));
    refuse(concat(what, " is computed inside of a body, where sizes may change from step to step"),
           "move the node out of the body");
  }
  const auto known = importer_->data_sizes_.find(from);
  if (from != kNone && known != importer_->data_sizes_.end()) return known->second;
  const Dim size = importer_->fresh_symbol(concat("selected_", label_));
  if (from != kNone) importer_->data_sizes_.emplace(from, size);
  Symbol& symbol = importer_->module_.symbols.back();
  symbol.min = 0;
  if (const auto range = dim_bounds(most, symbols()))
    symbol.max = std::max<std::int64_t>(range->max, 0);
  return size;
}

void OnnxNode::decides(const Dim& size, ValueId value) {
  importer_->deciding_values_.emplace(size.symbols().front(), value);
}

std::vector<ValueId> OnnxNode::deciding_values(const std::vector<Dim>& dims) {
  return importer_->deciding_values(dims);
}

void OnnxNode::bound_size(const Dim& size, std::int64_t most) {
  for (Symbol& symbol : importer_->module_.symbols)
    if (size == Dim::symbol(symbol.name) && most >= symbol.min)
      symbol.max = std::min(symbol.max, most);
}

const onnx::AttributeProto* OnnxNode::attribute(std::string_view name) {
  asked_.emplace(name);
  for (const auto& attribute : proto_->attribute())
    if (attribute.name() == name) return &attribute;
  return nullptr;
}

bool OnnxNode::has_attribute(std::string_view name) const {
  for (const auto& attribute : proto_->attribute())
    if (attribute.name() == name) return true;
  return false;
}

namespace {

void check_kind(const onnx::AttributeProto* attribute, onnx::AttributeProto::AttributeType kind) {
  if (attribute == nullptr || attribute->type() == kind) return;
  OnnxNode::refuse(concat("attribute '", attribute->name(), "' is ",
                          onnx::AttributeProto::AttributeType_Name(attribute->type()), " where ",
                          onnx::AttributeProto::AttributeType_Name(kind), " belongs"),
                   "correct the attribute");
}

}  // namespace

std::int64_t OnnxNode::integer(std::string_view name) {
  const auto* found = attribute(name);
  if (found == nullptr) refuse(concat("attribute '", name, "' is missing"), "give it a value");
  check_kind(found, onnx::AttributeProto::INT);
  return found->i();
}

std::int64_t OnnxNode::integer(std::string_view name, std::int64_t otherwise) {
  return attribute(name) == nullptr ? otherwise : integer(name);
}

double OnnxNode::real(std::string_view name, double otherwise) {
  const auto* found = attribute(name);
  check_kind(found, onnx::AttributeProto::FLOAT);
  // ONNX's attributes are f32, its defaults too.
  if (found == nullptr) return static_cast<double>(static_cast<float>(otherwise));
  if (std::isnan(found->f())) refuse(concat("attribute '", name, "' is NaN"), "correct it");
  return found->f();
}

std::string OnnxNode::text(std::string_view name, std::string_view otherwise) {
  const auto* found = attribute(name);
  check_kind(found, onnx::AttributeProto::STRING);
  return found == nullptr ? std::string(otherwise) : found->s();
}

std::optional<std::vector<std::int64_t>> OnnxNode::integers(std::string_view name) {
  const auto* found = attribute(name);
  if (found == nullptr) return std::nullopt;
  check_kind(found, onnx::AttributeProto::INTS);
  return std::vector<std::int64_t>(found->ints().begin(), found->ints().end());
}

const onnx::TensorProto* OnnxNode::tensor(std::string_view name) {
  const auto* found = attribute(name);
  check_kind(found, onnx::AttributeProto::TENSOR);
  return found == nullptr ? nullptr : &found->t();
}

void OnnxNode::check_all_read() const {
  for (std::size_t i = 0; i < input_count(); ++i) {
    if (!proto_->input(static_cast<int>(i)).empty() && !asked_inputs_.contains(i))
      refuse(concat("input ", i, " has no meaning here"), "remove the input");
  }
  std::set<std::string> names;
  for (const auto& attribute : proto_->attribute()) {
    if (!names.insert(attribute.name()).second)
      refuse(concat("attribute '", attribute.name(), "' stands there twice"), "keep one of them");
    if (asked_.contains(attribute.name())) continue;
    const std::vector<std::string> known(asked_.begin(), asked_.end());
    refuse(concat("attribute '", attribute.name(), "' has no meaning here",
                  suggestion(attribute.name(), known)),
           "remove or correct the attribute");
  }
}

std::vector<ValueId> OnnxNode::add_node(std::string_view tandem_op, std::vector<ValueId> inputs,
                                        Attributes attributes, std::vector<GraphId> bodies) {
  while (!inputs.empty() && inputs.back() == kNone) inputs.pop_back();
  if (importer_->depth() > 0)
    for (const std::string& symbol : symbols_in(attributes))
      importer_->deciding_values({Dim::symbol(symbol)});  // refuses there
  std::vector<ValueId> outputs;
  try {
    outputs = builder().add_node(tandem_op, inputs, attributes, label_, bodies);
  } catch (const Error&) {
    if (!bodies.empty() || !importer_->unify_sizes(tandem_op, inputs)) throw;
    outputs = builder().add_node(tandem_op, inputs, attributes, label_);
  }
  const Graph& graph = builder().graph();
  const auto folded = fold_node(importer_->module_, graph, graph.nodes.back(),
                                std::min(kMostFoldedElements, importer_->elements_left_));
  if (!folded) return outputs;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Tensor& result = (*folded)[i];
    const bool from_file = importer_->binding_.values.empty();
    if (from_file && result.format().is_float() &&
        !all_of(result, [](double v) { return !std::isnan(v); })) {
      refuse("it makes NaN of its constant inputs",
             "correct the constants, or the training that made them");
    }
    importer_->elements_left_ -= result.size();
    outputs[i] = add_constant(result);
  }
  return outputs;
}

void OnnxNode::charge(std::int64_t elements) {
  if (elements > importer_->elements_left_) {
    refuse(concat("it makes ", elements, " elements, more than a model may in all"),
           "let broadcasting operators take scalars instead");
  }
  importer_->elements_left_ -= elements;
}

ValueId OnnxNode::add(std::string_view tandem_op, std::vector<ValueId> inputs,
                      Attributes attributes) {
  const auto outputs = add_node(tandem_op, std::move(inputs), std::move(attributes));
  ensure(outputs.size() == 1, concat(tandem_op, " has not one output"));
  return outputs.front();
}

ValueId OnnxNode::add_constant(Tensor tensor) {
  return builder().constant(importer_->constants_.add(std::move(tensor), label_));
}

TensorType OnnxNode::type_of_value(ValueId value) {
  if (value == kNone) refuse("an input is absent that it needs", "give the node that input");
  return builder().type(value);
}

const Tensor* OnnxNode::constant_of_value(ValueId value) {
  return constant_of(importer_->module_, builder().graph(), value);
}

ValueId OnnxNode::reshape(ValueId value, const std::vector<Dim>& shape) {
  const auto& from = type_of_value(value).shape;
  if (from == shape) return value;
  const ValueId result = add("Reshape", {value}, {{"shape", reshape_attribute(from, shape)}});
  // Where a symbol must be a number for the elements to suffice, the shape has that number, and
  // nothing may be left to do.
  const auto found = type_of_value(result).shape;
  if (found == from) return value;
  Graph& graph = builder().graph();
  const NodeId node = graph.values[result].producer;  // none of what was folded
  if (found != shape && node != kNone)
    graph.nodes[node].attributes["shape"] = reshape_attribute(from, found);
  return result;
}

void OnnxNode::set(std::size_t output, ValueId value) {
  if (value == kNone) refuse("an input is absent that it needs", "give the node that input");
  OnnxValue result;
  result.value = value;
  if (const Tensor* tensor = constant_of_value(value)) {
    result.constant = *tensor;
    result.dims = dims_of(*tensor);
  }
  set(output, std::move(result));
}

void OnnxNode::set(std::size_t output, OnnxValue value) {
  value.depth = importer_->depth();
  if (has_output(output)) importer_->values_[output_name(output)] = std::move(value);
}

}  // namespace tandem
