#include "tandem/compress/quantizer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

constexpr int kLeastBits = 2, kMostBits = 16;

double nearest_power_of_two_above(double value) { return std::exp2(std::ceil(std::log2(value))); }

// A scale as the f32 number that the graph will hold.
double as_scale(double value, bool power_of_two) {
  constexpr auto least = static_cast<double>(std::numeric_limits<float>::min());
  if (!(value > least)) return value > 0 ? least : 1;
  return power_of_two ? nearest_power_of_two_above(value)
                      : static_cast<double>(static_cast<float>(value));
}

}  // namespace

double UniformQuantizer::lowest() const {
  return scale * static_cast<double>(format.integer_range().min - zero);
}

double UniformQuantizer::highest() const {
  return scale * static_cast<double>(format.integer_range().max - zero);
}

std::string_view name(RangeMethod method) {
  switch (method) {
    case RangeMethod::kMinMax: return "minmax";
    case RangeMethod::kPercentile: return "percentile";
    case RangeMethod::kMse: return "mse";
  }
  throw InternalError("unknown range method");
}

RangeMethod parse_range_method(std::string_view text) {
  std::vector<std::string> names;
  for (const auto method : {RangeMethod::kMinMax, RangeMethod::kPercentile, RangeMethod::kMse}) {
    if (name(method) == text) return method;
    names.emplace_back(name(method));
  }
  throw Error("unknown calibration method '", text, "'", suggestion(text, names));
}

UniformQuantizer quantizer_over(double low, double high, const QuantizerRules& rules) {
  ensure(low <= 0 && high >= 0 && std::isfinite(low) && std::isfinite(high),
         "a range of codes without zero");
  const auto codes = static_cast<double>((std::int64_t{1} << rules.bits) - 1);
  UniformQuantizer result;
  if (low == 0) {
    result.format = Format::integer(rules.bits, rules.signed_codes);
    if (rules.signed_codes && rules.symmetric) {
      result.scale = as_scale(high / std::floor(codes / 2), rules.power_of_two);
      return result;
    }
    result.zero = result.format.integer_range().min;
    result.scale = as_scale(high / codes, rules.power_of_two);
    return result;
  }
  if (rules.symmetric) {
    result.format = Format::integer(rules.bits, true);
    result.scale = as_scale(std::max(-low, high) / std::floor(codes / 2), rules.power_of_two);
    return result;
  }
  result.format = Format::integer(rules.bits, rules.signed_codes);
  result.scale = as_scale((high - low) / codes, rules.power_of_two);
  const IntegerRange range = result.format.integer_range();
  const double steps = std::clamp(std::nearbyint(-low / result.scale), 0.0, codes);
  result.zero = range.min + static_cast<std::int64_t>(steps);
  return result;
}

// ---- Expected error --------------------------------------------------------------------------

namespace {

// The integral from 0 to u of the squared distance of t to the nearest integer.
double rounding_integral(double u) {
  const double n = std::nearbyint(u), d = u - n;
  return n / 12 + d * d * d / 3;
}

// The same with t clamped to codes low..high first.
double error_integral(double u, double low, double high) {
  if (u < low) return rounding_integral(low) - std::pow(low - u, 3) / 3;
  if (u > high) return rounding_integral(high) + std::pow(u - high, 3) / 3;
  return rounding_integral(u);
}

double error_at(double u, double low, double high) {
  const double code = std::clamp(std::nearbyint(u), low, high);
  return (u - code) * (u - code);
}

}  // namespace

double squared_error(const Histogram& numbers, const UniformQuantizer& quantizer) {
  if (numbers.count() == 0) return 0;
  const IntegerRange range = quantizer.format.integer_range();
  const auto low = static_cast<double>(range.min - quantizer.zero);
  const auto high = static_cast<double>(range.max - quantizer.zero);
  double sum = 0;
  for (std::size_t i = 0; i < numbers.bins().size(); ++i) {
    if (numbers.bins()[i] == 0) continue;
    const double from = std::max(numbers.low_edge(i), numbers.min()) / quantizer.scale;
    const double to = std::min(numbers.low_edge(i + 1), numbers.max()) / quantizer.scale;
    const double mean =
        to > from ? (error_integral(to, low, high) - error_integral(from, low, high)) / (to - from)
                  : error_at(to, low, high);
    sum += static_cast<double>(numbers.bins()[i]) * std::max(0.0, mean);
  }
  return sum / static_cast<double>(numbers.count()) * quantizer.scale * quantizer.scale;
}

// ---- Range search ----------------------------------------------------------------------------

namespace {

struct Candidate {
  double low = 0, high = 0;
  double error = std::numeric_limits<double>::infinity();
};

// Tries ends of the range that are shares of the given one; the best so far is kept. `moves` says
// which ends shrink.
void search_shares(const Histogram& numbers, const QuantizerRules& rules, const Candidate& from,
                   bool move_low, bool move_high, double first, double last, int steps,
                   Candidate& best) {
  for (int i = 0; i <= steps; ++i) {
    const double share = first + (last - first) * i / steps;
    Candidate tried{move_low ? from.low * share : from.low,
                    move_high ? from.high * share : from.high};
    tried.error = squared_error(numbers, quantizer_over(tried.low, tried.high, rules));
    if (tried.error < best.error) best = tried;
  }
}

// Coarse, then fine, around the best.
void search_line(const Histogram& numbers, const QuantizerRules& rules, bool move_low,
                 bool move_high, Candidate& best) {
  constexpr int kCoarse = 64, kFine = 16;
  const Candidate whole{move_low ? numbers.min() : best.low, move_high ? numbers.max() : best.high};
  search_shares(numbers, rules, whole, move_low, move_high, 1, 1.0 / kCoarse, kCoarse - 1, best);
  const Candidate coarse = best;
  search_shares(numbers, rules, coarse, move_low, move_high, 1 - 1.0 / kCoarse, 1 + 1.0 / kCoarse,
                kFine, best);
}

Candidate least_error(const Histogram& numbers, const QuantizerRules& rules) {
  Candidate best{numbers.min(), numbers.max()};
  best.error = squared_error(numbers, quantizer_over(best.low, best.high, rules));
  if (rules.symmetric || numbers.min() == 0 || numbers.max() == 0) {
    search_line(numbers, rules, true, true, best);
    return best;
  }
  constexpr int kRounds = 3;
  for (int round = 0; round < kRounds; ++round) {
    const double before = best.error;
    search_line(numbers, rules, true, true, best);
    search_line(numbers, rules, true, false, best);
    search_line(numbers, rules, false, true, best);
    if (!(best.error < before)) break;
  }
  return best;
}

void check_bits(int bits) {
  if (bits < kLeastBits || bits > kMostBits)
    throw Error("a width of ", bits, " bits; codes have ", kLeastBits, " to ", kMostBits, " bits");
}

}  // namespace

UniformQuantizer choose_quantizer(const Histogram& numbers, const QuantizerRules& rules) {
  check_bits(rules.bits);
  if (!(rules.percentile > 50 && rules.percentile <= 100))
    throw Error("a percentile of ", rules.percentile, "; it must be above 50 and at most 100");
  switch (rules.method) {
    case RangeMethod::kMinMax: return quantizer_over(numbers.min(), numbers.max(), rules);
    case RangeMethod::kPercentile: {
      const double share = rules.percentile / 100;
      if (rules.symmetric && numbers.min() < 0) {
        const double reach = numbers.magnitude_quantile(share);
        return quantizer_over(-reach, reach, rules);
      }
      return quantizer_over(std::min(0.0, numbers.quantile(1 - share)),
                            std::max(0.0, numbers.quantile(share)), rules);
    }
    case RangeMethod::kMse: {
      const Candidate best = least_error(numbers, rules);
      return quantizer_over(best.low, best.high, rules);
    }
  }
  throw InternalError("unknown range method");
}

// ---- Weights ---------------------------------------------------------------------------------

namespace {

double weight_error(const std::vector<double>& weights, double scale, double greatest) {
  double sum = 0;
  for (const double w : weights) {
    const double code = std::clamp(std::nearbyint(w / scale), -greatest, greatest);
    sum += (w - code * scale) * (w - code * scale);
  }
  return sum;
}

double weight_scale(const std::vector<double>& weights, int bits, RangeMethod method,
                    bool power_of_two) {
  const auto greatest = static_cast<double>((std::int64_t{1} << (bits - 1)) - 1);
  double reach = 0;
  for (const double w : weights) reach = std::max(reach, std::abs(w));
  double best = as_scale(reach / greatest, power_of_two);
  if (method != RangeMethod::kMse || reach == 0) return best;
  constexpr int kSteps = 128;
  double least = weight_error(weights, best, greatest);
  for (int i = kSteps - 1; i > 0; --i) {
    const double scale = as_scale(reach / greatest * i / kSteps, power_of_two);
    const double error = weight_error(weights, scale, greatest);
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return best;
}

}  // namespace

CodedWeights quantize_weights(const Tensor& weights, std::int64_t axis, int bits,
                              RangeMethod method, bool power_of_two) {
  check_bits(bits);
  const auto reals = weights.to_reals();
  for (const double w : reals)
    if (!std::isfinite(w)) throw Error("a weight is ", w);
  const Shape& shape = weights.shape();
  const bool split = axis != kPerTensor;
  ensure(!split || (axis >= 0 && axis < weights.rank()), "weights have no such axis");
  std::int64_t channels = 1, stride = 1;
  if (split) {
    channels = shape[static_cast<std::size_t>(axis)];
    stride = row_major_strides(shape)[static_cast<std::size_t>(axis)];
  }
  const auto channel_of = [&](std::size_t i) {
    return static_cast<std::size_t>(static_cast<std::int64_t>(i) / stride % channels);
  };
  std::vector<std::vector<double>> groups(static_cast<std::size_t>(channels));
  for (std::size_t i = 0; i < reals.size(); ++i) groups[channel_of(i)].push_back(reals[i]);
  std::vector<double> scales;
  for (const auto& group : groups)
    scales.push_back(weight_scale(group, bits, method, power_of_two));
  const std::int64_t greatest = (std::int64_t{1} << (bits - 1)) - 1;
  std::vector<std::int64_t> codes;
  for (std::size_t i = 0; i < reals.size(); ++i) {
    const auto code = static_cast<std::int64_t>(std::nearbyint(reals[i] / scales[channel_of(i)]));
    codes.push_back(std::clamp(code, -greatest, greatest));
  }
  Shape scale_shape;
  if (split) {
    scale_shape.assign(shape.size(), 1);
    scale_shape[static_cast<std::size_t>(axis)] = channels;
  }
  return {Tensor::from_integers(Format::integer(bits, true), shape, codes),
          Tensor::from_reals(Format(), scale_shape, scales)};
}

}  // namespace tandem
