#include "studies/channels.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tandem/base/random.h"
#include "tandem/compress/quantizer.h"

#include "studies/noise.h"

namespace tandem {
namespace {

// What a quantizer of integers makes of a number.
double coded_by(const Quantizer& q, double x) {
  const IntegerRange range = q.format.integer_range();
  const double code = std::clamp(std::nearbyint(x / q.scale) + static_cast<double>(q.zero),
                                 static_cast<double>(range.min), static_cast<double>(range.max));
  return (code - static_cast<double>(q.zero)) * q.scale;
}

struct Ends {
  double low = 0, high = 0;
};

Ends ends_of(const Activations& a, std::int64_t first, std::int64_t last) {
  Ends ends;
  for (std::int64_t t = 0; t < a.tokens; ++t) {
    for (std::int64_t c = first; c < last; ++c) {
      const double x = a.values[static_cast<std::size_t>(t * a.channels + c)];
      ends.low = std::min(ends.low, x);
      ends.high = std::max(ends.high, x);
    }
  }
  return ends;
}

QuantizerRules rules_of(int bits) {
  QuantizerRules rules;
  rules.format = Format::integer(bits, false);
  return rules;
}

double product_error(const Activations& a, const std::vector<Quantizer>& channels) {
  const CounterRandom random(4, "weights");
  const auto n = static_cast<std::size_t>(a.channels);
  std::vector<double> weights(n * n);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = random.normal(i);
  std::vector<double> exact, approximate;
  for (std::int64_t t = 0; t < a.tokens; ++t) {
    std::vector<double> right(n), wrong(n);
    for (std::size_t c = 0; c < n; ++c) {
      const double x = a.values[static_cast<std::size_t>(t) * n + c];
      const double y = coded_by(channels[c], x);
      for (std::size_t o = 0; o < n; ++o) {
        right[o] += x * weights[c * n + o];
        wrong[o] += y * weights[c * n + o];
      }
    }
    exact.insert(exact.end(), right.begin(), right.end());
    approximate.insert(approximate.end(), wrong.begin(), wrong.end());
  }
  return relative_error(exact, approximate);
}

}  // namespace

Activations gaussian_channels(std::int64_t tokens, const std::vector<double>& deviations,
                              std::uint64_t seed) {
  Activations a{tokens, static_cast<std::int64_t>(deviations.size()), {}};
  const CounterRandom random(seed, "activations");
  for (std::int64_t t = 0; t < tokens; ++t)
    for (const double deviation : deviations)
      a.values.push_back(deviation * random.normal(a.values.size()));
  return a;
}

double layer_wise_error(const Activations& a, int bits) {
  const Ends ends = ends_of(a, 0, a.channels);
  const Quantizer one = quantizer_over(ends.low, ends.high, rules_of(bits));
  return product_error(a, std::vector<Quantizer>(static_cast<std::size_t>(a.channels), one));
}

double factor_error(const Activations& a, int bits, int most) {
  const Ends ends = ends_of(a, 0, a.channels);
  const Quantizer base =
      quantizer_over(std::ldexp(ends.low, -most), std::ldexp(ends.high, -most), rules_of(bits));
  std::vector<Quantizer> channels;
  for (std::int64_t c = 0; c < a.channels; ++c) {
    Quantizer best = base;
    double least = std::numeric_limits<double>::infinity();
    for (int k = 0; k <= most; ++k) {
      Quantizer tried = base;
      tried.scale = std::ldexp(base.scale, k);
      double error = 0;
      for (std::int64_t t = 0; t < a.tokens; ++t) {
        const double x = a.values[static_cast<std::size_t>(t * a.channels + c)];
        error += std::pow(x - coded_by(tried, x), 2);
      }
      if (error >= least) continue;
      least = error;
      best = tried;
    }
    channels.push_back(best);
  }
  return product_error(a, channels);
}

double channel_wise_error(const Activations& a, int bits) {
  std::vector<Quantizer> channels;
  for (std::int64_t c = 0; c < a.channels; ++c) {
    const Ends ends = ends_of(a, c, c + 1);
    channels.push_back(quantizer_over(ends.low, ends.high, rules_of(bits)));
  }
  return product_error(a, channels);
}

}  // namespace tandem
