// Graphs inside nodes: their values get names of their own, and their nodes are imported beside the
// node, or into a body.
#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_model.h"
#include "tandem/files/onnx_scopes.h"
#include "tandem/graph/bodies.h"

namespace tandem {

std::string OnnxImporter::fresh_name(const std::string& wanted) {
  if (names_.empty()) collect_names(graph_, names_);
  std::string name = wanted;
  for (int i = 2; !names_.insert(name).second; ++i) name = concat(wanted, "_", i);
  return name;
}

// A copy of a graph whose inputs are the given values and whose other values have fresh names.
onnx::GraphProto& OnnxImporter::open_graph(const onnx::GraphProto& graph,
                                           const std::vector<std::string>& inputs,
                                           const std::string& prefix) {
  if (static_cast<std::size_t>(graph.input_size()) != inputs.size()) {
    throw Error("its graph '", graph.name(), "' takes ", graph.input_size(), " inputs, not ",
                inputs.size());
  }
  nodes_left_ -= graph.node_size() + 1;
  if (nodes_left_ < 0)
    throw Refusal("the graphs inside the model's nodes make too many nodes",
                  "export the model with fewer nested bodies or steps");
  sorted_nodes(graph, [](const std::string&) { return true; });  // throws on doubled names
  OnnxNames names;
  onnx::GraphProto& copy = inside_.emplace_back(graph);
  for (auto& tensor : *copy.mutable_initializer())
    tensor.set_name(names[tensor.name()] = fresh_name(concat(prefix, "/", tensor.name())));
  for (int i = 0; i < graph.input_size(); ++i)
    names[graph.input(i).name()] = inputs[static_cast<std::size_t>(i)];
  for (const auto& node : graph.node()) {
    for (const std::string& output : node.output())
      if (!output.empty()) names[output] = fresh_name(concat(prefix, "/", output));
  }
  substitute_names(copy, names);
  for (int i = 0; i < copy.node_size(); ++i)
    copy.mutable_node(i)->set_name(concat(prefix, "/", node_label(graph, i)));
  copy.clear_input();
  copy.clear_value_info();
  for (const auto& tensor : copy.initializer()) {
    std::int64_t elements = 1;
    for (const std::int64_t extent : tensor.dims())
      if (__builtin_mul_overflow(elements, extent, &elements)) elements = elements_left_ + 1;
    elements_left_ -= elements;
    if (elements_left_ < 0)
      throw Refusal("the graphs inside the model's nodes repeat too many initializers",
                    "keep them outside of the bodies");
  }
  read_initializers(copy);
  return copy;
}

const onnx::GraphProto& OnnxNode::graph(std::string_view name) {
  const auto* found = attribute(name);
  if (found == nullptr || !found->has_g())
    refuse(concat("attribute '", name, "' is missing or no graph"), "give it a graph");
  return found->g();
}

const std::string& OnnxNode::input_name(std::size_t input) const {
  if (!has(input)) refuse(concat("input ", input, " is absent"), "give the node that input");
  return proto_->input(static_cast<int>(input));
}

std::string OnnxNode::name_constant(std::string_view wanted, Tensor tensor) {
  OnnxValue value;
  value.dims = dims_of(tensor);
  value.constant = std::move(tensor);
  return name_as(wanted, std::move(value));
}

std::string OnnxNode::name_value(std::string_view wanted, ValueId value) {
  OnnxValue named;
  named.value = value;
  return name_as(wanted, std::move(named));
}

std::string OnnxNode::name_as(std::string_view wanted, OnnxValue value) {
  std::string name = importer_->fresh_name(concat(label_, "/", wanted));
  value.depth = importer_->depth();
  importer_->values_[name] = std::move(value);
  return name;
}

const Tensor* OnnxNode::constant_named(const std::string& name) const {
  const OnnxValue& value = importer_->find(name);
  return value.constant ? &*value.constant : nullptr;
}

ValueId OnnxNode::value_named(const std::string& name) { return importer_->materialize(name); }

void OnnxNode::set_named(std::size_t output, const std::string& name) {
  if (!has_output(output)) return;
  importer_->values_[output_name(output)] = importer_->find(name);
  if (importer_->guessed_.contains(name)) importer_->guessed_.insert(output_name(output));
}

void OnnxNode::note_deciding(std::size_t input) {
  if (has(input)) importer_->note_deciding(input_name(input));
}

namespace {

std::vector<std::string> output_names(const onnx::GraphProto& graph,
                                      const std::set<std::string>& poisoned) {
  std::vector<std::string> names;
  for (const auto& output : graph.output()) {
    if (poisoned.contains(output.name())) throw RefusedBody();
    names.push_back(output.name());
  }
  return names;
}

}  // namespace

std::vector<std::string> OnnxNode::inline_graph(const onnx::GraphProto& graph,
                                                const std::vector<std::string>& inputs,
                                                std::string_view part) {
  const std::size_t refused = importer_->refused_.size();
  const std::string scope = builder().scope();
  const auto& copy = importer_->open_graph(graph, inputs, concat(label_, "/", part));
  importer_->import_nodes(copy);
  builder().set_scope(scope);
  if (importer_->refused_.size() > refused) throw RefusedBody();
  return output_names(copy, importer_->poisoned_);
}

OnnxBody OnnxNode::build_body(const std::vector<TensorType>& inputs, std::string_view part,
                              const OnnxBodyBuilder& build) {
  OnnxImporter& importer = *importer_;
  Module& module = importer.module_;
  OnnxBody body;
  body.graph = module.graphs.size();
  module.graphs.emplace_back();
  module.graphs.back().name = importer.fresh_name(concat(label_, "/", part));
  importer.levels_.push_back(std::make_unique<OnnxImporter::Level>(
      OnnxImporter::Level{Builder(module, body.graph), {}, {}}));
  struct Leave {
    OnnxImporter& from;
    ~Leave() { from.levels_.pop_back(); }
  } const leave{importer};
  std::vector<ValueId> values;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    values.push_back(builder().input(concat("input ", i), inputs[i]));
  // Each output has a node of its own.
  for (const ValueId value : build(values))
    builder().output(builder().add("Identity", {value}, {}, "output"));
  body.captured = importer.levels_.back()->captured;
  return body;
}

OnnxBody OnnxNode::import_body(const onnx::GraphProto& graph,
                               const std::vector<OnnxBodyInput>& inputs, std::string_view part,
                               bool first_is_scalar) {
  const std::size_t refused = importer_->refused_.size();
  const std::string prefix = concat(label_, "/", part);
  std::vector<TensorType> types;
  for (const OnnxBodyInput& input : inputs) types.push_back(input.type);
  return build_body(types, part, [&](const std::vector<ValueId>& given) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      names.push_back(name_value(concat(part, "/input ", i), given[i]));
      importer_->sources_[names.back()] = inputs[i].sources;
    }
    const auto& copy = importer_->open_graph(graph, names, prefix);
    importer_->import_nodes(copy);
    if (importer_->refused_.size() > refused) throw RefusedBody();
    std::vector<ValueId> outputs;
    for (const std::string& name : output_names(copy, importer_->poisoned_))
      outputs.push_back(importer_->materialize(name));
    const bool is_list =
        !outputs.empty() && builder().type(outputs[0]).shape == std::vector<Dim>{1};
    if (first_is_scalar && is_list) outputs[0] = reshape(outputs[0], {});
    return outputs;
  });
}

std::vector<ValueId> OnnxNode::share_captures(std::span<OnnxBody> bodies) {
  std::vector<std::string> all;
  for (const OnnxBody& body : bodies)
    for (const std::string& name : body.captured)
      if (std::ranges::find(all, name) == all.end()) all.push_back(name);
  std::vector<ValueId> values;
  for (const std::string& name : all) values.push_back(importer_->materialize(name));
  for (OnnxBody& body : bodies) {
    Builder inside(importer_->module_, body.graph);
    std::vector<ValueId>& inputs = inside.graph().inputs;
    std::vector<ValueId> own(inputs.end() - static_cast<std::ptrdiff_t>(body.captured.size()),
                             inputs.end());
    inputs.resize(inputs.size() - own.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto place = std::ranges::find(body.captured, all[i]);
      if (place != body.captured.end())
        inside.graph().inputs.push_back(
            own[static_cast<std::size_t>(place - body.captured.begin())]);
      else
        inside.input(all[i], TensorType(builder().type(values[i])));
    }
    body.captured = all;
  }
  return values;
}

}  // namespace tandem
