#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/graph/lowering.h"

namespace tandem {

// Arithmetic on CodedValue for the lowering rules: affine changes stay deferred, and only
// requantize(), materialized() and aligned sums add primitives.

Format f64();

// ---- f64 tensors that broadcast ---------------------------------------------------------------
Tensor map(const Tensor& a, const std::function<double(double)>& f);
Tensor combine(const Tensor& a, const Tensor& b, const std::function<double(double, double)>& f);
Tensor negated(const Tensor& a);
bool all_of(const Tensor& a, const std::function<bool(double)>& holds);
bool is_uniform(const Tensor& a);  // all elements equal
// The same elements with ones put before the shape up to `rank`.
Tensor with_rank(const Tensor& a, std::size_t rank);
// Expanded to a shape to which it broadcasts, and back: axes along which nothing changes become 1.
Tensor expanded(const Tensor& a, const Shape& shape);
Tensor compacted(const Tensor& a);

// ---- Coded values -----------------------------------------------------------------------------
// real = integer * 2^exponent of its format.
CodedValue coded_integer(Builder& builder, ValueId integer);
// The reals of constant codes as integers: of a uniform format its own, of another multiples of
// common_unit().
CodedValue coded_constant(Builder& builder, const Tensor& codes);
// The greatest power of two of which all reals are multiples, as long as the multiples have at most
// 32 bits; 1 where all are zero.
double common_unit(std::span<const double> reals);
CodedValue affine(ValueId integer, Tensor scale, Tensor offset);

// The real constant at an input as f64: a real constant, or coded integers that are constant.
// nullopt when it is computed at run time.
std::optional<Tensor> real_constant(const LoweringSite& site, std::size_t index);
Tensor required_constant(const LoweringSite& site, std::size_t index, std::string_view what);

bool is_clamped(const CodedValue& value);

// value * factor, value + addend, and the deferred clamp to [low, high].
CodedValue multiplied(CodedValue value, const Tensor& factor);
CodedValue shifted(CodedValue value, const Tensor& addend);
CodedValue clamped(CodedValue value, double low, double high);

// All reals that the value can take as a table with one entry per integer of its format; throws
// Error with the remedy where the format has more than options.table_bits bits.
Tensor tabulated(const LoweringSite& site, const CodedValue& value);

// The same reals (up to the alignment grid) without table and clamp; with `uniform`, with one
// scale for the whole tensor and no offset.
CodedValue materialized(LoweringSite& site, const CodedValue& value, bool uniform = false);

// Integers whose zero is the real zero: value.offset becomes 0, exactly where the zero point is
// an integer, else on the alignment grid.
CodedValue centred(LoweringSite& site, const CodedValue& value);

// A value of positive scale: channels with negative scale are negated, in the weights that make
// them where that is possible.
CodedValue with_positive_scale(LoweringSite& site, const CodedValue& value);

// Both values in one unit, so that their integers add.
std::pair<CodedValue, CodedValue> aligned(LoweringSite& site, const CodedValue& a,
                                          const CodedValue& b);

// How the lowered form of a Quantize multiplies.
enum class Rescaling {
  kDyadic,             // a multiplier and addend that give the real-valued meaning's codes
  kSingleRounding,     // TensorFlow Lite's: a multiplier of 31 bits, one rounding (ties up)
  kDoubleRounding,     // TensorFlow Lite Micro's (gemmlowp's): a multiplier of 31 bits, a rounding
                       // after the product (ties up) and one after the shift (ties away from zero)
  kReducedMultiplier,  // both ones' for activations of 16 bits: a multiplier of 15 bits
};
std::string_view name(Rescaling rescaling);  // "dyadic", "single_rounding", ...
Rescaling parse_rescaling(std::string_view text);
std::vector<std::string> rescaling_names();

// What a Quantize asks for: overflow(round(real / scale + zero)) within limits, or
// overflow(round(real / scale) + zero), for integer formats that saturate.
struct QuantizeTarget {
  Format format;
  Tensor scale, zero;
  Rounding rounding = Rounding::kHalfEven;
  Overflow overflow = Overflow::kSaturate;
  std::vector<std::int64_t> limits;
  bool zero_after_rounding = false;
  Rescaling rescaling = Rescaling::kDyadic;
  int left_shift = 0;  // bits by which the integers are shifted before kDoubleRounding multiplies
};

// The codes, as coded_integer: one Table, Threshold or Rescale (and Clamp).
CodedValue requantize(LoweringSite& site, const CodedValue& value, const QuantizeTarget& target);

// requantize() for the rescalings of TensorFlow Lite, on which it agrees in every integer; rounding
// and zero_after_rounding do not matter.
CodedValue requantize_as_tflite(LoweringSite& site, const CodedValue& value,
                                const QuantizeTarget& target);

// Adds a node, or its result as a constant when all inputs are constants.
ValueId add_folded(Builder& builder, std::string_view op, const std::vector<ValueId>& inputs,
                   Attributes attributes = {}, const std::string& name = "");
// The same for primitives with the narrowest format (add_exact of integer.h).
ValueId add_exact_folded(Builder& builder, std::string_view op, const std::vector<ValueId>& inputs,
                         Attributes attributes = {}, const std::string& name = "");

// An integer constant of the narrowest format.
ValueId integer_constant(Builder& builder, const Shape& shape,
                         const std::vector<std::int64_t>& values, const std::string& name);

// x / 2^shift, rounded, in the given format; a copy, because the types of values move as others are
// added.
ValueId shifted_right(LoweringSite& site, ValueId x, int shift, std::string_view rounding,
                      Format format, std::size_t rank);

}  // namespace tandem
