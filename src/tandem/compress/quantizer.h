#pragma once

#include <compare>
#include <cstdint>
#include <string_view>

#include "tandem/compress/histogram.h"
#include "tandem/numerics/format.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

// real = scale * (code - zero) for the integer codes of a format.
struct UniformQuantizer {
  Format format;
  double scale = 1;  // a number of f32, as Quantize and Dequantize compute with
  std::int64_t zero = 0;

  double lowest() const;  // the reals at the ends of the format
  double highest() const;
};

// How the range of the codes follows from the distribution of the numbers.
//   minmax      all that was seen
//   percentile  all but a share of outliers at each end
//   mse         the range of least mean squared error of clipping and rounding together
enum class RangeMethod { kMinMax, kPercentile, kMse };
std::string_view name(RangeMethod method);
RangeMethod parse_range_method(std::string_view text);  // throws Error naming the nearest

struct QuantizerRules {
  RangeMethod method = RangeMethod::kMse;
  double percentile = 99.99;  // of the numbers that a percentile range holds
  int bits = 8;               // 2..16
  bool signed_codes = false;  // int<bits>, where uint<bits> would do
  bool symmetric = false;     // zero = 0; int<bits> where negative numbers occur
  bool power_of_two = false;  // the scale is a power of two
  friend auto operator<=>(const QuantizerRules&, const QuantizerRules&) = default;
};

// The quantizer whose codes reach from `low` <= 0 to `high` >= 0 under the rules; the method is not
// asked. An empty range gives scale 1.
UniformQuantizer quantizer_over(double low, double high, const QuantizerRules& rules);

// The quantizer that the rules choose for numbers of this distribution. Throws Error on a width or
// percentile out of range.
UniformQuantizer choose_quantizer(const Histogram& numbers, const QuantizerRules& rules);

// Mean squared difference between a number and its code's real; numbers lie evenly in their bin.
double squared_error(const Histogram& numbers, const UniformQuantizer& quantizer);

// Weights as codes of int<bits>, symmetric: the format's least code is not used, so both signs
// reach equally far, and two bits are ternary. One scale per index of `axis` (kNone: one for all),
// of shape 1 but along the axis: the greatest magnitude divided by the greatest code, or the scale
// of least squared error (kPercentile is treated like kMinMax: weights have no outliers to drop,
// only errors to weigh). Throws Error on a number that is not finite.
struct CodedWeights {
  Tensor codes;   // the format, of the weights' shape
  Tensor scales;  // f32
};
inline constexpr std::int64_t kPerTensor = -1;
CodedWeights quantize_weights(const Tensor& weights, std::int64_t axis, int bits,
                              RangeMethod method, bool power_of_two = false);

}  // namespace tandem
