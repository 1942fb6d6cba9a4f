#include "tandem/ops/coded.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "tandem/base/error.h"
#include "tandem/graph/evaluate.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/integer.h"

namespace tandem {

Format f64() { return Format::parse("f64"); }

// ---- f64 tensors -------------------------------------------------------------------------------

Tensor map(const Tensor& a, const std::function<double(double)>& f) {
  Tensor result(f64(), a.shape());
  auto out = result.mutable_data<double>();
  const auto values = a.to_reals();
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = f(values[i]);
  return result;
}

Tensor combine(const Tensor& a, const Tensor& b, const std::function<double(double, double)>& f) {
  const Shape shape = broadcast_shapes(a.shape(), b.shape());
  const auto a_at = broadcast_offsets(a.shape(), shape), b_at = broadcast_offsets(b.shape(), shape);
  Tensor result(f64(), shape);
  auto out = result.mutable_data<double>();
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = f(a.real(a_at[i]), b.real(b_at[i]));
  return result;
}

Tensor negated(const Tensor& a) {
  return map(a, [](double v) { return -v; });
}

bool all_of(const Tensor& a, const std::function<bool(double)>& holds) {
  const auto values = a.to_reals();
  return std::all_of(values.begin(), values.end(), holds);
}

bool is_uniform(const Tensor& a) {
  const double first = a.size() == 0 ? 0 : a.real(0);
  return all_of(a, [&](double v) { return v == first; });
}

Tensor with_rank(const Tensor& a, std::size_t rank) {
  Shape shape = a.shape();
  ensure(shape.size() <= rank, "with_rank to a lower rank");
  shape.insert(shape.begin(), rank - shape.size(), 1);
  return a.reshaped(shape);
}

Tensor expanded(const Tensor& a, const Shape& shape) {
  const auto at = broadcast_offsets(a.shape(), shape);
  Tensor result(f64(), shape);
  auto out = result.mutable_data<double>();
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = a.real(at[i]);
  return result;
}

Tensor compacted(const Tensor& a) {
  const auto values = a.to_reals();
  const auto strides = row_major_strides(a.shape());
  Shape shape = a.shape();
  for (std::size_t d = 0; d < shape.size(); ++d) {
    bool same = true;
    for (std::int64_t i = 0; same && i < a.size(); ++i) {
      const std::int64_t first = i - i / strides[d] % a.shape()[d] * strides[d];
      same = values[static_cast<std::size_t>(i)] == values[static_cast<std::size_t>(first)];
    }
    if (same && a.size() > 0) shape[d] = 1;
  }
  std::vector<double> kept;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    bool keeps = true;
    for (std::size_t d = 0; d < shape.size(); ++d)
      keeps &= shape[d] != 1 || i / strides[d] % a.shape()[d] == 0;
    if (keeps) kept.push_back(values[static_cast<std::size_t>(i)]);
  }
  return Tensor::from_reals(f64(), shape, kept);
}

// ---- Making coded values
// -------------------------------------------------------------------------

namespace {

Tensor filled(std::size_t rank, double value) {
  return with_rank(Tensor::scalar(value, f64()), rank);
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

CodedValue affine(ValueId integer, Tensor scale, Tensor offset) {
  const std::size_t rank = scale.shape().size();
  return {integer,
          std::move(scale),
          std::move(offset),
          filled(rank, -kInfinity),
          filled(rank, kInfinity),
          std::nullopt};
}

CodedValue coded_integer(Builder& builder, ValueId integer) {
  const TensorType& type = builder.type(integer);
  const std::size_t rank = type.shape.size();
  return affine(integer, filled(rank, std::ldexp(1.0, type.format.exponent())), filled(rank, 0));
}

namespace {

constexpr int kMostConstantBits = 32;  // of integers that stand for listed numbers

// The greatest power of two that divides a number which is not zero.
double lowest_bit(double value) {
  int exponent = 0;
  const double mantissa = std::frexp(value, &exponent);
  const auto bits = static_cast<std::uint64_t>(std::abs(std::ldexp(mantissa, 53)));
  return std::ldexp(1.0, exponent - 53 + std::countr_zero(bits));
}

}  // namespace

double common_unit(std::span<const double> reals) {
  double unit = std::numeric_limits<double>::infinity(), greatest = 0;
  for (const double real : reals) {
    if (real == 0) continue;
    unit = std::min(unit, lowest_bit(real));
    greatest = std::max(greatest, std::abs(real));
  }
  if (greatest == 0) return 1;
  // Too far apart: the finest grid that the integers can have.
  return std::max(unit, std::exp2(std::ilogb(greatest) + 1 - kMostConstantBits));
}

CodedValue coded_constant(Builder& builder, const Tensor& codes) {
  const Format format = codes.format();
  if (!format.is_uniform()) {
    const auto reals = codes.to_reals();
    const double unit = common_unit(reals);
    std::vector<std::int64_t> integers;
    for (const double real : reals)
      integers.push_back(static_cast<std::int64_t>(round_real(real / unit, Rounding::kHalfEven)));
    return affine(integer_constant(builder, codes.shape(), integers, "weights"),
                  filled(codes.shape().size(), unit), filled(codes.shape().size(), 0));
  }
  const Format twin =
      format.is_integer() ? format : Format::integer(format.bits(), format.is_signed());
  const ValueId integer = builder.constant(
      twin == format ? codes  // shares its elements
                     : Tensor::from_integers(twin, codes.shape(), codes.to_integers()),
      "weights");
  CodedValue value = coded_integer(builder, integer);
  value.scale = filled(codes.shape().size(), std::ldexp(1.0, format.exponent()));
  return value;
}

ValueId integer_constant(Builder& builder, const Shape& shape,
                         const std::vector<std::int64_t>& values, const std::string& name) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const Format format = Format::holding({*low, *high});
  return builder.constant(Tensor::from_integers(format, shape, values), name);
}

std::optional<Tensor> real_constant(const LoweringSite& site, std::size_t index) {
  if (const Tensor* constant = site.constant(index)) {
    return map(*constant, [](double v) { return v; });
  }
  if (index >= site.inputs.size() || !site.inputs[index]) return std::nullopt;
  const CodedValue& value = *site.inputs[index];
  const Tensor* codes = constant_of(site.builder.module(), site.builder.graph(), value.integer);
  if (codes == nullptr || value.table || is_clamped(value)) return std::nullopt;
  const Tensor scaled = combine(*codes, value.scale, std::multiplies());
  return combine(scaled, value.offset, std::plus());
}

Tensor required_constant(const LoweringSite& site, std::size_t index, std::string_view what) {
  if (const auto constant = real_constant(site, index)) return *constant;
  throw Error(what, " is computed at run time; only a constant one can be lowered to integers");
}

ValueId add_folded(Builder& builder, std::string_view op, const std::vector<ValueId>& inputs,
                   Attributes attributes, const std::string& name) {
  std::vector<Tensor> arguments;
  for (const ValueId input : inputs) {
    if (const Tensor* constant = constant_of(builder.module(), builder.graph(), input))
      arguments.push_back(*constant);
  }
  const ValueId result = builder.add(op, inputs, std::move(attributes), name);
  if (arguments.size() != inputs.size()) return result;
  Graph& graph = builder.graph();
  const auto outputs = evaluate_node(builder.module(), graph, graph.nodes.back(), arguments);
  return builder.constant(outputs.front(), graph.values[result].name);
}

ValueId add_exact_folded(Builder& builder, std::string_view op, const std::vector<ValueId>& inputs,
                         Attributes attributes, const std::string& name) {
  std::vector<Tensor> arguments;
  for (const ValueId input : inputs) {
    if (const Tensor* constant = constant_of(builder.module(), builder.graph(), input))
      arguments.push_back(*constant);
  }
  const ValueId result = add_exact(builder, op, inputs, std::move(attributes), name);
  if (arguments.size() != inputs.size()) return result;
  Graph& graph = builder.graph();
  const auto outputs = evaluate_node(builder.module(), graph, graph.nodes.back(), arguments);
  return integer_constant(builder, outputs.front().shape(), outputs.front().to_integers(),
                          graph.values[result].name);
}

ValueId shifted_right(LoweringSite& site, ValueId x, int shift, std::string_view rounding,
                      Format format, std::size_t rank) {
  Builder& builder = site.builder;
  const Shape ones(rank, 1);
  return builder.add("Rescale",
                     {x, integer_constant(builder, ones, {1}, "multiplier"),
                      integer_constant(builder, ones, {0}, "addend"),
                      integer_constant(builder, ones, {shift}, "shift")},
                     {{"format", format}, {"rounding", std::string(rounding)}},
                     site.node.node.name);
}

// ---- Deferred arithmetic
// -------------------------------------------------------------------------

bool is_clamped(const CodedValue& value) {
  return !all_of(value.low, [](double v) { return v == -kInfinity; }) ||
         !all_of(value.high, [](double v) { return v == kInfinity; });
}

namespace {

// A constant against a table: one more, last, axis.
Tensor beside_table(const Tensor& a, std::size_t rank) {
  Shape shape = with_rank(a, rank).shape();
  shape.push_back(1);
  return a.reshaped(shape);
}

}  // namespace

CodedValue multiplied(CodedValue value, const Tensor& raw) {
  const std::size_t rank = value.scale.shape().size();
  const Tensor factor = with_rank(map(raw, [](double v) { return v; }), rank);
  if (value.table) {
    value.table = combine(*value.table, beside_table(factor, rank), std::multiplies());
    return value;
  }
  // A channel that is switched off keeps a vanishing scale, so that quotients stay defined.
  const Tensor nonzero = map(factor, [](double f) { return f == 0 ? 1e-30 : f; });
  value.scale = combine(value.scale, nonzero, std::multiplies());
  value.offset = combine(value.offset, factor, std::multiplies());
  const Tensor low = combine(value.low, nonzero, std::multiplies());
  const Tensor high = combine(value.high, nonzero, std::multiplies());
  value.low = combine(low, high, [](double a, double b) { return std::min(a, b); });
  value.high = combine(low, high, [](double a, double b) { return std::max(a, b); });
  return value;
}

CodedValue shifted(CodedValue value, const Tensor& raw) {
  const std::size_t rank = value.scale.shape().size();
  const Tensor addend = with_rank(map(raw, [](double v) { return v; }), rank);
  if (value.table) {
    value.table = combine(*value.table, beside_table(addend, rank), std::plus());
    return value;
  }
  value.offset = combine(value.offset, addend, std::plus());
  value.low = combine(value.low, addend, std::plus());
  value.high = combine(value.high, addend, std::plus());
  return value;
}

CodedValue clamped(CodedValue value, double low, double high) {
  const auto limit = [&](double v) { return std::clamp(v, low, high); };
  if (value.table) {
    value.table = map(*value.table, limit);
    return value;
  }
  value.low = map(value.low, limit);
  value.high = map(value.high, limit);
  return value;
}

Tensor tabulated(const LoweringSite& site, const CodedValue& value) {
  if (value.table) return *value.table;
  const Format format = site.integer_format(value);
  if (format.bits() > site.options.table_bits) {
    throw Error("its input is a sum of ", format.bits(), " bits, too wide for a table of ",
                site.options.table_bits, " bits; quantize its input (compress does)");
  }
  const IntegerRange range = format.integer_range();
  const std::int64_t entries = range.max - range.min + 1;
  Tensor integers(f64(), {entries});
  auto out = integers.mutable_data<double>();
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<double>(range.min) + static_cast<double>(i);
  const std::size_t rank = value.scale.shape().size();
  Tensor table = combine(beside_table(value.scale, rank), integers, std::multiplies());
  table = combine(table, beside_table(value.offset, rank), std::plus());
  table = combine(table, beside_table(value.low, rank),
                  [](double a, double b) { return std::max(a, b); });
  table = combine(table, beside_table(value.high, rank),
                  [](double a, double b) { return std::min(a, b); });
  if (table.size() > std::int64_t{1} << 22)
    throw Error("its table would have ", table.size(), " entries; quantize its input per tensor");
  return table;
}

// ---- Grids
// -----------------------------------------------------------------------------------------

namespace {

std::vector<std::int64_t> rounded(const Tensor& a) {
  std::vector<std::int64_t> result;
  for (const double value : a.to_reals()) {
    if (!(std::abs(value) < 0x1p60))
      throw Error("a factor or offset of ", value, " steps leaves 60 bits");
    result.push_back(static_cast<std::int64_t>(round_real(value, Rounding::kHalfEven)));
  }
  return result;
}

bool all_integers(const Tensor& a) {
  return all_of(a, [](double v) { return v == std::nearbyint(v) && std::abs(v) < 0x1p40; });
}

// integer * factor + addend, both integers that broadcast.
ValueId multiply_add(LoweringSite& site, ValueId integer, const Tensor& factor,
                     const Tensor& addend) {
  Builder& builder = site.builder;
  if (!all_of(factor, [](double v) { return v == 1; })) {
    integer = add_exact_folded(
        builder, "IntMul",
        {integer, integer_constant(builder, factor.shape(), rounded(factor), "factor")});
  }
  if (!all_of(addend, [](double v) { return v == 0; })) {
    integer = add_exact_folded(
        builder, "IntAdd",
        {integer, integer_constant(builder, addend.shape(), rounded(addend), "addend")});
  }
  return integer;
}

ValueId limit_integers(LoweringSite& site, ValueId integer, const Tensor& low, const Tensor& high) {
  Builder& builder = site.builder;
  const IntegerRange range = builder.type(integer).format.integer_range();
  const auto within = [&](double v) {
    return std::clamp(v, static_cast<double>(range.min), static_cast<double>(range.max));
  };
  const Tensor least = map(low, within), most = map(high, within);
  if (is_uniform(least) && is_uniform(most)) {
    const std::int64_t min = rounded(least)[0], max = rounded(most)[0];
    if (min <= range.min && max >= range.max) return integer;
    return add_exact_folded(builder, "Clamp", {integer}, {{"min", min}, {"max", max}});
  }
  integer =
      add_exact_folded(builder, "IntMax",
                       {integer, integer_constant(builder, least.shape(), rounded(least), "low")});
  return add_exact_folded(
      builder, "IntMin", {integer, integer_constant(builder, most.shape(), rounded(most), "high")});
}

// The integers of a table whose reals are all multiples of one number, as those of a format are;
// nullopt where they are not.
std::optional<CodedValue> exact_table(LoweringSite& site, const CodedValue& value) {
  constexpr double kMost = 0x1p40;
  constexpr int kHalvings = 4;
  const auto reals = value.table->to_reals();
  double unit = std::numeric_limits<double>::infinity();
  for (const double real : reals)
    if (real != 0) unit = std::min(unit, std::abs(real));
  if (!std::isfinite(unit)) return std::nullopt;
  for (int i = 0; i <= kHalvings; ++i, unit /= 2) {
    const bool whole = std::ranges::all_of(reals, [&](double real) {
      return real / unit == std::nearbyint(real / unit) && std::abs(real / unit) < kMost;
    });
    if (!whole) continue;
    std::vector<std::int64_t> integers;
    for (const double real : reals) integers.push_back(static_cast<std::int64_t>(real / unit));
    const ValueId table = integer_constant(site.builder, value.table->shape(), integers, "table");
    const Format format = site.builder.type(table).format;
    const ValueId integer = add_folded(site.builder, "Table", {value.integer, table},
                                       {{"format", format}}, site.node.node.name);
    const std::size_t rank = value.scale.shape().size();
    return affine(integer, filled(rank, unit), filled(rank, 0));
  }
  return std::nullopt;
}

// The table's reals: exactly, or on a grid of 15 bits and sign.
CodedValue materialized_table(LoweringSite& site, const CodedValue& value) {
  if (const auto exact = exact_table(site, value)) return *exact;
  double largest = 0;
  for (const double v : value.table->to_reals()) largest = std::max(largest, std::abs(v));
  const double unit = largest > 0 ? std::exp2(std::ceil(std::log2(largest)) - 15) : 1.0;
  QuantizeTarget target;
  target.format = Format::integer(17, true);
  target.scale = Tensor::scalar(unit, f64());
  target.zero = Tensor::scalar(0, f64());
  const CodedValue codes = requantize(site, value, target);
  return multiplied(codes, Tensor::scalar(unit, f64()));
}

// Extra fraction bits for a value: fewer where its integers are so wide that they would leave 60.
int alignment_of(const LoweringSite& site, const CodedValue& value) {
  constexpr int kMostBits = 60;
  const int room = kMostBits - site.integer_format(value).bits();
  return std::clamp(room, 0, site.options.alignment_bits);
}

// On the grid `unit`: integer = round(real / unit), offset 0.
CodedValue on_grid(LoweringSite& site, const CodedValue& value, const Tensor& unit) {
  const auto nearest = [](double v) { return std::nearbyint(v); };
  const Tensor factor = map(combine(value.scale, unit, std::divides()), nearest);
  const Tensor addend = map(combine(value.offset, unit, std::divides()), nearest);
  ValueId integer = multiply_add(site, value.integer, factor, addend);
  if (is_clamped(value)) {
    integer = limit_integers(site, integer, map(combine(value.low, unit, std::divides()), nearest),
                             map(combine(value.high, unit, std::divides()), nearest));
  }
  return affine(integer, unit, filled(unit.shape().size(), 0));
}

}  // namespace

CodedValue materialized(LoweringSite& site, const CodedValue& value, bool uniform) {
  if (value.table) return materialized_table(site, value);
  const std::size_t rank = value.scale.shape().size();
  const Tensor zero = negated(combine(value.offset, value.scale, std::divides()));
  const bool plain = !is_clamped(value);
  if (plain && !uniform) return value;
  if (!uniform || is_uniform(value.scale)) {
    // Exact when the zero point and the ends of the clamp are integers.
    const Tensor low =
        combine(combine(value.low, value.offset, std::minus()), value.scale, std::divides());
    const Tensor high =
        combine(combine(value.high, value.offset, std::minus()), value.scale, std::divides());
    const auto whole = [](double v) { return std::isinf(v) || v == std::nearbyint(v); };
    const bool keeps_offset = !uniform;
    if (all_of(low, whole) && all_of(high, whole) && (keeps_offset || all_integers(zero))) {
      const auto lesser = [](double a, double b) { return std::min(a, b); };
      const auto greater = [](double a, double b) { return std::max(a, b); };
      const ValueId limited = limit_integers(site, value.integer, combine(low, high, lesser),
                                             combine(low, high, greater));
      const CodedValue exact = affine(limited, value.scale, value.offset);
      return keeps_offset ? exact : centred(site, exact);
    }
  }
  const int alignment = alignment_of(site, value);
  Tensor unit = map(value.scale, [&](double s) { return std::ldexp(std::abs(s), -alignment); });
  if (uniform) {
    const auto units = unit.to_reals();
    unit = filled(rank, *std::max_element(units.begin(), units.end()));
  }
  return on_grid(site, value, unit);
}

CodedValue centred(LoweringSite& site, const CodedValue& value) {
  if (value.table || is_clamped(value)) return centred(site, materialized(site, value));
  if (all_of(value.offset, [](double v) { return v == 0; })) return value;
  const Tensor steps = combine(value.offset, value.scale, std::divides());
  const std::size_t rank = value.scale.shape().size();
  if (all_integers(steps)) {
    const ValueId integer = multiply_add(site, value.integer, filled(rank, 1), steps);
    return affine(integer, value.scale, filled(rank, 0));
  }
  const int alignment = alignment_of(site, value);
  return on_grid(site, value,
                 map(value.scale, [&](double s) { return std::ldexp(std::abs(s), -alignment); }));
}

namespace {

// The constant operand with the slices of one axis multiplied by +1 or -1; in its own format
// where that holds the result.
ValueId with_signs(LoweringSite& site, ValueId constant, std::size_t axis, const Tensor& sign) {
  const Tensor& weights = *constant_of(site.builder.module(), site.builder.graph(), constant);
  const AxisSplit split = split_at(weights.shape(), axis);
  auto values = weights.to_integers();
  const IntegerRange held = weights.format().integer_range();
  bool fits = true;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto channel = static_cast<std::int64_t>(i) / split.inner % split.extent;
    if (sign.real(sign.size() == 1 ? 0 : channel) < 0) values[i] = -values[i];
    fits &= values[i] >= held.min && values[i] <= held.max;
  }
  const std::string name = site.builder.graph().values[constant].name;
  if (!fits) return integer_constant(site.builder, weights.shape(), values, name);
  return site.builder.constant(Tensor::from_integers(weights.format(), weights.shape(), values),
                               name);
}

bool varies_only_along(const Tensor& a, std::size_t axis) {
  for (std::size_t d = 0; d < a.shape().size(); ++d)
    if (d != axis && a.shape()[d] != 1) return false;
  return true;
}

// The same sums with some channels negated, where weights can take the signs; kNone elsewhere.
// The first sums stay behind for other readers and are removed when there are none.
ValueId with_negated_weights(LoweringSite& site, ValueId sums, const Tensor& sign) {
  Builder& builder = site.builder;
  if (builder.graph().values[sums].producer == kNone) return kNone;
  Node node = builder.graph().nodes[builder.graph().values[sums].producer];
  const std::string_view op = node.op->name();
  const std::size_t rank = sign.shape().size();
  if (op == "Transpose") {
    const auto& perm = std::get<std::vector<std::int64_t>>(node.attributes.at("perm"));
    Shape shape(rank, 1);
    for (std::size_t d = 0; d < rank; ++d)
      shape[static_cast<std::size_t>(perm[d])] = sign.shape()[d];
    if (sign.size() != 1 && !varies_only_along(sign.reshaped(shape), rank - 1)) return kNone;
    const ValueId inner = with_negated_weights(site, node.inputs[0], sign.reshaped(shape));
    if (inner == kNone) return kNone;
    return builder.add("Transpose", {inner}, node.attributes, node.name);
  }
  if ((op != "IntMatMul" && op != "IntConv") || !varies_only_along(sign, rank - 1)) return kNone;
  const Tensor* weights = constant_of(builder.module(), builder.graph(), node.inputs[1]);
  if (weights == nullptr || (op == "IntMatMul" && weights->rank() != 2)) return kNone;
  node.inputs[1] = with_signs(site, node.inputs[1], op == "IntMatMul" ? 1 : 0, sign);
  return add_exact(builder, op, node.inputs, node.attributes, node.name);
}

}  // namespace

CodedValue with_positive_scale(LoweringSite& site, const CodedValue& value) {
  if (value.table || all_of(value.scale, [](double v) { return v > 0; })) return value;
  const Tensor sign = map(value.scale, [](double v) { return v < 0 ? -1.0 : 1.0; });
  CodedValue result = value;
  result.integer = with_negated_weights(site, value.integer, sign);
  if (result.integer == kNone)
    result.integer = multiply_add(site, value.integer, sign, filled(sign.shape().size(), 0));
  result.scale = combine(value.scale, sign, std::multiplies());
  return result;
}

std::pair<CodedValue, CodedValue> aligned(LoweringSite& site, const CodedValue& first,
                                          const CodedValue& second) {
  CodedValue a = materialized(site, first), b = materialized(site, second);
  const std::size_t rank = std::max(a.scale.shape().size(), b.scale.shape().size());
  a.scale = with_rank(a.scale, rank);
  b.scale = with_rank(b.scale, rank);
  a.offset = with_rank(a.offset, rank);
  b.offset = with_rank(b.offset, rank);
  const Tensor ratio = combine(a.scale, b.scale, std::divides());
  const Tensor inverse = combine(b.scale, a.scale, std::divides());
  const auto small = [](double v) { return std::abs(v) <= 65536; };
  const Tensor zeros = filled(rank, 0);
  if (all_integers(ratio) && all_of(ratio, small)) {
    a = affine(multiply_add(site, a.integer, ratio, zeros),
               combine(b.scale, map(ratio, [](double) { return 1.0; }), std::multiplies()),
               a.offset);
  } else if (all_integers(inverse) && all_of(inverse, small)) {
    b = affine(multiply_add(site, b.integer, inverse, zeros),
               combine(a.scale, map(inverse, [](double) { return 1.0; }), std::multiplies()),
               b.offset);
  } else {
    const Tensor unit = combine(a.scale, b.scale, [&](double x, double y) {
      return std::ldexp(std::max(std::abs(x), std::abs(y)), -site.options.alignment_bits);
    });
    const auto nearest = [](double v) { return std::nearbyint(v); };
    a = affine(
        multiply_add(site, a.integer, map(combine(a.scale, unit, std::divides()), nearest), zeros),
        unit, a.offset);
    b = affine(
        multiply_add(site, b.integer, map(combine(b.scale, unit, std::divides()), nearest), zeros),
        unit, b.offset);
  }
  return {a, b};
}

}  // namespace tandem
