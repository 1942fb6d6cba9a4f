// Pools, reductions, arg-max and softmax of coded integers.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "tandem/base/error.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/coded.h"
#include "tandem/ops/exponentials.h"
#include "tandem/ops/integer.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/pool.h"

namespace tandem {
namespace {

constexpr int kSoftmaxBits = 15;  // fraction bits of the result of a softmax

std::vector<std::int64_t> to_last(std::size_t rank) {
  std::vector<std::int64_t> perm{0};
  for (std::size_t d = 2; d < rank; ++d) perm.push_back(static_cast<std::int64_t>(d));
  perm.push_back(1);
  return perm;
}

std::vector<std::int64_t> to_second(std::size_t rank) {
  std::vector<std::int64_t> perm{0, static_cast<std::int64_t>(rank) - 1};
  for (std::size_t d = 1; d + 1 < rank; ++d) perm.push_back(static_cast<std::int64_t>(d));
  return perm;
}

std::vector<std::int64_t> spatial_of(const TensorType& type) {
  std::vector<std::int64_t> spatial;
  for (std::size_t d = 2; d < type.shape.size(); ++d) spatial.push_back(type.shape[d].constant());
  return spatial;
}

Attributes window_of_pool(const Window& window) {
  std::vector<std::int64_t> pads = window.pads_begin;
  pads.insert(pads.end(), window.pads_end.begin(), window.pads_end.end());
  return {{"kernel", window.kernel},
          {"strides", window.strides},
          {"dilations", window.dilations},
          {"pads", pads}};
}

ValueId pooled(LoweringSite& site, std::string_view op, ValueId integer, const Window& window) {
  const std::size_t rank = site.node.input(0).shape.size();
  const ValueId last = add_folded(site.builder, "Transpose", {integer}, {{"perm", to_last(rank)}});
  const ValueId result =
      add_exact_folded(site.builder, op, {last}, window_of_pool(window), site.node.node.name);
  return add_folded(site.builder, "Transpose", {result}, {{"perm", to_second(rank)}});
}

// Scales may differ between the elements of a window or reduced set only where the axis is kept.
void check_constant_along(const CodedValue& value, const std::vector<std::size_t>& axes) {
  for (const Tensor* tensor : {&value.scale, &value.offset, &value.low, &value.high}) {
    for (const std::size_t axis : axes) {
      if (tensor->shape()[axis] != 1 && !is_uniform(*tensor))
        throw Error("its input has different scales along axis ", axis, "; quantize it per tensor");
    }
  }
}

CodedValue per_tensor_where_uniform(CodedValue value) {
  const std::size_t rank = value.scale.shape().size();
  for (Tensor* tensor : {&value.scale, &value.offset, &value.low, &value.high}) {
    if (is_uniform(*tensor)) *tensor = with_rank(Tensor::scalar(tensor->real(0), f64()), rank);
  }
  return value;
}

std::vector<std::size_t> spatial_axes(std::size_t rank) {
  std::vector<std::size_t> axes(rank - 2);
  std::iota(axes.begin(), axes.end(), std::size_t{2});
  return axes;
}

// Targets have windows over one or two axes.
void check_window_rank(const TensorType& x) {
  if (x.shape.size() > 4) {
    throw Error("pools over ", x.shape.size() - 2,
                " spatial axes have no integer form; use at most two");
  }
}

}  // namespace

Lowered lower_max_pool(LoweringSite& site) {
  const TensorType& type = site.node.input(0);
  check_window_rank(type);
  CodedValue value = site.coded(0);
  if (value.table) value = materialized(site, value);
  value = per_tensor_where_uniform(with_positive_scale(site, value));
  check_constant_along(value, spatial_axes(type.shape.size()));
  // A maximum commutes with the deferred rising line and its limits.
  value.integer =
      pooled(site, "IntMaxPool", value.integer, pool_window(site.node, spatial_of(type)));
  return std::vector{value};
}

Lowered lower_average_pool(LoweringSite& site) {
  const TensorType& type = site.node.input(0);
  check_window_rank(type);
  const std::size_t rank = type.shape.size();
  const auto spatial = spatial_of(type);
  const Window window = pool_window(site.node, spatial);
  const auto divisors = average_divisors(site.node, spatial);
  // Padding that counts adds zeros, so integers must be zero where the reals are. The mean of the
  // elements alone takes the offset along.
  const bool counts_padding = site.node.integer("count_include_pad") != 0;
  CodedValue value =
      counts_padding ? centred(site, site.coded(0)) : materialized(site, site.coded(0));
  value = per_tensor_where_uniform(value);
  check_constant_along(value, spatial_axes(rank));
  const ValueId sum = pooled(site, "IntSumPool", value.integer, window);
  Shape shape{1, 1};
  for (const auto extent : window.output_extents(spatial)) shape.push_back(extent);
  const std::vector<double> counts(divisors.begin(), divisors.end());
  Tensor divisor = Tensor::from_reals(f64(), shape, counts);
  if (is_uniform(divisor)) divisor = with_rank(Tensor::scalar(counts[0], f64()), rank);
  return std::vector{affine(sum, combine(value.scale, divisor, std::divides()), value.offset)};
}

Lowered lower_reduction(LoweringSite& site, Reduced kind, const std::vector<std::int64_t>& axes,
                        bool keep_axes) {
  const TensorType& type = site.node.input(0);
  const std::size_t rank = type.shape.size();
  std::vector<std::size_t> reduced;
  for (const std::int64_t axis : axes) reduced.push_back(normalized_axis(axis, rank));
  if (reduced.empty()) {
    for (std::size_t d = 0; d < rank; ++d) reduced.push_back(d);
  }
  std::sort(reduced.begin(), reduced.end());
  double count = 1;
  for (const std::size_t axis : reduced) count *= static_cast<double>(type.shape[axis].constant());
  CodedValue value = site.coded(0);
  if (kind == Reduced::kMax) {
    if (value.table) value = materialized(site, value);
    value = with_positive_scale(site, value);
  } else {
    value = materialized(site, value);
  }
  value = per_tensor_where_uniform(value);
  check_constant_along(value, reduced);
  const std::vector<std::int64_t> kept(reduced.begin(), reduced.end());
  value.integer = add_exact_folded(site.builder, kind == Reduced::kMax ? "IntReduceMax" : "IntSum",
                                   {value.integer}, {{"axes", kept}}, site.node.node.name);
  if (kind == Reduced::kMean) value.scale = map(value.scale, [&](double s) { return s / count; });
  if (kind == Reduced::kSum) value.offset = map(value.offset, [&](double b) { return b * count; });
  if (keep_axes) return std::vector{value};
  std::vector<std::string> dims;
  Shape shape;
  for (std::size_t d = 0; d < rank; ++d) {
    if (std::find(reduced.begin(), reduced.end(), d) != reduced.end()) continue;
    dims.push_back(concat("d", d));
    shape.push_back(static_cast<std::int64_t>(d));
  }
  value.integer = add_folded(site.builder, "Reshape", {value.integer}, {{"shape", dims}});
  for (Tensor* tensor : {&value.scale, &value.offset, &value.low, &value.high}) {
    Shape squeezed;
    for (const std::int64_t d : shape)
      squeezed.push_back(tensor->shape()[static_cast<std::size_t>(d)]);
    *tensor = tensor->reshaped(squeezed);
  }
  return std::vector{value};
}

Lowered lower_arg_max(LoweringSite& site, std::size_t axis, bool keep_axis, bool select_last) {
  CodedValue value = with_positive_scale(site, materialized(site, site.coded(0)));
  value = per_tensor_where_uniform(value);
  if (value.scale.shape()[axis] != 1 || value.offset.shape()[axis] != 1)
    value = materialized(site, value, true);
  ValueId index = add_exact_folded(
      site.builder, "IntArgMax", {value.integer},
      {{"axis", static_cast<std::int64_t>(axis)}, {"select_last", std::int64_t{select_last}}},
      site.node.node.name);
  if (!keep_axis) {
    std::vector<std::string> dims;
    for (std::size_t d = 0; d < site.node.input(0).shape.size(); ++d)
      if (d != axis) dims.push_back(concat("d", d));
    index = add_folded(site.builder, "Reshape", {index}, {{"shape", dims}});
  }
  return std::vector{coded_integer(site.builder, index)};
}

Lowered lower_softmax(LoweringSite& site, std::size_t axis) {
  Builder& builder = site.builder;
  CodedValue value = with_positive_scale(site, materialized(site, site.coded(0)));
  if (!is_uniform(value.scale) || value.offset.shape()[axis] != 1)
    value = materialized(site, value, true);
  const std::string& name = site.node.node.name;
  const std::vector<std::int64_t> axes{static_cast<std::int64_t>(axis)};
  const std::size_t rank = value.scale.shape().size();
  const ValueId most = add_exact(builder, "IntReduceMax", {value.integer}, {{"axes", axes}}, name);
  const ValueId below = add_exact(builder, "IntSub", {most, value.integer}, {}, name);
  const ValueId powers = negative_exponentials(site, below, value.scale.real(0), rank,
                                               parse_exponential(site.node.string("exponential")));
  const ValueId sum = add_exact(builder, "IntSum", {powers}, {{"axes", axes}}, name);
  const ValueId wide = add_exact(
      builder, "IntMul",
      {powers, integer_constant(builder, Shape(rank, 1), {std::int64_t{1} << kSoftmaxBits}, "one")},
      {}, name);
  const ValueId ratio =
      add_exact(builder, "IntDiv", {wide, sum}, {{"rounding", std::string("half_up")}}, name);
  // A share never exceeds one.
  const ValueId share = builder.add("Clamp", {ratio},
                                    {{"format", Format::integer(kSoftmaxBits + 1, false)},
                                     {"min", std::int64_t{0}},
                                     {"max", std::int64_t{1} << kSoftmaxBits}},
                                    name);
  return std::vector{affine(share,
                            with_rank(Tensor::scalar(std::ldexp(1.0, -kSoftmaxBits), f64()), rank),
                            with_rank(Tensor::scalar(0, f64()), rank))};
}

}  // namespace tandem
