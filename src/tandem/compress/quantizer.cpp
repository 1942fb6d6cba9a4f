#include "tandem/compress/quantizer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/numerics/code_grid.h"

namespace tandem {
namespace {

constexpr int kMostBits = 16;

}  // namespace

bool is_affine(const Format& format) {
  return format == Format::integer(format.bits(), format.is_signed());
}

bool has_own_scale(const Format& format) { return format.is_uniform() && format.exponent() != 0; }

void check_code_format(const Format& format) {
  constexpr int kWidestFloat = 8;
  if (format.is_float() && format.bits() > kWidestFloat && format.bits() < kMostBits)
    throw Error("format ", format.name(), ": codes of floats have at most ", kWidestFloat, " bits");
  const bool is_real = format.is_float() && format.bits() >= kMostBits;
  if (format.is_boolean() || is_real || format == Format::parse("e8m0"))
    throw Error("format ", format.name(), " is not one of codes (`tandem list formats`)");
  if (format.bits() > kMostBits ||
      (format.is_integer() && format.bits() < 2 && format != Format::parse("bipolar")))
    throw Error("format ", format.name(), ": codes have 2 to ", kMostBits, " bits");
}

void check_scale_format(const Format& format) {
  for (const char* name : {"f32", "f16", "bf16", "e8m0"})
    if (format == Format::parse(name)) return;
  throw Error("scales of format ", format.name(), "; they are f32, f16, bf16 or e8m0");
}

double as_scale(double value, const Format& scale_format) {
  constexpr auto least = static_cast<double>(std::numeric_limits<float>::min());
  if (!(value > 0)) return 1;
  if (scale_format == Format::parse("e8m0"))
    return std::exp2(std::clamp(std::ceil(std::log2(value)), -126.0, 127.0));
  const double rounded = scale_format.decode(scale_format.encode(value));
  if (!std::isfinite(rounded))
    throw Error("a scale of ", value, " is beyond ", scale_format.name(), "; use --scales f32");
  return std::max(rounded, scale_format == Format::parse("f16") ? 0x1p-24 : least);
}

double Quantizer::lowest() const {
  if (!format.is_uniform()) return scale * CodeGrid::of(format).least();
  const double least =
      std::ldexp(static_cast<double>(format.integer_range().min), format.exponent());
  return scale * (least - static_cast<double>(zero));
}

double Quantizer::highest() const {
  if (!format.is_uniform()) return scale * CodeGrid::of(format).greatest();
  const double most =
      std::ldexp(static_cast<double>(format.integer_range().max), format.exponent());
  return scale * (most - static_cast<double>(zero));
}

std::string_view name(RangeMethod method) {
  switch (method) {
    case RangeMethod::kMinMax: return "minmax";
    case RangeMethod::kMovingAverage: return "moving_average";
    case RangeMethod::kPercentile: return "percentile";
    case RangeMethod::kMse: return "mse";
    case RangeMethod::kOutputError: return "output_error";
  }
  throw InternalError("unknown range method");
}

RangeMethod parse_range_method(std::string_view text) {
  std::vector<std::string> names;
  for (const auto method :
       {RangeMethod::kMinMax, RangeMethod::kMovingAverage, RangeMethod::kPercentile,
        RangeMethod::kMse, RangeMethod::kOutputError}) {
    if (name(method) == text) return method;
    names.emplace_back(name(method));
  }
  throw Error("unknown calibration method '", text, "'", suggestion(text, names));
}

namespace {

Quantizer integers_over(double low, double high, const QuantizerRules& rules) {
  const int bits = rules.format.bits();
  const bool is_signed = rules.format.is_signed();
  const auto codes = static_cast<double>((std::int64_t{1} << bits) - 1);
  Quantizer result;
  if (low == 0) {
    result.format = Format::integer(bits, is_signed);
    if (is_signed && rules.symmetric) {
      result.scale = as_scale(high / std::floor(codes / 2), rules.scale_format);
      return result;
    }
    result.zero = result.format.integer_range().min;
    result.scale = as_scale(high / codes, rules.scale_format);
    return result;
  }
  if (rules.symmetric) {
    result.format = Format::integer(bits, true);
    result.scale = as_scale(std::max(-low, high) / std::floor(codes / 2), rules.scale_format);
    return result;
  }
  result.format = Format::integer(bits, is_signed);
  result.scale = as_scale((high - low) / codes, rules.scale_format);
  const IntegerRange range = result.format.integer_range();
  const double steps = std::clamp(std::nearbyint(-low / result.scale), 0.0, codes);
  result.zero = range.min + static_cast<std::int64_t>(steps);
  return result;
}

Quantizer fixed_point_over(double low, double high, const QuantizerRules& rules) {
  const Quantizer result{rules.format, 1, 0};
  const double half_step = std::ldexp(0.5, rules.format.exponent());
  if (low < result.lowest() - half_step || high > result.highest() + half_step) {
    throw Error(rules.format.name(), " holds ", result.lowest(), " to ", result.highest(),
                ", but the numbers reach from ", low, " to ", high,
                "; give it fewer fraction bits or more bits");
  }
  return result;
}

}  // namespace

Quantizer quantizer_over(double low, double high, const QuantizerRules& rules) {
  ensure(low <= 0 && high >= 0 && std::isfinite(low) && std::isfinite(high),
         "a range of codes without zero");
  const Format& format = rules.format;
  if (has_own_scale(format)) return fixed_point_over(low, high, rules);
  if (is_affine(format)) return integers_over(low, high, rules);
  const double least =
      format.is_uniform() ? Quantizer{format, 1, 0}.lowest() : CodeGrid::of(format).least();
  const double greatest =
      format.is_uniform() ? Quantizer{format, 1, 0}.highest() : CodeGrid::of(format).greatest();
  if (low < 0 && least >= 0)
    throw Error(format.name(), " has no negative codes, but the numbers reach down to ", low);
  const double reach = std::max(low < 0 ? low / least : 0.0, high / greatest);
  return {format, as_scale(reach, rules.scale_format), 0};
}

// ---- Expected error --------------------------------------------------------------------------

namespace {

// Ties to even, for numbers below 2^51; nearbyint() is a call of the library.
double nearest_integer(double u) {
  constexpr double kBeyond = 0x1.8p52;  // where neighbours are 1 apart
  return (u + kBeyond) - kBeyond;
}

double cube(double x) { return x * x * x; }

// The integral from 0 to u of the squared distance of t to the nearest integer.
double rounding_integral(double u) {
  const double n = nearest_integer(u), d = u - n;
  return n / 12 + cube(d) / 3;
}

// The same with t clamped to codes low..high first.
double error_integral(double u, double low, double high) {
  if (u < low) return rounding_integral(low) - cube(low - u) / 3;
  if (u > high) return rounding_integral(high) + cube(u - high) / 3;
  return rounding_integral(u);
}

double error_at(double u, double low, double high) {
  const double code = std::clamp(std::nearbyint(u), low, high);
  return (u - code) * (u - code);
}

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

// The mean of the squared error over bins of numbers in units of the scale, or some mean above
// `enough`.
template <typename Integral, typename Error>
double mean_error(const Histogram& numbers, double scale, double enough, const Integral& integral,
                  const Error& error) {
  if (numbers.count() == 0) return 0;
  const std::vector<std::int64_t>& bins = numbers.bins();
  const double unit = scale * scale / static_cast<double>(numbers.count());
  double sum = static_cast<double>(numbers.zeros()) * error(0.0);
  double edge = 0;  // the integral at the lower end of bin `known`
  std::size_t known = bins.size();
  // From the greatest numbers on: they are clipped first, so that much is known early.
  for (std::size_t i = bins.size(); i-- > 0;) {
    if (bins[i] == 0) continue;
    const auto count = static_cast<double>(bins[i]);
    const double from = std::max(numbers.low_edge(i), numbers.min()) / scale;
    const double to = std::min(numbers.low_edge(i + 1), numbers.max()) / scale;
    if (!(to > from)) {
      sum += count * error(to);
      continue;
    }
    const double upper = known == i + 1 ? edge : integral(to);
    edge = integral(from);
    known = i;
    sum += count * std::max(0.0, (upper - edge) / (to - from));
    if (sum * unit > enough) break;
  }
  return sum * unit;
}

double error_of(const Histogram& numbers, const Quantizer& quantizer, double enough) {
  if (!quantizer.format.is_uniform()) {
    const CodeGrid& grid = CodeGrid::of(quantizer.format);
    return mean_error(
        numbers, quantizer.scale, enough, [&](double u) { return grid.error_integral(u); },
        [&](double u) { return (u - grid.nearest(u)) * (u - grid.nearest(u)); });
  }
  const IntegerRange range = quantizer.format.integer_range();
  const auto low = static_cast<double>(range.min - quantizer.zero);
  const auto high = static_cast<double>(range.max - quantizer.zero);
  const double step = std::ldexp(quantizer.scale, quantizer.format.exponent());
  if (quantizer.format == Format::parse("bipolar")) {
    const auto integral = [](double u) {
      return (cube(std::abs(u) - 1) + 1) / 3 * (u < 0 ? -1 : 1);
    };
    return mean_error(numbers, step, enough, integral,
                      [](double u) { return (std::abs(u) - 1) * (std::abs(u) - 1); });
  }
  return mean_error(
      numbers, step, enough, [&](double u) { return error_integral(u, low, high); },
      [&](double u) { return error_at(u, low, high); });
}

}  // namespace

double squared_error(const Histogram& numbers, const Quantizer& quantizer) {
  return error_of(numbers, quantizer, kNoLimit);
}

// ---- Range search ----------------------------------------------------------------------------

namespace {

struct Candidate {
  double low = 0, high = 0;
  double error = kNoLimit;
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
    tried.error = error_of(numbers, quantizer_over(tried.low, tried.high, rules), best.error);
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
  if (!is_affine(rules.format) || rules.symmetric || numbers.min() == 0 || numbers.max() == 0) {
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

}  // namespace

void ValueStatistics::add(const Tensor& reals) {
  numbers_.add(reals);
  const auto take = [&](std::span<const float> values) {
    float low = 0, high = 0;
    for (const float value : values) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
    batch_low_ = std::min(batch_low_, static_cast<double>(low));
    batch_high_ = std::max(batch_high_, static_cast<double>(high));
  };
  if (reals.format().storage() == Storage::kF32)
    take(reals.data<float>());
  else
    take(reals.to_floats());
}

void ValueStatistics::add(const Tensor& reals, const ChannelImportance& importance) {
  add(reals);
  const auto& shares = importance.of_channels;
  const std::int64_t stride =
      shares.empty() ? 1 : row_major_strides(reals.shape())[importance.axis];
  const auto values = reals.to_floats();
  const auto channels = static_cast<std::int64_t>(shares.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::int64_t channel =
        channels == 0 ? 0 : static_cast<std::int64_t>(i) / stride % channels;
    const auto most = static_cast<std::int64_t>(ChannelImportance::kMost);
    weighted_.add(static_cast<double>(values[i]),
                  channels == 0 ? most : shares[static_cast<std::size_t>(channel)]);
  }
}

void ValueStatistics::end_batch() {
  const double share = has_batch_ ? kNewBatch : 1;
  low_ += share * (batch_low_ - low_);
  high_ += share * (batch_high_ - high_);
  batch_low_ = batch_high_ = 0;
  has_batch_ = true;
}

Quantizer choose_quantizer(const ValueStatistics& statistics, const QuantizerRules& rules) {
  if (rules.method == RangeMethod::kOutputError)
    return choose_quantizer(statistics.weighted(), rules);
  if (rules.method != RangeMethod::kMovingAverage)
    return choose_quantizer(statistics.numbers(), rules);
  check_code_format(rules.format);
  return quantizer_over(statistics.average_low(), statistics.average_high(), rules);
}

Quantizer choose_quantizer(const Histogram& numbers, const QuantizerRules& rules) {
  check_code_format(rules.format);
  check_scale_format(rules.scale_format);
  if (!(rules.percentile > 50 && rules.percentile <= 100))
    throw Error("a percentile of ", rules.percentile, "; it must be above 50 and at most 100");
  if (has_own_scale(rules.format)) return quantizer_over(numbers.min(), numbers.max(), rules);
  switch (rules.method) {
    case RangeMethod::kMovingAverage:
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
    case RangeMethod::kOutputError:
    case RangeMethod::kMse: {
      const Candidate best = least_error(numbers, rules);
      return quantizer_over(best.low, best.high, rules);
    }
  }
  throw InternalError("unknown range method");
}

}  // namespace tandem
