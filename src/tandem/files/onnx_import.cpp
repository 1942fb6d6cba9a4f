#include "tandem/files/onnx_import.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "tandem/base/text.h"
#include "tandem/files/onnx_functions.h"
#include "tandem/files/onnx_model.h"
#include "tandem/files/onnx_quant.h"
#include "tandem/files/onnx_scopes.h"
#include "tandem/files/onnx_tensor.h"

namespace tandem {
namespace {

constexpr std::int64_t kNewestOpset = 28;  // the newest set whose operators were read through
constexpr std::string_view kRemedy =
    "mend the node in the program that exported the model; `tandem list operators` shows what is "
    "read";

constexpr std::string_view kOrDeclare =
    "; or declare the types of its results (value_info), and it is carried along unknown";

const OnnxHandlers& handlers() {
  static const OnnxHandlers kTable = [] {
    OnnxHandlers table;
    add_contrib_handlers(table);
    add_contrib_attention_handlers(table);
    add_contrib_lstm_handlers(table);
    add_contrib_quantized_handlers(table);
    add_control_flow_handlers(table);
    add_elementwise_handlers(table);
    add_image_handlers(table);
    add_index_handlers(table);
    add_layer_handlers(table);
    add_attention_handlers(table);
    add_integer_layer_handlers(table);
    add_ml_handlers(table);
    add_normalization_handlers(table);
    add_pool_handlers(table);
    add_recurrent_handlers(table);
    add_selection_handlers(table);
    add_signal_handlers(table);
    add_shape_handlers(table);
    add_text_handlers(table);
    add_tree_ensemble_handlers(table);
    add_tree_handlers(table);
    add_quantization_handlers(table);
    return table;
  }();
  return kTable;
}

std::string known_operators(bool qonnx) {
  std::vector<std::string> names;
  for (const auto& [name, handler] : handlers())
    if (name.starts_with(kQonnxPrefix) == qonnx) names.push_back(name);
  return join(names, ", ");
}

// The key of a node's handler; "" where its domain is unknown.
std::string handler_key(const onnx::NodeProto& proto) {
  const std::string& domain = proto.domain();
  if (domain.empty() || domain == "ai.onnx") return proto.op_type();
  if (is_qonnx_domain(domain)) return concat(kQonnxPrefix, proto.op_type());
  if (domain == "ai.onnx.ml") return concat("ml:", proto.op_type());
  if (domain == "ai.onnx.preview") return concat("preview:", proto.op_type());
  if (domain != "com.microsoft") return "";
  const bool is_shared = proto.op_type() == "QuantizeLinear" || proto.op_type() == "Trilu" ||
                         proto.op_type() == "DequantizeLinear" || proto.op_type() == "Gelu";
  return is_shared ? proto.op_type() : concat("ms:", proto.op_type());
}

OnnxHandler find_handler(const onnx::NodeProto& proto) {
  const auto found = handlers().find(handler_key(proto));
  return found == handlers().end() ? nullptr : found->second;
}

// Exporters name nodes by their place in the network: "/stage1/block0/conv/Conv".
std::string scope_of(std::string_view node) {
  while (node.starts_with('/')) node.remove_prefix(1);
  const std::size_t slash = node.rfind('/');
  return slash == std::string_view::npos ? "" : std::string(node.substr(0, slash));
}

// Before operator set 7 only operators are read that it left as they were.
bool is_unchanged_since_first(std::string_view op) {
  constexpr std::array<std::string_view, 16> kUnchanged = {
      "Constant",      "Flatten",  "GlobalAveragePool",
      "GlobalMaxPool", "Identity", "LRN",
      "LogSoftmax",    "MatMul",   "Not",
      "Shape",         "Size",     "Softmax",
      "Softplus",      "Softsign", "Transpose",
      "Unsqueeze"};
  return std::ranges::find(kUnchanged, op) != kUnchanged.end();
}

bool is_any(const onnx::NodeProto& proto, const std::set<std::string>& names) {
  return std::any_of(proto.input().begin(), proto.input().end(),
                     [&](const std::string& input) { return names.contains(input); });
}

// Why no handler is there, and what to do about it.
Refusal reason_for_unknown(const onnx::NodeProto& proto) {
  const std::string& op = proto.op_type();
  if (handler_key(proto).empty()) {
    return {concat("the operator domain '", proto.domain(), "' is unknown"),
            concat("export the model with operators of ONNX or QONNX, or with functions over them",
                   kOrDeclare)};
  }
  std::vector<std::string> names;
  for (const auto& [name, handler] : handlers()) names.push_back(name);
  const std::string nearest = nearest_name(op, names);
  return {concat("there is no operator ", op, " here",
                 nearest.empty() ? "" : concat("; the nearest is ", nearest)),
          is_qonnx_domain(proto.domain())
              ? concat("of QONNX these are read: ", known_operators(true))
              : concat("replace it by operators that are read (`tandem list operators`) before "
                       "exporting",
                       kOrDeclare)};
}

}  // namespace

OnnxImporter::OnnxImporter(onnx::ModelProto& model, std::filesystem::path folder,
                           const OnnxBinding& binding)
    : model_(model),
      graph_(*model.mutable_graph()),
      folder_(std::move(folder)),
      opsets_(operator_sets(model)),
      binding_(binding) {
  levels_.push_back(std::make_unique<Level>(
      Level{Builder(module_, Builder::add_graph(module_, "main")), {}, {}}));
  const auto own = opsets_.find("");
  if (own != opsets_.end() && own->second > kNewestOpset) {
    throw Error("operator set ", own->second, " is newer than ", kNewestOpset,
                ", the newest that is read; convert it with onnx.version_converter");
  }
}

// A search among all names takes its time, and a model may have many such nodes.
Refusal OnnxImporter::unknown_operator(const onnx::NodeProto& proto) {
  const std::string key = concat(proto.domain(), ":", proto.op_type());
  const auto known = unknown_.find(key);
  if (known != unknown_.end()) return known->second;
  return unknown_.emplace(key, reason_for_unknown(proto)).first->second;
}

Module OnnxImporter::run(std::string_view source) {
  main_order_ = sorted_nodes(graph_);  // throws on what is no graph before anything is read
  read_metadata();
  read_annotations();
  read_initializers(graph_);
  read_inputs();
  import_nodes(graph_);
  if (!refused_.empty()) {
    throw RefusedModel(source, "read", std::move(refused_), rest(),
                       {deciding_.begin(), deciding_.end()});
  }
  finish_outputs();
  rename_values();
  remove_unused(module_);
  return std::move(module_);
}

void OnnxImporter::read_metadata() {
  const auto put = [&](const std::string& key, const std::string& value) {
    if (!value.empty()) module_.metadata[key] = value;
  };
  put("producer", model_.producer_name());
  put("producer_version", model_.producer_version());
  put("onnx_graph", graph_.name());
  const auto own = opsets_.find("");
  if (own != opsets_.end()) put("onnx_opset", std::to_string(own->second));
  for (const auto& entry : model_.metadata_props()) {
    if (entry.key().starts_with(kSymbolKey)) {
      symbol_bounds_[entry.key().substr(kSymbolKey.size())] = entry.value();
    } else {
      put(module_.metadata.contains(entry.key()) ? "onnx:" + entry.key() : entry.key(),
          entry.value());
    }
  }
}

void OnnxImporter::read_annotations() {
  for (const auto& annotation : graph_.quantization_annotation()) {
    for (const auto& entry : annotation.quant_parameter_tensor_names()) {
      if (entry.key() != "finn_datatype") continue;
      if (const auto format = qonnx_data_type(entry.value()))
        annotations_.emplace(annotation.tensor_name(), *format);
    }
  }
}

void OnnxImporter::read_initializers(onnx::GraphProto& graph) {
  if (graph.sparse_initializer_size() > 0) {
    throw Error("initializer '", graph.sparse_initializer(0).values().name(),
                "' is sparse; export the model with dense initializers");
  }
  for (auto& proto : *graph.mutable_initializer()) {
    OnnxValue value;
    value.depth = depth();
    try {
      value.constant = tensor_of(proto, folder_);
    } catch (const Error& error) {
      throw error.at(concat("initializer '", proto.name(), "'"));
    }
    value.dims = dims_of(*value.constant);
    const std::string name = proto.name();
    onnx::TensorProto().Swap(&proto);  // the elements exist once, as the tensor
    proto.set_name(name);
    const auto annotated = annotations_.find(name);
    if (annotated != annotations_.end() && value.constant->format().is_float())
      value = annotated_constant(builder(), constants_, *value.constant, annotated->second, name);
    values_.emplace(name, std::move(value));
  }
}

// ONNX's names of dimensions are any text; two of them never become one symbol.
Dim OnnxImporter::symbol_of(const std::string& param) {
  const auto known = symbols_.find(param);
  if (known != symbols_.end()) return known->second;
  return symbols_.emplace(param, fresh_symbol(param)).first->second;
}

TensorType OnnxImporter::declared_type(const onnx::ValueInfoProto& info) {
  if (!info.type().has_tensor_type())
    throw Error("'", info.name(), "' is no tensor (or has no type); only tensors are read");
  const auto& declared = info.type().tensor_type();
  const auto format = onnx_format(declared.elem_type());
  if (!format) {
    throw Error("'", info.name(), "' has elements of type ", onnx_type_name(declared.elem_type()),
                ", which are not read");
  }
  if (!declared.has_shape()) {
    throw Error("'", info.name(),
                "' has no shape; export the model with the rank of its inputs "
                "(onnx.shape_inference, or dynamic axes with names)");
  }
  TensorType type{{}, *format};
  Shape fixed;
  for (int axis = 0; axis < declared.shape().dim_size(); ++axis) {
    const auto& dim = declared.shape().dim(axis);
    if (dim.has_dim_value() && dim.dim_value() >= 0) {
      type.shape.emplace_back(dim.dim_value());
      fixed.push_back(dim.dim_value());
    } else if (!dim.dim_param().empty()) {
      type.shape.push_back(symbol_of(dim.dim_param()));
    } else {
      type.shape.push_back(fresh_symbol(axis == 0 ? "N" : concat(info.name(), "_d", axis)));
    }
    if (is_extended(info.name(), axis, declared.shape().dim_size()))
      may_be_empty(type.shape.back());
  }
  element_count(fixed);  // throws on an absurd size
  return type;
}

// Dimensions of one name have one size.
void OnnxImporter::bind_shape(const onnx::ValueInfoProto& input, const Shape& shape) {
  auto& declared = *graph_input(input.name()).mutable_type()->mutable_tensor_type();
  if (declared.has_shape() && declared.shape().dim_size() != static_cast<int>(shape.size()))
    throw Error("'", input.name(), "' is given the shape ", to_string(shape),
                ", which has another rank than it declares");
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    auto& dim = declared.mutable_shape()->dim_size() > static_cast<int>(axis)
                    ? *declared.mutable_shape()->mutable_dim(static_cast<int>(axis))
                    : *declared.mutable_shape()->add_dim();
    Dim known = shape[axis];
    if (dim.has_dim_value() && dim.dim_value() >= 0) known = dim.dim_value();
    if (!dim.dim_param().empty()) known = symbols_.emplace(dim.dim_param(), known).first->second;
    if (known != Dim(shape[axis])) {
      throw Error("'", input.name(), "' is given the shape ", to_string(shape), " where axis ",
                  axis, " is ", known.to_string());
    }
    dim.set_dim_value(shape[axis]);
  }
  if (shape.empty()) declared.mutable_shape();
}

onnx::ValueInfoProto& OnnxImporter::graph_input(const std::string& name) {
  const auto found = std::ranges::find(*graph_.mutable_input(), name, &onnx::ValueInfoProto::name);
  if (found == graph_.mutable_input()->end()) throw Error("the model has no input '", name, "'");
  return *found;
}

void OnnxImporter::read_input(const onnx::ValueInfoProto& input) {
  OnnxValue value;
  if (const auto bound = binding_.values.find(input.name()); bound != binding_.values.end()) {
    const TensorType type = declared_type(input);
    if (type != type_of(bound->second)) {
      throw Error("'", input.name(), "' is bound to ", type_of(bound->second).to_string(),
                  " but declared ", type.to_string());
    }
    value.constant = bound->second;
    value.dims = dims_of(bound->second);
    values_[input.name()] = std::move(value);
    return;
  }
  value.value = builder().input(input.name(), declared_type(input));
  const auto annotated = annotations_.find(input.name());
  if (annotated != annotations_.end() && builder().type(value.value).format.is_float())
    value.value =
        annotated_value(builder(), constants_, value.value, annotated->second, input.name());
  values_[input.name()] = std::move(value);
}

// Notes the inputs of the model that a value is computed from.
void OnnxImporter::note_deciding(const std::string& value) {
  std::vector<std::string> pending = {value};
  while (!pending.empty()) {
    const std::string name = pending.back();
    pending.pop_back();
    if (name.empty() || !asked_.insert(name).second) continue;
    const auto known = values_.find(name);
    if (known != values_.end() && known->second.constant) continue;
    if (const auto source = sources_.find(name); source != sources_.end())
      pending.insert(pending.end(), source->second.begin(), source->second.end());
    else
      deciding_.insert(name);
  }
}

void OnnxImporter::read_inputs() {
  find_extended();
  for (const auto& [name, shape] : binding_.shapes) bind_shape(graph_input(name), shape);
  for (const auto& [name, tensor] : binding_.values) bind_shape(graph_input(name), tensor.shape());
  for (const auto& input : graph_.input()) {
    if (values_.contains(input.name())) continue;  // an initializer listed as input
    try {
      read_input(input);
    } catch (const Error& error) {
      throw error.at("graph input");
    }
  }
}

const OnnxValue& OnnxImporter::find(const std::string& name) const {
  const auto found = values_.find(name);
  ensure(found != values_.end(), concat("ONNX value '", name, "' was not imported"));
  return found->second;
}

ValueId OnnxImporter::materialize(const std::string& name, std::size_t depth) {
  const auto found = values_.find(name);
  ensure(found != values_.end(), concat("ONNX value '", name, "' was not imported"));
  OnnxValue& value = found->second;
  if (value.depth != depth) return materialize_outer(name, depth);
  if (value.value != kNone) return value.value;
  Builder& builder = levels_[depth]->builder;
  ensure(value.constant || value.dims, concat("ONNX value '", name, "' has no elements"));
  value.value = value.constant ? builder.constant(constants_.add(*value.constant, name))
                               : add_extents(builder, *value.dims, name);
  return value.value;
}

// A value of a graph around the one at `depth`: a constant in it too, or an input of it.
ValueId OnnxImporter::materialize_outer(const std::string& name, std::size_t depth) {
  Level& level = *levels_[depth];
  if (const auto known = level.outer.find(name); known != level.outer.end()) return known->second;
  const ValueId outer = materialize(name, depth - 1);
  const Value& value = levels_[depth - 1]->builder.graph().values[outer];
  ValueId inner = kNone;
  if (value.constant != kNone) {
    inner = level.builder.constant(value.constant);
  } else {
    inner = level.builder.input(name, TensorType(value.type));
    level.captured.push_back(name);
  }
  level.outer.emplace(name, inner);
  return inner;
}

// Whether a node or the caller needs a value; masks of training are declared and never read.
bool OnnxImporter::is_read(const std::string& name) {
  if (!read_) {
    read_.emplace();
    for (const auto& node : open_->node())
      for (std::string& read : names_read(node)) read_->insert(std::move(read));
    for (const auto& output : open_->output()) read_->insert(output.name());
  }
  return read_->contains(name);
}

void OnnxImporter::poison(const onnx::NodeProto& proto) {
  poisoned_.insert(proto.output().begin(), proto.output().end());
}

void OnnxImporter::refuse(const onnx::NodeProto& proto, const std::string& label,
                          std::string reason, std::string remedy) {
  refused_.push_back({label, proto.op_type(), std::move(reason), std::move(remedy)});
  stand_in_for(proto);
}

void OnnxImporter::import_nodes(const onnx::GraphProto& graph) {
  const auto is_outer = [&](const std::string& name) {
    return values_.contains(name) || poisoned_.contains(name);
  };
  const std::vector<int> order =
      &graph == &graph_ ? std::move(main_order_) : sorted_nodes(graph, is_outer);
  const onnx::GraphProto* around = std::exchange(open_, &graph);
  auto read_around = std::exchange(read_, std::nullopt);
  for (const int index : order) import_node(graph, index);
  open_ = around;
  read_ = std::move(read_around);
}

void OnnxImporter::import_node(const onnx::GraphProto& graph, int index) {
  const auto& proto = graph.node(index);
  const std::string label = node_label(graph, index);
  for (const std::string& output : proto.output()) sources_[output] = names_read(proto);
  const OnnxHandler handler = find_handler(proto);
  try {
    const bool is_known = handler != nullptr;
    if (is_known && is_any(proto, poisoned_)) return poison(proto);
    if (!is_known && (is_any(proto, poisoned_) || !import_opaque(proto, label)))
      throw unknown_operator(proto);
    if (!is_known) return;
    const std::string domain = proto.domain() == "ai.onnx" ? "" : proto.domain();
    const auto opset = opsets_.find(domain);
    if (opset == opsets_.end() && domain.empty()) {
      throw Refusal("the model imports no operator set of ONNX",
                    "save the model with its opset_import");
    }
    constexpr std::int64_t kOldestOpset = 7;
    if (domain.empty() && opset->second < kOldestOpset &&
        !is_unchanged_since_first(proto.op_type()))
      throw Refusal(
          concat("operator set ", opset->second, "; sets from ", kOldestOpset, " on are read"),
          "convert the model with onnx.version_converter");
    const OnnxNode fresh(*this, proto, label, opset == opsets_.end() ? 1 : opset->second);
    OnnxNode node = fresh;
    builder().set_scope(scope_of(proto.name()));
    if (!domain.empty() || !import_shape_arithmetic(node, proto)) {
      node = fresh;
      handler(node);
    }
    node.check_all_read();
    for (const std::string& output : proto.output()) {
      if (!output.empty() && !values_.contains(output) && is_read(output))
        throw Refusal(concat("its output '", output, "' is not supported"),
                      "export the model for inference, without outputs of training");
    }
    if (is_any(proto, guessed_)) guessed_.insert(proto.output().begin(), proto.output().end());
  } catch (const RefusedBody&) {
    poison(proto);
  } catch (const Refusal& refusal) {
    refuse_unless_guessed(proto, label, refusal.what(), refusal.remedy());
  } catch (const Error& error) {
    refuse_unless_guessed(proto, label, error.what(), std::string(kRemedy));
  }
}

// A fault behind a guess may be the guess's.
void OnnxImporter::refuse_unless_guessed(const onnx::NodeProto& proto, const std::string& label,
                                         std::string reason, std::string remedy) {
  if (find_handler(proto) != nullptr && is_any(proto, guessed_)) return poison(proto);
  refuse(proto, label, std::move(reason), std::move(remedy));
}

void OnnxImporter::check_output(const onnx::ValueInfoProto& info, ValueId value) {
  const TensorType& type = builder().type(value);
  if (!info.type().has_tensor_type()) return;  // declared without a type, which ONNX allows
  const auto& declared = info.type().tensor_type();
  const auto format = onnx_format(declared.elem_type());
  if (declared.elem_type() != 0 && format != type.format) {
    throw Error("output '", info.name(), "' is declared ", onnx_type_name(declared.elem_type()),
                " but computed as ", type.to_string(), "; correct the declaration");
  }
  if (!declared.has_shape()) return;
  bool same = declared.shape().dim_size() == static_cast<int>(type.shape.size());
  for (int axis = 0; same && axis < declared.shape().dim_size(); ++axis) {
    const auto& dim = declared.shape().dim(axis);
    const Dim& computed = type.shape[static_cast<std::size_t>(axis)];
    same = !dim.has_dim_value() || dim.dim_value() <= 0 || !computed.is_constant() ||
           dim.dim_value() == computed.constant();
  }
  if (!same) {
    throw Error("output '", info.name(), "' is declared with another shape than the computed ",
                type.to_string(), "; correct the declaration (onnx.shape_inference)");
  }
}

void OnnxImporter::finish_outputs() {
  if (graph_.output_size() == 0) throw Error("the graph has no outputs");
  std::set<ValueId> taken(builder().graph().inputs.begin(), builder().graph().inputs.end());
  std::set<std::string> names;
  for (const auto& output : graph_.output()) {
    if (!names.insert(output.name()).second)
      throw Error("output '", output.name(), "' is listed twice; list it once");
    ValueId value = materialize(output.name());
    // An output has a name and a producer of its own.
    if (taken.contains(value) || builder().graph().values[value].constant != kNone) {
      value = builder().add("Identity", {value}, {}, output.name());
    }
    taken.insert(value);
    values_[output.name()].value = value;
    check_output(output, value);
    builder().output(value);
  }
}

void OnnxImporter::rename_values() {
  Graph& graph = builder().graph();
  std::set<std::string> used;
  std::set<ValueId> named(graph.inputs.begin(), graph.inputs.end());
  const auto claim = [&](ValueId value, const std::string& name) {
    if (value == kNone || !named.insert(value).second) return;
    if (used.insert(name).second)
      graph.values[value].name = name;
    else
      named.erase(value);
  };
  for (const ValueId input : graph.inputs) used.insert(graph.values[input].name);
  for (const auto& output : graph_.output()) claim(find(output.name()).value, output.name());
  for (const auto& node : graph_.node())
    for (const std::string& output : node.output())
      if (values_.contains(output)) claim(find(output).value, output);
  for (ValueId id = 0; id < graph.values.size(); ++id) {
    if (named.contains(id)) continue;
    std::string name = graph.values[id].name;
    for (int i = 2; !used.insert(name).second; ++i) name = concat(graph.values[id].name, "_", i);
    graph.values[id].name = name;
  }
}

namespace {

// What `parse` returns, as a module.
Module import_onnx(const std::function<onnx::ModelProto()>& parse, std::string_view source,
                   const std::filesystem::path& folder, const OnnxBinding& binding) {
  try {
    onnx::ModelProto model = parse();
    inline_functions(model);
    return OnnxImporter(model, folder, binding).run(source);
  } catch (const RefusedModel&) {
    throw;
  } catch (const Error& error) {
    throw error.at(source);
  }
}

}  // namespace

Module read_onnx(ByteSpan bytes, std::string_view source, const std::filesystem::path& folder,
                 const OnnxBinding& binding) {
  return import_onnx([&] { return parse_onnx_model(bytes); }, source, folder, binding);
}

Module read_onnx(const std::filesystem::path& path, const OnnxBinding& binding) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  regular_file_size(path);  // what is wrong with it, without its name twice
  return import_onnx([&] { return parse_onnx_model(path); }, path.string(), folder, binding);
}

}  // namespace tandem
