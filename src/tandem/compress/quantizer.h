#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tandem/compress/histogram.h"
#include "tandem/numerics/format.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

// real = scale * (decode(code) - zero) for the codes of a format; zero is 0 unless the format is of
// integers.
struct Quantizer {
  Format format;
  double scale = 1;  // a number of f32, as Quantize and Dequantize compute with
  std::int64_t zero = 0;

  double lowest() const;  // the reals at the ends of the format
  double highest() const;
};

// How the range of the codes follows from the distribution of the numbers.
//   minmax          all that was seen
//   moving_average  the ends of batches, averaged with the weight kNewBatch for each new one
//                   (Jacob et al., 2018)
//   percentile      all but a share of outliers at each end
//   mse             the range of least mean squared error of clipping and rounding together
//   output_error    that of least error of what the layers behind make of it, errors of different
//                   inputs being independent of each other: a number's error counts by the energy
//                   of the weights that multiply it, a weight's by that of its input
enum class RangeMethod { kMinMax, kMovingAverage, kPercentile, kMse, kOutputError };
std::string_view name(RangeMethod method);
RangeMethod parse_range_method(std::string_view text);  // throws Error naming the nearest

struct QuantizerRules {
  RangeMethod method = RangeMethod::kMse;
  double percentile = 99.99;  // of the numbers that a percentile range holds
  // Of the codes. uint<b> becomes int<b> where `symmetric` meets negative numbers; a format of
  // fixed point has its own scale.
  Format format = Format::integer(8, false);
  bool symmetric = false;  // zero = 0
  Format scale_format;     // f32, f16, bf16, or e8m0 for powers of two
  friend bool operator==(const QuantizerRules&, const QuantizerRules&) = default;
};

// int<b> or uint<b>, which take a zero point; fixed point, whose scale is its own.
bool is_affine(const Format& format);
bool has_own_scale(const Format& format);

// Throws Error where codes of the format cannot be chosen a scale for: no format, reals, booleans,
// more than 16 bits; and where the scale's format is none of those above.
void check_code_format(const Format& format);
void check_scale_format(const Format& format);

// A scale as a number of the scale's format (powers of two: the next above), never zero: 1 for 0.
double as_scale(double value, const Format& scale_format);

// The quantizer whose codes reach from `low` <= 0 to `high` >= 0 under the rules; the method is not
// asked. An empty range gives scale 1. Throws Error where the format has no negative codes but the
// range has, and where fixed point does not reach the ends.
Quantizer quantizer_over(double low, double high, const QuantizerRules& rules);

// By how much the errors of a value's channels count, in whole shares of kMost.
struct ChannelImportance {
  static constexpr double kMost = 1000;
  std::size_t axis = 0;                   // of the channels
  std::vector<std::int64_t> of_channels;  // empty: all the same
};

// What calibration saw of a value: its distribution, and the moving average of the ends of its
// batches.
class ValueStatistics {
 public:
  static constexpr double kNewBatch = 0.01;

  // Values of the batch that end_batch() ends; throws Error on a number that is not finite.
  void add(const Tensor& reals);
  // The same of channels that are not equally important.
  void add(const Tensor& reals, const ChannelImportance& importance);
  void end_batch();
  void assume(double value) { numbers_.add(value); }
  const Histogram& numbers() const { return numbers_; }
  // Each number as often as it is important, where that was said.
  const Histogram& weighted() const { return weighted_.count() > 0 ? weighted_ : numbers_; }
  double average_low() const { return low_; }  // at most 0
  double average_high() const { return high_; }

 private:
  Histogram numbers_, weighted_;
  double low_ = 0, high_ = 0;
  double batch_low_ = 0, batch_high_ = 0;
  bool has_batch_ = false;
};

// The quantizer that the rules choose for such numbers. Throws Error on a format or percentile out
// of range.
Quantizer choose_quantizer(const ValueStatistics& statistics, const QuantizerRules& rules);
// The same for a distribution alone; there is no moving average.
Quantizer choose_quantizer(const Histogram& numbers, const QuantizerRules& rules);

// Mean squared difference between a number and its code's real; numbers lie evenly in their bin.
double squared_error(const Histogram& numbers, const Quantizer& quantizer);

}  // namespace tandem
