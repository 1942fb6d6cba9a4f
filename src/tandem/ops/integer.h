#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tandem/graph/builder.h"
#include "tandem/graph/operator.h"

namespace tandem {

// The exact primitives: all that a lowered function may contain besides data movement. Their
// evaluation over unlimited integers is the definition of a lowered network; `format` names the
// result's integer format, and infer() proves that every result and every partial sum (in any
// order of addition) lies in its range, or refuses and names the format that is needed.
// Channels are last: x is [N, spatial..., C].
//
//   IntMatMul(a[..,M,K], b[K,N] or [..,K,N])      sum_k a*b
//   IntConv(x, w[O, kernel..., C/group])          sum over the window, pad_value outside
//   IntAdd IntSub IntMul IntMax IntMin (a, b)     element by element, broadcast
//   Clamp(x; min, max)
//   Rescale(x, multiplier, addend, shift)         overflow(round((x*multiplier + addend) /
//   2^shift)) Table(x, table[..., codes])                   table[..., x - least integer of x's
//   format] Threshold(x, thresholds[..., count])          base + step * number of thresholds <= x
//   IntDiv(a, b)                                  round(a / b); 0 where b = 0
//   IntSqrt(x)                                    floor of the square root; x is unsigned
//   IntSum IntReduceMax (x; axes)                 over axes, kept as 1
//   IntSumPool IntMaxPool (x; kernel, ...)        over windows; padding adds 0 / is ignored
//   IntArgMax(x; axis)                            index of the first (or last) maximum
//
// multiplier, addend, shift, table and thresholds are constants; their shapes broadcast to x
// (before the last axis of table and thresholds).
class IntegerOperator : public Operator {
 public:
  Traits traits() const override { return {Domain::kInteger}; }
  std::vector<TensorType> infer(const NodeView& node) const final;
  Work work(const NodeView& node) const override;
  // A primitive over codes, as readers write where only integers say what is meant, stays as it is.
  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override;

  // The dimensions of the result, after checking the operands.
  virtual std::vector<Dim> shape(const NodeView& node) const = 0;
  // An interval that holds every result and every partial sum.
  virtual IntegerRange range(const NodeView& node) const = 0;

 protected:
  virtual OperationKind operation() const = 0;
  // Operations for one element of the result.
  virtual std::int64_t operations_per_result(const NodeView&) const { return 1; }
  static AttributeSpec format_attribute();
};

// Adds a primitive with the narrowest format that its range needs (or exactly `range` where the
// operator saturates). Throws Error when the range leaves 64 bits.
ValueId add_exact(Builder& builder, std::string_view op, std::vector<ValueId> inputs,
                  Attributes attributes = {}, std::string name = "");

// The interval of the integers that an input of a node can hold: of the constant's elements, or
// of the format.
IntegerRange input_range(const NodeView& node, std::size_t index);

// The interval as 64-bit integers; throws Error when an end is beyond 2^62.
IntegerRange checked_range(Int128 low, Int128 high);

// The attributes `rounding` and `overflow` (numerics/rounding.h) of Rescale, IntDiv, Quantize.
AttributeSpec rounding_attribute();
AttributeSpec overflow_attribute();

void register_integer_operators();

}  // namespace tandem
