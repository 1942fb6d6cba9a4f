// Element-wise operators and data movement of coded integers.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tandem/base/error.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/coded.h"
#include "tandem/ops/integer.h"
#include "tandem/ops/lowering_rules.h"

namespace tandem {
namespace {

// The input that is computed at run time and the constant beside it, if there is one.
struct Sides {
  std::size_t computed = 0;
  std::optional<Tensor> constant;
};

std::optional<Sides> with_constant(const LoweringSite& site) {
  if (auto constant = real_constant(site, 1)) return Sides{0, std::move(constant)};
  if (auto constant = real_constant(site, 0)) return Sides{1, std::move(constant)};
  return std::nullopt;
}

// A value whose tensors have the rank of the result, so that a constant of higher rank fits.
CodedValue with_result_rank(LoweringSite& site, CodedValue value, const Tensor& constant) {
  const std::size_t rank = std::max(value.scale.shape().size(), constant.shape().size());
  if (value.scale.shape().size() == rank &&
      broadcasts_to({constant.shape().begin(), constant.shape().end()},
                    site.builder.type(value.integer).shape)) {
    return value;
  }
  throw Error("a constant of shape ", to_string(constant.shape()),
              " enlarges the other input; expand that input first");
}

}  // namespace

Lowered lower_sum(LoweringSite& site, bool subtract) {
  if (const auto sides = with_constant(site)) {
    CodedValue value = with_result_rank(site, site.coded(sides->computed), *sides->constant);
    if (subtract && sides->computed == 1) value = multiplied(value, Tensor::scalar(-1, f64()));
    const bool negative = subtract && sides->computed == 0;
    return std::vector{shifted(value, negative ? negated(*sides->constant) : *sides->constant)};
  }
  auto [a, b] = aligned(site, site.coded(0), site.coded(1));
  const ValueId sum = add_exact_folded(site.builder, subtract ? "IntSub" : "IntAdd",
                                       {a.integer, b.integer}, {}, site.node.node.name);
  const Tensor offset = combine(a.offset, subtract ? negated(b.offset) : b.offset, std::plus());
  return std::vector{affine(
      sum, combine(a.scale, map(b.scale, [](double) { return 1.0; }), std::multiplies()), offset)};
}

Lowered lower_product(LoweringSite& site) {
  if (const auto sides = with_constant(site)) {
    const CodedValue value = with_result_rank(site, site.coded(sides->computed), *sides->constant);
    return std::vector{multiplied(value, *sides->constant)};
  }
  const CodedValue a = centred(site, site.coded(0)), b = centred(site, site.coded(1));
  const ValueId product =
      add_exact_folded(site.builder, "IntMul", {a.integer, b.integer}, {}, site.node.node.name);
  const std::size_t rank = std::max(a.scale.shape().size(), b.scale.shape().size());
  const Tensor scale =
      combine(with_rank(a.scale, rank), with_rank(b.scale, rank), std::multiplies());
  return std::vector{affine(product, scale, map(scale, [](double) { return 0.0; }))};
}

Lowered lower_quotient(LoweringSite& site) {
  const auto divisor = real_constant(site, 1);
  if (!divisor) {
    if (real_constant(site, 0)) return lower_by_table(site);
    throw Error("divides by a computed value; replace it by a table or a product");
  }
  if (!all_of(*divisor, [](double v) { return v != 0; })) throw Error("divides by zero");
  const CodedValue value = with_result_rank(site, site.coded(0), *divisor);
  return std::vector{multiplied(value, map(*divisor, [](double v) { return 1 / v; }))};
}

Lowered lower_clamp(LoweringSite& site, double low, double high) {
  return std::vector{clamped(site.coded(0), low, high)};
}

Lowered lower_by_table(LoweringSite& site) {
  std::size_t computed = kNone;
  for (std::size_t i = 0; i < site.node.input_count(); ++i) {
    if (!site.node.has_input(i) || real_constant(site, i)) continue;
    if (computed != kNone)
      throw Error("combines two computed inputs in a way that has no integer form");
    computed = i;
  }
  if (computed == kNone) throw Error("is a function of constants; fold it (compress does)");
  const CodedValue& value = site.coded(computed);
  const Format real = site.node.input(computed).format;
  const Tensor reals = tabulated(site, value).converted(real);
  const std::size_t rank = value.scale.shape().size();
  std::vector<Tensor> arguments;
  for (std::size_t i = 0; i < site.node.input_count(); ++i) {
    if (i == computed) {
      arguments.push_back(reals);
    } else if (!site.node.has_input(i)) {
      arguments.emplace_back();
    } else {
      const Tensor beside = real_constant(site, i)->converted(real);
      with_result_rank(site, value, beside);  // refuses one that enlarges the result
      const Tensor constant = with_rank(beside, rank);
      Shape shape = constant.shape();
      shape.push_back(1);
      arguments.push_back(constant.reshaped(shape));
    }
  }
  const auto results = site.node.node.op->evaluate(site.node, arguments);
  CodedValue result = value;
  result.table = map(results.front(), [](double v) { return v; });
  if (!all_of(*result.table, [](double v) { return std::isfinite(v); }))
    throw Error("is infinite or undefined for some codes of its input; narrow the input's limits");
  return std::vector{result};
}

// ---- Movement
// ------------------------------------------------------------------------------------

namespace {

Shape shape_for_one(const TensorType& type) {
  Shape shape;
  for (const Dim& dim : type.shape) shape.push_back(dim.is_constant() ? dim.constant() : 1);
  return shape;
}

// A deferred tensor after the movement that the node describes.
Tensor moved(const LoweringSite& site, const Tensor& deferred, const TensorType& from,
             std::size_t output, std::span<const Tensor> others) {
  const auto types = site.node.node.op->infer(site.node);
  if (is_uniform(deferred))
    return with_rank(Tensor::scalar(deferred.real(0), f64()), types[output].shape.size());
  // Axes along which it does not vary are one element long, and stay so where axes only change
  // places: what it stands for may be all weights of a layer.
  const bool keeps_axes = site.node.node.op->name() == "Transpose";
  std::vector<Tensor> arguments{keeps_axes ? with_rank(deferred, from.shape.size())
                                           : expanded(deferred, shape_for_one(from))};
  arguments.insert(arguments.end(), others.begin(), others.end());
  return compacted(site.node.node.op->evaluate(site.node, arguments)[output]);
}

}  // namespace

namespace {

// An index that is computed while the network runs. What it moves then has one scale, since nothing
// says before which element goes where.
ValueId computed_index(const LoweringSite& site, std::size_t input, const CodedValue& moves) {
  const bool is_known = site.inputs[input].has_value() && !site.inputs[input]->table &&
                        !is_clamped(*site.inputs[input]) &&
                        all_of(site.inputs[input]->scale, [](double s) { return s == 1; }) &&
                        all_of(site.inputs[input]->offset, [](double b) { return b == 0; });
  if (!is_known) throw Error("input ", input, " must be a constant to be lowered");
  for (const Tensor* tensor : {&moves.scale, &moves.offset, &moves.low, &moves.high})
    if (!is_uniform(*tensor))
      throw Error("its scale follows elements that input ", input,
                  " moves while the network runs; quantize them per tensor");
  return site.inputs[input]->integer;
}

}  // namespace

Lowered lower_movement(LoweringSite& site) {
  CodedValue value = site.coded(0);
  if (value.table && value.table->size() != value.table->shape().back())
    value = materialized(site, value);
  const Node& node = site.node.node;
  std::vector<ValueId> inputs{value.integer};
  std::vector<Tensor> others;
  for (std::size_t i = 1; i < node.inputs.size(); ++i) {
    if (!site.node.has_input(i)) {
      inputs.push_back(kNone);
      others.emplace_back();
      continue;
    }
    const Tensor* constant = site.constant(i);
    if (constant == nullptr) {
      inputs.push_back(computed_index(site, i, value));
      others.emplace_back();
      continue;
    }
    inputs.push_back(site.builder.constant(*constant, "indices"));
    others.push_back(*constant);
  }
  std::vector<ValueId> results;
  if (node.outputs.size() == 1) {
    results = {add_folded(site.builder, node.op->name(), inputs, node.attributes, node.name)};
  } else {
    results = site.builder.add_node(node.op->name(), inputs, node.attributes, node.name);
  }
  const TensorType& from = site.node.input(0);
  std::vector<CodedValue> outputs;
  for (std::size_t i = 0; i < results.size(); ++i) {
    CodedValue output{results[i],
                      moved(site, value.scale, from, i, others),
                      moved(site, value.offset, from, i, others),
                      moved(site, value.low, from, i, others),
                      moved(site, value.high, from, i, others),
                      std::nullopt};
    if (value.table) {
      Shape shape(output.scale.shape().size(), 1);
      shape.push_back(value.table->size());
      output.table = value.table->reshaped(shape);
    }
    outputs.push_back(std::move(output));
  }
  return outputs;
}

Lowered lower_padding(LoweringSite& site, double real) {
  const CodedValue value = materialized(site, site.coded(0));
  if (!is_uniform(value.scale) || !is_uniform(value.offset))
    throw Error("padding needs one scale for the whole tensor; quantize its input per tensor");
  const double code = (real - value.offset.real(0)) / value.scale.real(0);
  if (std::abs(code - std::nearbyint(code)) > 1e-6) {
    throw Error("the padding value ", real,
                " is no code of its input; use a zero point at which "
                "it is one");
  }
  Attributes attributes = site.node.node.attributes;
  attributes["value"] = std::nearbyint(code);
  const ValueId result =
      add_folded(site.builder, "Pad", {value.integer}, attributes, site.node.node.name);
  return std::vector{affine(result, value.scale, value.offset)};
}

Lowered lower_concatenation(LoweringSite& site, std::size_t axis) {
  std::vector<CodedValue> parts;
  bool same = true;
  for (std::size_t i = 0; i < site.node.input_count(); ++i) {
    const Tensor* constant = site.constant(i);
    if (!site.inputs[i] && constant != nullptr && constant->format().is_integer()) {
      parts.push_back(coded_constant(site.builder, *constant));
    } else if (site.inputs[i]) {
      parts.push_back(materialized(site, *site.inputs[i]));
    } else {
      throw Error("input ", i, " is a real constant beside coded integers; quantize it");
    }
    same &= is_uniform(parts[i].scale) && is_uniform(parts[i].offset) &&
            parts[i].scale.real(0) == parts[0].scale.real(0) &&
            parts[i].offset.real(0) == parts[0].offset.real(0);
  }
  IntegerRange range = site.integer_format(parts[0]).integer_range();
  for (const CodedValue& part : parts) {
    const IntegerRange held = site.integer_format(part).integer_range();
    range = {std::min(range.min, held.min), std::max(range.max, held.max)};
  }
  const Format format = Format::holding(range);
  std::vector<ValueId> inputs;
  for (const CodedValue& part : parts) {
    // Concat wants one format; a Clamp to the part's own range widens it.
    const IntegerRange held = site.integer_format(part).integer_range();
    inputs.push_back(site.integer_format(part) == format
                         ? part.integer
                         : add_folded(site.builder, "Clamp", {part.integer},
                                      {{"format", format}, {"min", held.min}, {"max", held.max}}));
  }
  const ValueId result =
      add_folded(site.builder, "Concat", inputs, site.node.node.attributes, site.node.node.name);
  if (same) return std::vector{affine(result, parts[0].scale, parts[0].offset)};
  // Scales that differ follow their elements along the axis.
  std::vector<double> scales, offsets;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::int64_t extent = site.node.input(i).shape[axis].constant();
    Shape along(parts[i].scale.shape().size(), 1);
    along[axis] = extent;
    const auto collect = [&](const Tensor& tensor, std::vector<double>& into) {
      for (std::size_t d = 0; d < along.size(); ++d) {
        if (d != axis && tensor.shape()[d] != 1 && !is_uniform(tensor))
          throw Error("its inputs have scales along other axes; quantize them per tensor");
      }
      const Tensor line =
          tensor.size() == 1 || is_uniform(tensor)
              ? expanded(with_rank(Tensor::scalar(tensor.real(0), f64()), along.size()), along)
              : tensor;
      for (const double v : line.to_reals()) into.push_back(v);
    };
    collect(parts[i].scale, scales);
    collect(parts[i].offset, offsets);
  }
  Shape along(parts[0].scale.shape().size(), 1);
  along[axis] = static_cast<std::int64_t>(scales.size());
  return std::vector{affine(result, Tensor::from_reals(f64(), along, scales),
                            Tensor::from_reals(f64(), along, offsets))};
}

}  // namespace tandem
