// Convolutions and matrix products of coded integers.
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/coded.h"
#include "tandem/ops/integer.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/window.h"

namespace tandem {
namespace {

// Whether a factor of the weights varies along its first (output) axis at most.
bool varies_along(const Tensor& scale, std::size_t axis) {
  for (std::size_t d = 0; d < scale.shape().size(); ++d)
    if (d != axis && scale.shape()[d] != 1) return is_uniform(scale);
  return true;
}

// One number per output channel.
std::vector<double> per_channel(const Tensor& scale, std::int64_t channels) {
  std::vector<double> result;
  for (std::int64_t c = 0; c < channels; ++c)
    result.push_back(scale.real(scale.size() == channels ? c : 0));
  return result;
}

// An input of a linear operator: one scale for all elements, and an offset that is one number.
CodedValue linear_input(LoweringSite& site, std::size_t index) {
  CodedValue x = materialized(site, site.coded(index));
  if (!is_uniform(x.scale) || !is_uniform(x.offset)) x = materialized(site, x, true);
  return x;
}

const Tensor& integers_of(const LoweringSite& site, const CodedValue& value) {
  const Tensor* codes = constant_of(site.builder.module(), site.builder.graph(), value.integer);
  if (codes == nullptr) throw Error("the weights are computed at run time");
  return *codes;
}

// Weights whose scales vary within an output channel (groups) as wider integers with one scale for
// the channel. Exact where they have at most 32 bits, as those of few bits with scales of f16 do.
CodedValue with_channel_scales(LoweringSite& site, const CodedValue& weights, std::size_t axis) {
  const Tensor codes = integers_of(site, weights);
  const Tensor scale = expanded(weights.scale, codes.shape());
  const AxisSplit split = split_at(codes.shape(), axis);
  const auto channel_of = [&](std::int64_t i) {
    return static_cast<std::size_t>(i / split.inner % split.extent);
  };
  std::vector<std::vector<double>> of_channel(static_cast<std::size_t>(split.extent));
  std::vector<double> reals;
  for (std::int64_t i = 0; i < codes.size(); ++i) {
    reals.push_back(static_cast<double>(codes.integer(i)) * scale.real(i));
    of_channel[channel_of(i)].push_back(reals.back());
  }
  std::vector<double> units;
  for (const auto& channel : of_channel) units.push_back(common_unit(channel));
  std::vector<std::int64_t> integers;
  for (std::int64_t i = 0; i < codes.size(); ++i) {
    const double steps = reals[static_cast<std::size_t>(i)] / units[channel_of(i)];
    integers.push_back(static_cast<std::int64_t>(round_real(steps, Rounding::kHalfEven)));
  }
  Shape shape(codes.shape().size(), 1);
  shape[axis] = split.extent;
  return affine(integer_constant(site.builder, codes.shape(), integers, "weights"),
                Tensor::from_reals(f64(), shape, units),
                map(weights.offset, [](double) { return 0.0; }));
}

std::vector<std::int64_t> channels_last(std::size_t rank) {
  std::vector<std::int64_t> perm{0};
  for (std::size_t d = 2; d < rank; ++d) perm.push_back(static_cast<std::int64_t>(d));
  perm.push_back(1);
  return perm;
}

std::vector<std::int64_t> channels_second(std::size_t rank) {
  std::vector<std::int64_t> perm{0, static_cast<std::int64_t>(rank) - 1};
  for (std::size_t d = 1; d + 1 < rank; ++d) perm.push_back(static_cast<std::int64_t>(d));
  return perm;
}

CodedValue with_bias(LoweringSite& site, CodedValue value, std::size_t index, std::size_t axis) {
  if (!site.node.has_input(index)) return value;
  const Tensor bias = required_constant(site, index, "bias");
  Shape shape(value.scale.shape().size(), 1);
  shape[axis] = bias.size();
  return shifted(std::move(value), bias.reshaped(shape));
}

}  // namespace

Lowered lower_convolution(LoweringSite& site) {
  if (site.node.input(0).shape.size() > 4) {
    throw Error("convolutions over ", site.node.input(0).shape.size() - 2,
                " spatial axes have no integer form; use at most two");
  }
  CodedValue x = linear_input(site, 0);
  CodedValue w = centred(site, site.coded(1));
  if (!varies_along(w.scale, 0)) w = with_channel_scales(site, w, 0);
  const Tensor weights = integers_of(site, w);
  const std::size_t rank = weights.shape().size();
  const Window window = window_of(site.node, {weights.shape().begin() + 2, weights.shape().end()});
  bool padded = false;
  for (std::size_t d = 0; d < window.rank(); ++d)
    padded |= window.pads_begin[d] != 0 || window.pads_end[d] != 0;
  double zero = -x.offset.real(0) / x.scale.real(0);
  const IntegerRange range = site.integer_format(x).integer_range();
  const bool zero_is_code = zero == std::nearbyint(zero) &&
                            zero >= static_cast<double>(range.min) &&
                            zero <= static_cast<double>(range.max);
  if (padded && !zero_is_code) {
    x = centred(site, x);
    zero = 0;
  }
  Builder& builder = site.builder;
  const ValueId last =
      add_folded(builder, "Transpose", {x.integer}, {{"perm", channels_last(rank)}});
  const ValueId kernel =
      add_folded(builder, "Transpose", {w.integer}, {{"perm", channels_last(rank)}}, "weights");
  const ValueId sums =
      add_exact_folded(builder, "IntConv", {last, kernel},
                       {{"strides", window.strides},
                        {"dilations", window.dilations},
                        {"pads", site.node.integers("pads")},
                        {"group", site.node.integer("group")},
                        {"pad_value", padded ? static_cast<std::int64_t>(zero) : std::int64_t{0}}},
                       site.node.node.name);
  const ValueId result =
      add_folded(builder, "Transpose", {sums}, {{"perm", channels_second(rank)}});
  const std::int64_t outputs = weights.shape()[0], depth = weights.size() / outputs;
  const auto factors = per_channel(w.scale, outputs);
  std::vector<double> scales, offsets;
  for (std::int64_t o = 0; o < outputs; ++o) {
    double sum = 0;
    for (std::int64_t i = 0; i < depth; ++i)
      sum += static_cast<double>(weights.integer(o * depth + i));
    const double factor = factors[static_cast<std::size_t>(o)];
    scales.push_back(x.scale.real(0) * factor);
    offsets.push_back(x.offset.real(0) * factor * sum);
  }
  Shape shape(rank, 1);
  shape[1] = outputs;
  CodedValue value = affine(result, Tensor::from_reals(f64(), shape, scales),
                            Tensor::from_reals(f64(), shape, offsets));
  return std::vector{with_bias(site, std::move(value), 2, 1)};
}

Lowered lower_matrix_product(LoweringSite& site) {
  Builder& builder = site.builder;
  CodedValue a = linear_input(site, 0);
  CodedValue b = centred(site, site.coded(1));
  const std::size_t rank = a.scale.shape().size(), b_rank = b.scale.shape().size();
  if (rank < 2 || b_rank < 2) throw Error("products with vectors are not lowered; reshape them");
  if (!varies_along(b.scale, b_rank - 1)) b = with_channel_scales(site, b, b_rank - 1);
  const Tensor* weights = constant_of(builder.module(), builder.graph(), b.integer);
  const bool fixed = weights != nullptr && b_rank == 2;
  std::vector<double> column_sums;
  if (fixed) {
    const std::int64_t columns = weights->shape()[1];
    column_sums.assign(static_cast<std::size_t>(columns), 0);
    for (std::int64_t i = 0; i < weights->size(); ++i)
      column_sums[static_cast<std::size_t>(i % columns)] +=
          static_cast<double>(weights->integer(i));
  } else {
    a = centred(site, a);
  }
  const ValueId sums =
      add_exact_folded(builder, "IntMatMul", {a.integer, b.integer}, {}, site.node.node.name);
  const Shape columns_shape = b.scale.shape();
  Shape shape(std::max(rank, b_rank), 1);
  shape.back() = columns_shape.back();
  const Tensor factors = b.scale.reshaped(shape);
  const Tensor scale = map(factors, [&](double f) { return f * a.scale.real(0); });
  Tensor offset = map(scale, [](double) { return 0.0; });
  if (fixed && a.offset.real(0) != 0) {
    Shape full(rank, 1);
    full.back() = static_cast<std::int64_t>(column_sums.size());
    offset = combine(factors, Tensor::from_reals(f64(), full, column_sums), std::multiplies());
    offset = map(offset, [&](double v) { return v * a.offset.real(0); });
  }
  return std::vector{affine(sums, scale, offset)};
}

Lowered lower_batch_normalization(LoweringSite& site) {
  const std::size_t rank = site.node.input(0).shape.size();
  const auto channels = [&](std::size_t index, std::string_view what) {
    Tensor values = required_constant(site, index, what);
    Shape shape(rank, 1);
    shape[rank > 1 ? 1 : 0] = values.size();
    return values.reshaped(shape);
  };
  const double epsilon = site.node.real("epsilon");
  const Tensor gamma = channels(1, "scale"), beta = channels(2, "bias"), mean = channels(3, "mean"),
               variance = channels(4, "variance");
  const Tensor factor =
      combine(gamma, variance, [&](double g, double v) { return g / std::sqrt(v + epsilon); });
  const Tensor addend = combine(beta, combine(mean, factor, std::multiplies()),
                                [](double b, double m) { return b - m; });
  return std::vector{shifted(multiplied(site.coded(0), factor), addend)};
}

}  // namespace tandem
