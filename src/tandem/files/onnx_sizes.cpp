// Sizes: what is computed from shapes is done while reading, and becomes data where nodes want it.
#include <algorithm>

#include "tandem/base/text.h"
#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_quant.h"
#include "tandem/files/onnx_tensor.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/registry.h"
#include "tandem/graph/symbolic.h"
#include "tandem/ops/movement.h"

namespace tandem {

// Bounds that an earlier writing recorded, or those of a batch.
Symbol OnnxImporter::bounded_symbol(const std::string& name) const {
  constexpr std::int64_t kMostExtent = 65536;
  const auto recorded = symbol_bounds_.find(name);
  if (recorded == symbol_bounds_.end()) return {name, 1, kMostExtent};
  const std::size_t comma = recorded->second.find(',');
  const std::string what = concat("metadata ", kSymbolKey, name);
  if (comma == std::string::npos)
    throw Error(what, " is '", recorded->second, "', not two numbers with a comma");
  const std::string_view text = recorded->second;
  const std::int64_t min = parse_integer(text.substr(0, comma), what);
  const std::int64_t max = parse_integer(text.substr(comma + 1), what);
  constexpr std::int64_t kLargest = std::int64_t{1} << 40;
  if (min < 0 || max < min || max > kLargest)
    throw Error(what, " gives the bounds [", min, ",", max,
                "]; they must not be negative, and ordered");
  return {name, min, max};
}

Dim OnnxImporter::fresh_symbol(std::string_view wanted) {
  const auto taken = [&](const std::string& name) {
    return std::any_of(module_.symbols.begin(), module_.symbols.end(),
                       [&](const Symbol& symbol) { return symbol.name == name; });
  };
  // Each is looked for among the others, and real networks have some dozens.
  constexpr std::size_t kMostSymbols = 1024;
  if (module_.symbols.size() == kMostSymbols) {
    throw Error("the model has more than ", kMostSymbols, " sizes that are not numbers; export it ",
                "with fixed sizes, or with one name for sizes that agree");
  }
  std::string name = identifier(wanted);
  for (int i = 2; taken(name); ++i) name = concat(identifier(wanted), "_", i);
  module_.symbols.push_back(bounded_symbol(name));
  return Dim::symbol(name);
}

// What is concatenated along an axis: a cache, behind which the new keys are put, may be empty.
void OnnxImporter::find_extended() {
  for (const auto& node : graph_.node()) {
    if (node.op_type() != "Concat" || !(node.domain().empty() || node.domain() == "ai.onnx"))
      continue;
    for (const auto& attribute : node.attribute()) {
      if (attribute.name() != "axis") continue;
      for (const std::string& input : node.input()) extended_.emplace(input, attribute.i());
    }
  }
}

bool OnnxImporter::is_extended(const std::string& input, int axis, int rank) const {
  return extended_.contains({input, axis}) || extended_.contains({input, axis - rank});
}

void OnnxImporter::may_be_empty(const Dim& size) {
  for (Symbol& symbol : module_.symbols)
    if (size == Dim::symbol(symbol.name) && !symbol_bounds_.contains(symbol.name)) symbol.min = 0;
}

std::vector<ValueId> OnnxImporter::deciding_values(const std::vector<Dim>& dims) const {
  std::set<ValueId> values;
  for (const Dim& dim : dims) {
    for (const std::string& symbol : dim.symbols()) {
      const auto found = deciding_values_.find(symbol);
      if (found == deciding_values_.end()) continue;
      if (depth() > 0)
        throw Refusal(concat("inside of a body it uses the size ", symbol, ", which data decide"),
                      "compute what needs that size around the body");
      values.insert(found->second);
    }
  }
  return {values.begin(), values.end()};
}

// Sizes as data.
ValueId OnnxImporter::add_extents(Builder& builder, const DimTensor& dims,
                                  const std::string& name) {
  std::vector<std::string> elements;
  for (const Dim& dim : dims.elements) elements.push_back(braced(dim));
  const bool is_real = dims.format.is_float();
  ValueId value = builder.add("Extents", deciding_values(dims.elements),
                              {{"elements", std::move(elements)},
                               {"to", is_real ? Format::integer(64, true) : dims.format}},
                              name);
  if (is_real) value = builder.add("Cast", {value}, {{"to", dims.format}}, name);
  return add_reshape(builder, value, {dims.shape.begin(), dims.shape.end()}, name);
}

// Exporters call one size by two names: "total" where another input makes it "past+length". Such a
// name stands for the other's expression from now on. Whether one did.
bool OnnxImporter::unify(const Dim& a, const Dim& b) {
  if (a == b || a.is_constant() || b.is_constant()) return false;
  const auto is_alone = [&](const Dim& dim, const Dim& other) {
    const auto names = other.symbols();
    const auto is_it = [&](const auto& entry) { return entry.second == dim; };
    return dim == Dim::symbol(dim.symbols().front()) &&
           std::ranges::find(names, dim.symbols().front()) == names.end() &&
           std::ranges::any_of(symbols_, is_it);
  };
  const bool is_first = is_alone(a, b);
  if (!is_first && !is_alone(b, a)) return false;
  const std::string name = (is_first ? a : b).symbols().front();
  const Dim now = is_first ? b : a;
  const auto change = [&](const Dim& dim) {
    if (dim.is_constant()) return dim;  // most are
    return with_symbol(dim, name, now);
  };
  for (Graph& graph : module_.graphs) {
    for (Value& value : graph.values)
      for (Dim& dim : value.type.shape) dim = change(dim);
    for (Node& node : graph.nodes) change_expressions(node.attributes, change);
  }
  for (auto& [value, known] : values_)
    if (known.dims)
      for (Dim& dim : known.dims->elements) dim = change(dim);
  for (auto& [param, dim] : symbols_) dim = change(dim);
  std::erase_if(module_.symbols, [&](const Symbol& symbol) { return symbol.name == name; });
  return true;
}

// Operands that must agree in a size, where an operator refused them.
bool OnnxImporter::unify_sizes(std::string_view op, const std::vector<ValueId>& inputs) {
  const Operator& meaning = operators().find(op);
  const bool is_product = op == "MatMul";
  if (!is_product && !meaning.traits().elementwise) return false;
  bool changed = false;
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      if (inputs[i] == kNone || inputs[k] == kNone) continue;
      auto x = builder().type(inputs[k]).shape, y = builder().type(inputs[i]).shape;
      if (is_product && x.size() > 1 && y.size() > 1) {
        std::swap(x.back(), x[x.size() - 2]);  // the sizes that meet
        x.back() = y.back();
      }
      for (std::size_t d = 1; d <= std::min(x.size(), y.size()) && !changed; ++d)
        changed = unify(x[x.size() - d], y[y.size() - d]);
    }
  }
  return changed;
}

// Arithmetic on sizes has no single answer, or none that is a size, behind some values; what needs
// them as sizes learns why.
void OnnxImporter::throw_if_undecided(const std::string& value) {
  std::vector<std::string> pending = {value};
  std::unordered_set<std::string> seen;
  while (!pending.empty()) {
    const std::string name = pending.back();
    pending.pop_back();
    if (decided_.contains(name) || !seen.insert(name).second) continue;
    if (const auto why = undecided_.find(name); why != undecided_.end()) {
      const std::string reason = why->second;
      undecided_.emplace(value, reason);  // so that what follows need not walk so far
      throw Error(reason);
    }
    if (const auto source = sources_.find(name); source != sources_.end())
      pending.insert(pending.end(), source->second.begin(), source->second.end());
  }
  decided_.merge(seen);
}

bool OnnxImporter::import_shape_arithmetic(OnnxNode& node, const onnx::NodeProto& proto) {
  if (node.output_count() != 1 || node.input_count() == 0) return false;
  std::vector<std::optional<DimTensor>> inputs;
  for (std::size_t i = 0; i < node.input_count(); ++i) {
    inputs.push_back(node.dims(i));
    if (node.has(i) && !inputs.back()) return false;
  }
  DimAttributes attributes;
  attributes.axis = node.integer("axis", 0);
  attributes.keepdims = node.integer("keepdims", 1);
  attributes.axes = node.integers("axes");
  attributes.starts = node.integers("starts");
  attributes.ends = node.integers("ends");
  if (node.has_attribute("to"))
    attributes.to = onnx_format(static_cast<std::int32_t>(node.integer("to", 0)));
  if (node.integer("fmod", 0) != 0 || node.integer("allowzero", 0) != 0) return false;
  node.ignore("saturate");
  std::optional<DimTensor> result;
  try {
    result = evaluate_dims(proto.op_type(), inputs, attributes, module_.symbols);
  } catch (const Error& error) {
    if (std::ranges::all_of(inputs, [](const auto& i) { return !i || i->is_constant(); })) throw;
    undecided_.emplace(node.output_name(0), error.what());  // data then
  }
  if (!result) return false;
  OnnxValue value;
  if (result->is_constant()) value.constant = result->tensor();
  value.dims = std::move(result);
  node.set(0, std::move(value));
  return true;
}

}  // namespace tandem
