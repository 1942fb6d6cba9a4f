// Operators of the domain ai.onnx.ml over numbers.
#include <set>

#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_tensor.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

std::vector<double> real_list(OnnxNode& node, std::string_view name) {
  const auto* attribute = node.attribute(name);
  if (attribute == nullptr) return {};
  return {attribute->floats().begin(), attribute->floats().end()};
}

// Results are f32, whatever the format of x.
ValueId x_as_f32(OnnxNode& node) {
  if (node.type(0).format == Format()) return node.value(0);
  return node.add("Cast", {node.value(0)}, {{"to", Format()}});
}

// Numbers for each feature, or one for all.
ValueId per_feature(OnnxNode& node, const std::vector<double>& values, std::string_view name) {
  const Dim features = node.type(0).shape.empty() ? Dim(1) : node.type(0).shape.back();
  const auto count = static_cast<std::int64_t>(values.size());
  if (count != 1 && Dim(count) != features) {
    OnnxNode::refuse(
        concat(name, " has ", count, " entries for ", features.to_string(), " features"),
        "correct the attribute");
  }
  return node.add_constant(Tensor::from_reals(Format(), {count}, values));
}

void array_feature_extractor(OnnxNode& node) {
  const std::vector<Dim> x = node.type(0).shape;
  const ValueId indices = node.value(1);
  Dim count = 1;
  for (const Dim& dim : node.type(1).shape) count = count * dim;
  ValueId y = node.add("Gather", {node.value(0), node.reshape(indices, {count})},
                       {{"axis", std::int64_t{-1}}});
  node.set(0, x.size() == 1 ? node.reshape(y, {Dim(1), count}) : y);
}

void binarizer(OnnxNode& node) {
  const ValueId x = node.value(0);
  const Format format = node.type(0).format;
  const ValueId threshold = node.add_constant(Tensor::scalar(node.real("threshold", 0), format));
  node.set(0, node.add("Cast", {node.add("Greater", {x, threshold})}, {{"to", format}}));
}

// (x - offset) * scale
void scaler(OnnxNode& node) {
  ValueId y = x_as_f32(node);
  if (const auto offset = real_list(node, "offset"); !offset.empty())
    y = node.add("Sub", {y, per_feature(node, offset, "offset")});
  if (const auto scale = real_list(node, "scale"); !scale.empty())
    y = node.add("Mul", {y, per_feature(node, scale, "scale")});
  node.set(0, y);
}

// Rows over their norm; rows of zeros stay.
void normalizer(OnnxNode& node) {
  const std::string norm = node.text("norm", "MAX");
  if (norm != "L1" && norm != "L2") {
    OnnxNode::refuse(concat("its norm is ", norm),
                     "use L1 or L2 (of MAX, runtimes differ about negative numbers)");
  }
  const ValueId x = x_as_f32(node);
  const ValueId powers = norm == "L1" ? node.add("Abs", {x}) : node.add("Mul", {x, x});
  ValueId sum = node.add("ReduceSum", {powers}, {{"axes", Integers{-1}}});
  if (norm == "L2") sum = node.add("Sqrt", {sum});
  const ValueId zero = node.add_constant(Tensor::scalar(0)),
                one = node.add_constant(Tensor::scalar(1));
  node.set(0, node.add("Div", {x, node.add("Where", {node.add("Equal", {sum, zero}), one, sum})}));
}

void linear_regressor(OnnxNode& node) {
  if (node.text("post_transform", "NONE") != "NONE")
    OnnxNode::refuse("it transforms its result", "put the function after it");
  const std::int64_t targets = node.integer("targets", 1);
  const auto coefficients = real_list(node, "coefficients");
  const auto& shape = node.type(0).shape;
  if (shape.size() != 2 || targets < 1 ||
      shape[1] * Dim(targets) != Dim(static_cast<std::int64_t>(coefficients.size()))) {
    OnnxNode::refuse(concat(coefficients.size(), " coefficients do not fit ",
                            node.type(0).to_string(), " and ", targets, " target(s)"),
                     "correct the attributes");
  }
  const Shape matrix = {targets, shape[1].constant()};
  const ValueId weights =
      node.add("Transpose", {node.add_constant(Tensor::from_reals(Format(), matrix, coefficients))},
               {{"perm", Integers{1, 0}}});
  ValueId y = node.add("MatMul", {x_as_f32(node), weights});
  if (const auto intercepts = real_list(node, "intercepts"); !intercepts.empty()) {
    if (static_cast<std::int64_t>(intercepts.size()) != targets)
      OnnxNode::refuse(
          concat("it has ", intercepts.size(), " intercepts for ", targets, " target(s)"),
          "correct the attribute");
    y = node.add("Add",
                 {y, node.add_constant(Tensor::from_reals(Format(), {targets}, intercepts))});
  }
  node.set(0, y);
}

// A list of numbers in one of the attributes "<what>_int64s", "<what>_floats", "<what>_tensor".
Tensor numbers(OnnxNode& node, std::string_view what) {
  if (const auto* tensor = node.tensor(concat(what, "_tensor")))
    return tensor_of(*tensor, node.folder());
  if (const auto integers = node.integers(concat(what, "_int64s"))) {
    return Tensor::from_integers(Format::integer(64, true),
                                 {static_cast<std::int64_t>(integers->size())}, *integers);
  }
  const auto reals = real_list(node, concat(what, "_floats"));
  if (reals.empty())
    OnnxNode::refuse(concat("its ", what, " are no numbers"), "map numbers to numbers");
  return Tensor::from_reals(Format(), {static_cast<std::int64_t>(reals.size())}, reals);
}

Tensor label_of_others(OnnxNode& node, const Format& format) {
  if (const auto* tensor = node.tensor("default_tensor")) {
    Tensor value = tensor_of(*tensor, node.folder());
    if (value.size() != 1 || value.format() != format)
      OnnxNode::refuse("its default_tensor is no scalar in the type of its values",
                       "correct the attribute");
    return value.reshaped({});
  }
  node.ignore("default_string");
  if (format.is_float()) {
    node.ignore("default_int64");
    return Tensor::scalar(node.real("default_float", 0), format);
  }
  node.ignore("default_float");
  return Tensor::from_integers(format, {}, Integers{node.integer("default_int64", -1)});
}

// One choice for each key.
void label_encoder(OnnxNode& node) {
  constexpr std::int64_t kMostKeys = 4096;
  const Tensor keys = numbers(node, "keys"), labels = numbers(node, "values");
  if (keys.size() != labels.size() || keys.size() > kMostKeys) {
    OnnxNode::refuse(concat("it has ", keys.size(), " keys and ", labels.size(), " values"),
                     concat("give it a value for each key, and at most ", kMostKeys));
  }
  const ValueId x = node.value(0);
  if (node.type(0).format != keys.format())
    OnnxNode::refuse(
        concat("its keys are ", keys.format().name(), ", its input ", node.type(0).to_string()),
        "give both one type");
  const Tensor key_list = keys.reshaped({keys.size()}), label_list = labels.reshaped({keys.size()});
  std::set<double> seen;
  ValueId y = node.add_constant(label_of_others(node, labels.format()));
  for (std::int64_t i = 0; i < keys.size(); ++i) {
    const ValueId key = node.add_constant(key_list.rows(i, i + 1).reshaped({}));
    const ValueId label = node.add_constant(label_list.rows(i, i + 1).reshaped({}));
    if (!seen.insert(key_list.real(i)).second)
      OnnxNode::refuse("it has a key twice", "keep one of them");
    y = node.add("Where", {node.add("Equal", {x, key}), label, y});
  }
  node.set(0, y);
}

}  // namespace

void add_ml_handlers(OnnxHandlers& handlers) {
  handlers["ml:ArrayFeatureExtractor"] = array_feature_extractor;
  handlers["ml:Binarizer"] = binarizer;
  handlers["ml:Scaler"] = scaler;
  handlers["ml:Normalizer"] = normalizer;
  handlers["ml:LinearRegressor"] = linear_regressor;
  handlers["ml:LabelEncoder"] = label_encoder;
}

}  // namespace tandem
