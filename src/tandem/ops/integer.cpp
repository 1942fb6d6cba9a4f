#include "tandem/ops/integer.h"

#include <algorithm>
#include <limits>
#include <memory>

#include "tandem/base/error.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/coded.h"
#include "tandem/ops/integer_linear.h"
#include "tandem/ops/integer_root.h"

namespace tandem {

// ---- What all primitives share -------------------------------------------------------------

AttributeSpec IntegerOperator::format_attribute() {
  return {"format", AttributeKind::kFormat, "integer format of the result", {}, {}};
}

IntegerRange input_range(const NodeView& node, std::size_t index) {
  const Tensor* constant = node.constant(index);
  const Format format = node.input(index).format;
  if (constant == nullptr || constant->size() == 0) return format.integer_range();
  return visit_storage(constant->format().storage(), [&]<typename T>() {
    const auto [low, high] = std::ranges::minmax(constant->data<T>());
    return IntegerRange{static_cast<std::int64_t>(low), static_cast<std::int64_t>(high)};
  });
}

IntegerRange checked_range(Int128 low, Int128 high) {
  constexpr Int128 kLimit = (Int128{1} << 62);
  if (low < -kLimit || high > kLimit) {
    throw Error("its sums may leave 63 bits; use narrower formats or a shorter reduction");
  }
  return {static_cast<std::int64_t>(low), static_cast<std::int64_t>(high)};
}

std::vector<TensorType> IntegerOperator::infer(const NodeView& node) const {
  for (std::size_t i = 0; i < node.input_count(); ++i) {
    const Format format = node.input(i).format;
    if (!format.is_integer()) {
      throw Error("input ", i, " is ", format.name(),
                  "; integer primitives take int, uint or bipolar (Quantize it first)");
    }
  }
  const Format format = node.format("format");
  if (!format.is_integer()) throw Error("format ", format.name(), " is no integer format");
  TensorType result{shape(node), format};
  const IntegerRange needed = range(node), held = format.integer_range();
  if (needed.min < held.min || needed.max > held.max) {
    throw Error("results and partial sums reach [", needed.min, ",", needed.max,
                "], which needs format = ", Format::holding(needed).name(), ", not ",
                format.name());
  }
  return {result};
}

Work IntegerOperator::work(const NodeView& node) const {
  Work work;
  const auto bits = [](const TensorType& type) {
    return element_count(type.static_shape()) * type.format.bits();
  };
  for (std::size_t i = 0; i < node.input_count(); ++i) {
    (node.constant(i) != nullptr ? work.constant_bits : work.input_bits) += bits(node.input(i));
  }
  const TensorType result{shape(node), node.format("format")};
  work.output_bits = bits(result);
  work.operations = {{operation(), node.input(0).format,
                      node.input(node.input_count() > 1 ? 1 : 0).format, result.format,
                      element_count(result.static_shape()) * operations_per_result(node)}};
  return work;
}

namespace {

// The codes that a primitive reads: integers that stand for themselves.
ValueId codes_at(LoweringSite& site, std::size_t index) {
  if (const Tensor* constant = site.constant(index)) return site.builder.constant(*constant);
  const CodedValue value = materialized(site, site.coded(index));
  const bool plain = all_of(value.scale, [](double s) { return s == 1; }) &&
                     all_of(value.offset, [](double b) { return b == 0; });
  if (!plain) throw Error("input ", index, " stands for reals; quantize it first");
  return value.integer;
}

}  // namespace

std::optional<std::vector<CodedValue>> IntegerOperator::lower(LoweringSite& site) const {
  std::vector<ValueId> inputs;
  for (std::size_t i = 0; i < site.node.input_count(); ++i) inputs.push_back(codes_at(site, i));
  const ValueId result =
      site.builder.add(name(), inputs, site.node.node.attributes, site.node.node.name);
  return std::vector{coded_integer(site.builder, result)};
}

ValueId add_exact(Builder& builder, std::string_view op, std::vector<ValueId> inputs,
                  Attributes attributes, std::string name) {
  const auto* primitive = dynamic_cast<const IntegerOperator*>(&operators().find(op));
  ensure(primitive != nullptr, concat(op, " is no integer primitive"));
  Node draft;
  draft.op = primitive;
  draft.inputs = inputs;
  draft.name = name.empty() ? std::string(op) : name;
  attributes["format"] = Format::integer(8, true);  // replaced by what the range needs
  draft.attributes = complete_attributes(primitive->attributes(), attributes, op);
  const NodeView view{builder.module(), builder.graph(), draft};
  try {
    primitive->shape(view);
    attributes["format"] = Format::holding(primitive->range(view));
  } catch (const Error& error) {
    throw error.at(concat(op, " '", draft.name, "'"));
  }
  return builder.add(op, std::move(inputs), std::move(attributes), std::move(name));
}

namespace {

// ---- Element by element ----------------------------------------------------------------------

class IntElementwise : public IntegerOperator {
 public:
  std::size_t min_inputs() const override { return 2; }
  Traits traits() const override { return {Domain::kInteger, true, true, commutative()}; }
  std::vector<AttributeSpec> attributes() const override { return {format_attribute()}; }
  std::vector<Dim> shape(const NodeView& node) const override {
    return broadcast_dims(node.input(0).shape, node.input(1).shape);
  }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor> in) const override {
    const Shape to = broadcast_shapes(in[0].shape(), in[1].shape());
    const auto left = in[0].to_integers(), right = in[1].to_integers();
    const auto left_at = broadcast_offsets(in[0].shape(), to);
    const auto right_at = broadcast_offsets(in[1].shape(), to);
    std::vector<std::int64_t> result(left_at.size());
    for (std::size_t i = 0; i < result.size(); ++i) {
      result[i] = apply(left[static_cast<std::size_t>(left_at[i])],
                        right[static_cast<std::size_t>(right_at[i])]);
    }
    return {Tensor::from_integers(node.format("format"), to, result)};
  }
  std::vector<SampleCase> samples() const override {
    const std::string call = concat(name(), "(%a, %b)");
    return {{concat("tandem-module 1\ngraph @main(%a : int4[2,3], %b : uint3[3]) -> (%y) {\n"
                    "  %y : int9[2,3] = ",
                    call, " {format = int9}\n}\n"),
             ""},
            {concat("tandem-module 1\ngraph @main(%a : int8[2,3], %b : int8[3]) -> (%y) {\n"
                    "  %y : uint1[2,3] = ",
                    call, " {format = uint1}\n}\n"),
             "needs format"}};
  }

 protected:
  OperationKind operation() const override { return OperationKind::kAdd; }
  virtual bool commutative() const { return true; }
  virtual std::int64_t apply(std::int64_t a, std::int64_t b) const = 0;
};

class IntAdd final : public IntElementwise {
 public:
  std::string_view name() const override { return "IntAdd"; }
  std::string_view description() const override { return "a + b, broadcast."; }
  IntegerRange range(const NodeView& node) const override {
    const IntegerRange a = input_range(node, 0), b = input_range(node, 1);
    return checked_range(Int128{a.min} + b.min, Int128{a.max} + b.max);
  }

 protected:
  std::int64_t apply(std::int64_t a, std::int64_t b) const override { return a + b; }
};

class IntSub final : public IntElementwise {
 public:
  std::string_view name() const override { return "IntSub"; }
  std::string_view description() const override { return "a - b, broadcast."; }
  IntegerRange range(const NodeView& node) const override {
    const IntegerRange a = input_range(node, 0), b = input_range(node, 1);
    return checked_range(Int128{a.min} - b.max, Int128{a.max} - b.min);
  }

 protected:
  bool commutative() const override { return false; }
  std::int64_t apply(std::int64_t a, std::int64_t b) const override { return a - b; }
};

class IntMul final : public IntElementwise {
 public:
  std::string_view name() const override { return "IntMul"; }
  std::string_view description() const override { return "a * b, broadcast."; }
  IntegerRange range(const NodeView& node) const override {
    const IntegerRange a = input_range(node, 0), b = input_range(node, 1);
    const Int128 corners[] = {Int128{a.min} * b.min, Int128{a.min} * b.max, Int128{a.max} * b.min,
                              Int128{a.max} * b.max};
    return checked_range(*std::min_element(corners, corners + 4),
                         *std::max_element(corners, corners + 4));
  }

 protected:
  OperationKind operation() const override { return OperationKind::kMultiply; }
  std::int64_t apply(std::int64_t a, std::int64_t b) const override { return a * b; }
};

class IntMax final : public IntElementwise {
 public:
  std::string_view name() const override { return "IntMax"; }
  std::string_view description() const override { return "The greater of a and b, broadcast."; }
  IntegerRange range(const NodeView& node) const override {
    const IntegerRange a = input_range(node, 0), b = input_range(node, 1);
    return {std::max(a.min, b.min), std::max(a.max, b.max)};
  }

 protected:
  OperationKind operation() const override { return OperationKind::kCompare; }
  std::int64_t apply(std::int64_t a, std::int64_t b) const override { return std::max(a, b); }
};

class IntMin final : public IntElementwise {
 public:
  std::string_view name() const override { return "IntMin"; }
  std::string_view description() const override { return "The lesser of a and b, broadcast."; }
  IntegerRange range(const NodeView& node) const override {
    const IntegerRange a = input_range(node, 0), b = input_range(node, 1);
    return {std::min(a.min, b.min), std::min(a.max, b.max)};
  }

 protected:
  OperationKind operation() const override { return OperationKind::kCompare; }
  std::int64_t apply(std::int64_t a, std::int64_t b) const override { return std::min(a, b); }
};

class IntDiv final : public IntElementwise {
 public:
  std::string_view name() const override { return "IntDiv"; }
  std::string_view description() const override {
    return "a / b rounded, broadcast; 0 where b is 0.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {format_attribute(), rounding_attribute()};
  }
  IntegerRange range(const NodeView& node) const override {
    const IntegerRange a = input_range(node, 0), b = input_range(node, 1);
    // |a / b| is greatest at the divisor nearest to zero, of either sign.
    std::int64_t low = 0, high = 0;
    for (const std::int64_t divisor : {b.min, b.max, std::int64_t{1}, std::int64_t{-1}}) {
      if (divisor == 0 || divisor < b.min || divisor > b.max) continue;
      for (const std::int64_t numerator : {a.min, a.max}) {
        const auto quotient =
            static_cast<std::int64_t>(round_divide(numerator, divisor, Rounding::kAwayFromZero));
        low = std::min(low, quotient);
        high = std::max(high, quotient);
      }
    }
    return checked_range(low, high);
  }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor> in) const override {
    const Rounding rounding = parse_rounding(node.string("rounding"));
    const Shape to = broadcast_shapes(in[0].shape(), in[1].shape());
    const auto left_at = broadcast_offsets(in[0].shape(), to);
    const auto right_at = broadcast_offsets(in[1].shape(), to);
    std::vector<std::int64_t> result(left_at.size());
    for (std::size_t i = 0; i < result.size(); ++i) {
      const std::int64_t divisor = in[1].integer(right_at[i]);
      if (divisor == 0) continue;
      result[i] =
          static_cast<std::int64_t>(round_divide(in[0].integer(left_at[i]), divisor, rounding));
    }
    return {Tensor::from_integers(node.format("format"), to, result)};
  }

 protected:
  OperationKind operation() const override { return OperationKind::kDivide; }
  bool commutative() const override { return false; }
  std::int64_t apply(std::int64_t, std::int64_t) const override {
    throw InternalError("IntDiv evaluates with its rounding");
  }
};

// ---- One operand and constants -----------------------------------------------------------------

class IntUnary : public IntegerOperator {
 public:
  Traits traits() const override { return {Domain::kInteger, true, true}; }
  std::vector<Dim> shape(const NodeView& node) const override { return node.input(0).shape; }
};

class Clamp final : public IntUnary {
 public:
  std::string_view name() const override { return "Clamp"; }
  std::string_view description() const override { return "x limited to [min, max]."; }
  std::vector<AttributeSpec> attributes() const override {
    return {format_attribute(),
            {"min", AttributeKind::kInteger, "least result", {}, {}},
            {"max", AttributeKind::kInteger, "greatest result", {}, {}}};
  }
  IntegerRange range(const NodeView& node) const override {
    const IntegerRange x = input_range(node, 0);
    const std::int64_t low = node.integer("min"), high = node.integer("max");
    if (low > high) throw Error("min ", low, " is above max ", high);
    return {std::clamp(x.min, low, high), std::clamp(x.max, low, high)};
  }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor> in) const override {
    auto values = in[0].to_integers();
    const std::int64_t low = node.integer("min"), high = node.integer("max");
    for (auto& value : values) value = std::clamp(value, low, high);
    return {Tensor::from_integers(node.format("format"), in[0].shape(), values)};
  }
  std::vector<SampleCase> samples() const override {
    return {{"tandem-module 1\ngraph @main(%x : int8[1,5]) -> (%y) {\n"
             "  %y : uint3[1,5] = Clamp(%x) {format = uint3, min = 0, max = 6}\n}\n",
             ""},
            {"tandem-module 1\ngraph @main(%x : int8[1,5]) -> (%y) {\n"
             "  %y : uint3[1,5] = Clamp(%x) {format = uint3, min = 6, max = 0}\n}\n",
             "is above max"}};
  }

 protected:
  OperationKind operation() const override { return OperationKind::kCompare; }
  std::int64_t operations_per_result(const NodeView&) const override { return 2; }
};

void check_constant_operand(const NodeView& node, std::size_t index, std::string_view what,
                            std::size_t extra_axes) {
  if (node.constant(index) == nullptr) throw Error(what, " must be a constant");
  std::vector<Dim> dims = node.input(index).shape;
  if (dims.size() < extra_axes) throw Error(what, " lacks its last axis");
  dims.resize(dims.size() - extra_axes);
  if (!broadcasts_to(dims, node.input(0).shape)) {
    throw Error(what, " of shape ", to_string(node.constant(index)->shape()),
                " does not broadcast to ", node.input(0).to_string());
  }
}

class Rescale final : public IntUnary {
 public:
  std::string_view name() const override { return "Rescale"; }
  std::string_view description() const override {
    return "(x * multiplier + addend) / 2^shift, rounded, then brought into the format; the "
           "constants broadcast to x.";
  }
  std::size_t min_inputs() const override { return 4; }
  std::vector<AttributeSpec> attributes() const override {
    return {format_attribute(), rounding_attribute(), overflow_attribute()};
  }
  std::vector<Dim> shape(const NodeView& node) const override {
    check_constant_operand(node, 1, "multiplier", 0);
    check_constant_operand(node, 2, "addend", 0);
    check_constant_operand(node, 3, "shift", 0);
    const IntegerRange shift = input_range(node, 3);
    if (shift.min < 0 || shift.max > 62) throw Error("shift must lie in [0,62]");
    return node.input(0).shape;
  }
  // The overflow mode brings every result into the format; what has to be proved is that the
  // product, the sum and the rounding stay within 63 bits.
  IntegerRange range(const NodeView& node) const override {
    const IntegerRange x = input_range(node, 0), m = input_range(node, 1), b = input_range(node, 2);
    Int128 low = 0, high = 0;
    for (const Int128 factor : {Int128{m.min}, Int128{m.max}}) {
      for (const Int128 value : {Int128{x.min}, Int128{x.max}}) {
        low = std::min(low, factor * value + std::min<Int128>(b.min, 0));
        high = std::max(high, factor * value + std::max<Int128>(b.max, 0));
      }
    }
    checked_range(low, high);
    return node.format("format").integer_range();
  }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor> in) const override {
    const Rounding rounding = parse_rounding(node.string("rounding"));
    const Overflow overflow = parse_overflow(node.string("overflow"));
    const Format format = node.format("format");
    if (format == Format::parse("bipolar")) throw Error("Rescale cannot make bipolar codes");
    const Shape& to = in[0].shape();
    const auto x = in[0].to_integers(), m = in[1].to_integers(), b = in[2].to_integers(),
               s = in[3].to_integers();
    const auto m_at = broadcast_offsets(in[1].shape(), to),
               b_at = broadcast_offsets(in[2].shape(), to),
               s_at = broadcast_offsets(in[3].shape(), to);
    std::vector<std::int64_t> result(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Int128 sum = Int128{x[i]} * m[static_cast<std::size_t>(m_at[i])] +
                         b[static_cast<std::size_t>(b_at[i])];
      const int shift = static_cast<int>(s[static_cast<std::size_t>(s_at[i])]);
      result[i] = apply_overflow(round_shift(sum, shift, rounding), format.bits(),
                                 format.is_signed(), overflow);
    }
    return {Tensor::from_integers(format, to, result)};
  }
  std::vector<SampleCase> samples() const override {
    const std::string head =
        "tandem-module 1\nconstant @m : int8[3] = [5,-3,7]\nconstant @b : int8[1] = [9]\n"
        "constant @s : uint6[1] = [4]\n"
        "graph @main(%x : int8[2,3]) -> (%y) {\n  %m = constant @m\n  %b = constant @b\n"
        "  %s = constant @s\n";
    std::vector<SampleCase> cases;
    for (const Rounding rounding : kAllRoundings) {
      for (const Overflow overflow : kAllOverflows) {
        cases.push_back({concat(head,
                                "  %y : int5[2,3] = Rescale(%x, %m, %b, %s) {format = int5, "
                                "rounding = \"",
                                tandem::name(rounding), "\", overflow = \"", tandem::name(overflow),
                                "\"}\n}\n"),
                         ""});
      }
    }
    cases.push_back(
        {"tandem-module 1\nconstant @b : int8[1] = [9]\nconstant @s : uint6[1] = [4]\n"
         "graph @main(%x : int8[2,3]) -> (%y) {\n  %b = constant @b\n"
         "  %s = constant @s\n"
         "  %y : int5[2,3] = Rescale(%x, %x, %b, %s) {format = int5}\n}\n",
         "multiplier must be a constant"});
    return cases;
  }

 protected:
  OperationKind operation() const override { return OperationKind::kMultiply; }
};

class Table final : public IntUnary {
 public:
  std::string_view name() const override { return "Table"; }
  std::string_view description() const override {
    return "table[..., x - least integer of x's format]; one entry per integer of that format.";
  }
  std::size_t min_inputs() const override { return 2; }
  std::vector<AttributeSpec> attributes() const override { return {format_attribute()}; }
  std::vector<Dim> shape(const NodeView& node) const override {
    check_constant_operand(node, 1, "table", 1);
    const IntegerRange x = node.input(0).format.integer_range();
    const Int128 entries = Int128{x.max} - x.min + 1;
    if (Int128{node.constant(1)->shape().back()} != entries) {
      throw Error("table has ", node.constant(1)->shape().back(),
                  " entries in its last axis where ", node.input(0).format.name(), " needs ",
                  static_cast<std::int64_t>(entries));
    }
    return node.input(0).shape;
  }
  IntegerRange range(const NodeView& node) const override { return input_range(node, 1); }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor> in) const override {
    const std::int64_t least = in[0].format().integer_range().min;
    const std::int64_t entries = in[1].shape().back();
    Shape rows = in[1].shape();
    rows.pop_back();
    const auto row = broadcast_offsets(rows, in[0].shape());
    auto values = in[0].to_integers();
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = in[1].integer(row[i] * entries + values[i] - least);
    return {Tensor::from_integers(node.format("format"), in[0].shape(), values)};
  }
  std::vector<SampleCase> samples() const override {
    return {{"tandem-module 1\nconstant @t : int8[8] = [9,-1,4,2,0,7,7,-9]\n"
             "graph @main(%x : int3[2,3]) -> (%y) {\n  %t = constant @t\n"
             "  %y : int8[2,3] = Table(%x, %t) {format = int8}\n}\n",
             ""},
            {"tandem-module 1\nconstant @t : int8[2,4] = [9,-1,4,2,0,7,7,-9]\n"
             "graph @main(%x : uint2[3,2]) -> (%y) {\n  %t = constant @t\n"
             "  %y : int5[3,2] = Table(%x, %t) {format = int5}\n}\n",
             ""},
            {"tandem-module 1\nconstant @t : int8[7] = [9,-1,4,2,0,7,7]\n"
             "graph @main(%x : int3[2,3]) -> (%y) {\n  %t = constant @t\n"
             "  %y : int8[2,3] = Table(%x, %t) {format = int8}\n}\n",
             "needs 8"}};
  }

 protected:
  OperationKind operation() const override { return OperationKind::kTableLookup; }
};

class Threshold final : public IntUnary {
 public:
  std::string_view name() const override { return "Threshold"; }
  std::string_view description() const override {
    return "base + step * the number of thresholds[..., :] <= x (ascending along the last axis).";
  }
  std::size_t min_inputs() const override { return 2; }
  std::vector<AttributeSpec> attributes() const override {
    return {format_attribute(),
            {"base", AttributeKind::kInteger, "result below all thresholds", {std::int64_t{0}}, {}},
            {"step",
             AttributeKind::kInteger,
             "what each threshold adds (2 for bipolar)",
             {std::int64_t{1}},
             {}}};
  }
  std::vector<Dim> shape(const NodeView& node) const override {
    check_constant_operand(node, 1, "thresholds", 1);
    const Tensor& thresholds = *node.constant(1);
    const std::int64_t count = thresholds.shape().back();
    if (count < 1) throw Error("there is no threshold");
    for (std::int64_t i = 1; i < thresholds.size(); ++i) {
      if (i % count != 0 && thresholds.integer(i) < thresholds.integer(i - 1))
        throw Error("thresholds must ascend along the last axis");
    }
    if (node.integer("step") < 1 || node.integer("step") > 1024)
      throw Error("step must lie in [1,1024]");
    if (std::abs(node.integer("base")) > std::int64_t{1} << 40)
      throw Error("base is beyond 40 bits");
    return node.input(0).shape;
  }
  IntegerRange range(const NodeView& node) const override {
    const std::int64_t base = node.integer("base");
    return checked_range(
        base, Int128{base} + Int128{node.integer("step")} * node.constant(1)->shape().back());
  }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor> in) const override {
    const std::int64_t count = in[1].shape().back();
    Shape rows = in[1].shape();
    rows.pop_back();
    const auto row = broadcast_offsets(rows, in[0].shape());
    const std::int64_t base = node.integer("base"), step = node.integer("step");
    const auto thresholds = in[1].to_integers();
    auto values = in[0].to_integers();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto first = thresholds.begin() + row[i] * count;
      const auto passed = std::upper_bound(first, first + count, values[i]) - first;
      values[i] = base + step * passed;
    }
    return {Tensor::from_integers(node.format("format"), in[0].shape(), values)};
  }
  std::vector<SampleCase> samples() const override {
    const std::string text =
        "tandem-module 1\nconstant @t : int9[3,2] = [-3,5,0,0,-40,200]\n"
        "graph @main(%x : int8[2,3]) -> (%y) {\n  %t = constant @t\n";
    return {{text + "  %y : int2[2,3] = Threshold(%x, %t) {format = int2, base = -1}\n}\n", ""},
            {"tandem-module 1\nconstant @t : int9[1] = [-3]\n"
             "graph @main(%x : int8[2,3]) -> (%y) {\n  %t = constant @t\n"
             "  %y : bipolar[2,3] = Threshold(%x, %t) {format = bipolar, base = -1, step = 2}\n}\n",
             ""},
            {text + "  %y : uint1[2,3] = Threshold(%x, %t) {format = uint1}\n}\n", "needs format"}};
  }

 protected:
  OperationKind operation() const override { return OperationKind::kCompare; }
  std::int64_t operations_per_result(const NodeView& node) const override {
    return node.constant(1)->shape().back();
  }
};

}  // namespace

AttributeSpec rounding_attribute() {
  std::vector<std::string> names;
  for (const Rounding rounding : kAllRoundings) names.emplace_back(name(rounding));
  return {"rounding",
          AttributeKind::kString,
          "what happens between two codes",
          {std::string("half_even")},
          names};
}

AttributeSpec overflow_attribute() {
  std::vector<std::string> names;
  for (const Overflow overflow : kAllOverflows) names.emplace_back(name(overflow));
  return {"overflow",
          AttributeKind::kString,
          "what happens beyond the last code",
          {std::string("saturate")},
          names};
}

void register_integer_operators() {
  OperatorRegistry& registry = operators();
  registry.add(std::make_unique<IntAdd>());
  registry.add(std::make_unique<IntSub>());
  registry.add(std::make_unique<IntMul>());
  registry.add(std::make_unique<IntMax>());
  registry.add(std::make_unique<IntMin>());
  registry.add(std::make_unique<IntDiv>());
  register_integer_square_root();
  registry.add(std::make_unique<Clamp>());
  registry.add(std::make_unique<Rescale>());
  registry.add(std::make_unique<Table>());
  registry.add(std::make_unique<Threshold>());
  register_linear_integer_operators();
}

}  // namespace tandem
