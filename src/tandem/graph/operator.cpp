#include "tandem/graph/operator.h"

#include "tandem/base/error.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/lowering.h"

namespace tandem {

bool NodeView::has_input(std::size_t index) const {
  return index < node.inputs.size() && node.inputs[index] != kNone;
}

const TensorType& NodeView::input(std::size_t index) const {
  if (!has_input(index)) throw InternalError(concat(node.op->name(), " asked for an absent input"));
  return graph.values[node.inputs[index]].type;
}

const Tensor* NodeView::constant(std::size_t index) const {
  return has_input(index) ? constant_of(module, graph, node.inputs[index]) : nullptr;
}

namespace {

template <typename T>
const T& attribute_as(const Node& node, std::string_view name) {
  const auto found = node.attributes.find(std::string(name));
  if (found == node.attributes.end())
    throw InternalError(concat(node.op->name(), " asked for attribute ", name));
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) throw InternalError(concat(node.op->name(), " attribute kind of ", name));
  return *value;
}

}  // namespace

std::int64_t NodeView::integer(std::string_view attribute) const {
  return attribute_as<std::int64_t>(node, attribute);
}
double NodeView::real(std::string_view attribute) const {
  return attribute_as<double>(node, attribute);
}
const std::string& NodeView::string(std::string_view attribute) const {
  return attribute_as<std::string>(node, attribute);
}
Format NodeView::format(std::string_view attribute) const {
  return attribute_as<Format>(node, attribute);
}
const std::vector<std::int64_t>& NodeView::integers(std::string_view attribute) const {
  return attribute_as<std::vector<std::int64_t>>(node, attribute);
}
const std::vector<double>& NodeView::reals(std::string_view attribute) const {
  return attribute_as<std::vector<double>>(node, attribute);
}

std::string_view name(OperationKind kind) {
  switch (kind) {
    case OperationKind::kMultiplyAccumulate: return "multiply_accumulate";
    case OperationKind::kMultiply: return "multiply";
    case OperationKind::kAdd: return "add";
    case OperationKind::kCompare: return "compare";
    case OperationKind::kDivide: return "divide";
    case OperationKind::kTranscendental: return "transcendental";
    case OperationKind::kTableLookup: return "table_lookup";
    case OperationKind::kShift: return "shift";
    case OperationKind::kMove: return "move";
  }
  return "?";
}

std::int64_t Work::total(OperationKind kind) const {
  std::int64_t sum = 0;
  for (const OperationCount& operation : operations)
    if (operation.kind == kind) sum += operation.count;
  return sum;
}

std::vector<ValueId> Operator::body(Builder&, const NodeView&, const Form& form,
                                    std::span<const ValueId>) const {
  throw InternalError(concat(name(), " has no body '", form.name, "'"));
}

namespace {

// The body of a composite as a graph of its own, constants of the node kept as constants. Where the
// operands are given, its inputs have their shapes.
Module body_module(const Operator& op, const NodeView& node, const Form& form,
                   std::span<const Tensor> operands = {}) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  std::vector<ValueId> inputs;
  for (std::size_t i = 0; i < node.input_count(); ++i) {
    if (!node.has_input(i))
      inputs.push_back(kNone);
    else if (const Tensor* constant = node.constant(i))
      inputs.push_back(builder.constant(*constant));
    else
      inputs.push_back(
          builder.input(concat("x", i), operands.empty() ? node.input(i) : type_of(operands[i])));
  }
  for (const ValueId value : op.body(builder, node, form, inputs)) builder.output(value);
  return module;
}

}  // namespace

std::vector<Tensor> Operator::evaluate(const NodeView& node, std::span<const Tensor> inputs) const {
  const auto all_forms = forms(node);
  ensure(!all_forms.empty(), concat(name(), " has neither evaluation nor body"));
  const Module module = body_module(*this, node, all_forms.front(), inputs);
  std::vector<Tensor> computed;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (node.has_input(i) && node.constant(i) == nullptr) computed.push_back(inputs[i]);
  return tandem::evaluate(module, module.main(), computed);
}

namespace {

std::int64_t bits_of(const TensorType& type) {
  return element_count(type.static_shape()) * type.format.bits();
}

}  // namespace

Work Operator::work(const NodeView& node) const {
  Work work;
  const auto all_forms = forms(node);
  if (!all_forms.empty()) {
    const Module module = body_module(*this, node, all_forms.front());
    for (const Node& inner : module.main().nodes) {
      const Work part = inner.op->work({module, module.main(), inner});
      work.operations.insert(work.operations.end(), part.operations.begin(), part.operations.end());
    }
  }
  for (std::size_t i = 0; i < node.input_count(); ++i) {
    if (!node.has_input(i)) continue;
    (node.constant(i) != nullptr ? work.constant_bits : work.input_bits) += bits_of(node.input(i));
  }
  const auto outputs = infer(node);
  for (const TensorType& type : outputs) work.output_bits += bits_of(type);
  if (all_forms.empty()) {
    const std::int64_t count = outputs.empty() ? 0 : element_count(outputs[0].static_shape());
    const Traits trait = traits();
    const Format format = outputs.empty() ? Format() : outputs[0].format;
    const Format operand = node.has_input(0) ? node.input(0).format : format;
    work.operations.push_back(
        {trait.domain == Domain::kMovement ? OperationKind::kMove : OperationKind::kAdd, operand,
         operand, format, count});
  }
  return work;
}

std::optional<std::vector<CodedValue>> Operator::lower(LoweringSite& site) const {
  const auto all_forms = forms(site.node);
  if (all_forms.empty()) return std::nullopt;
  const Module module = body_module(*this, site.node, all_forms.front());
  std::vector<std::optional<CodedValue>> computed;
  for (std::size_t i = 0; i < site.node.input_count(); ++i)
    if (site.node.has_input(i) && site.node.constant(i) == nullptr)
      computed.push_back(site.inputs[i]);
  return lower_graph(module, module.functions.at("main"), site.builder, site.options, computed);
}

std::vector<TensorType> infer_checked(const Module& module, const Graph& graph, const Node& node) {
  const std::string where = concat(node.op->name(), " '", node.name, "'");
  const std::size_t count = node.inputs.size();
  if (count < node.op->min_inputs() || count > node.op->max_inputs())
    throw Error(
        where, ": takes ", node.op->min_inputs(), " to ",
        node.op->max_inputs() == kNone ? "any number of" : std::to_string(node.op->max_inputs()),
        " inputs, not ", count);
  for (std::size_t i = 0; i < node.op->min_inputs(); ++i)
    if (node.inputs[i] == kNone) throw Error(where, ": input ", i, " is absent but required");
  try {
    auto types = node.op->infer({module, graph, node});
    for (const TensorType& type : types)
      for (const Dim& dim : type.shape)
        if (dim.is_constant() && dim.constant() < 0)
          throw Error("its result would have the shape ", type.to_string());
    return types;
  } catch (const Error& error) {
    throw error.at(where);
  }
}

}  // namespace tandem
