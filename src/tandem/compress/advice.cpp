#include "tandem/compress/advice.h"

#include <algorithm>
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/compress/mac_gates.h"
#include "tandem/graph/operator.h"
#include "tandem/numerics/accumulator_bounds.h"

namespace tandem {
namespace {

double decibels(double energy, double noise) {
  constexpr double kMost = 200;  // where nothing is lost
  if (noise <= 0) return kMost;
  return std::min(kMost, 10 * std::log10(energy / noise));
}

// Mean square of the numbers of a distribution.
double energy_of(const Histogram& numbers) {
  double sum = 0;
  for (std::size_t i = 0; i < numbers.bins().size(); ++i) {
    const double low = numbers.low_edge(i), high = numbers.low_edge(i + 1);
    sum += static_cast<double>(numbers.bins()[i]) * (low * low + low * high + high * high) / 3;
  }
  return numbers.count() == 0 ? 0 : sum / static_cast<double>(numbers.count());
}

std::int64_t elements_of_sample(const TensorType& type) {
  std::int64_t count = 1;
  for (std::size_t d = 1; d < type.shape.size(); ++d)
    count *= type.shape[d].is_constant() ? type.shape[d].constant() : 1;
  return count;
}

void recommend(TensorAdvice& advice, double wanted) {
  const auto& formats = advice.formats;
  const auto better = [&](const FormatAdvice& a, const FormatAdvice& b) {
    const bool a_fits = a.sqnr_db >= wanted, b_fits = b.sqnr_db >= wanted;
    if (a_fits != b_fits) return a_fits;
    if (a_fits && a.bytes != b.bytes) return a.bytes < b.bytes;
    return a.sqnr_db > b.sqnr_db;
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < formats.size(); ++i)
    if (better(formats[i], formats[best])) best = i;
  advice.recommended = best;
  const FormatAdvice& chosen = formats[best];
  if (chosen.sqnr_db < wanted) {
    advice.reason = concat("none reaches ", shortest(wanted), " dB: the least error");
    return;
  }
  advice.reason = concat("fewest bytes of those above ", shortest(wanted), " dB");
  for (const FormatAdvice& other : formats) {
    if (other.format.bits() != chosen.format.bits() || other.format == chosen.format) continue;
    if (other.format.is_integer() && !chosen.format.is_integer())
      advice.reason += concat("; heavy tails (kurtosis ", static_cast<int>(advice.kurtosis),
                              ") cost ", other.format.name(), " more");
    break;
  }
}

std::optional<int> sum_bits(const Format& weights, const Format& values, std::int64_t terms) {
  constexpr int kMostBits = 16;  // of a code
  if (std::max(weights.bits(), values.bits()) > kMostBits) return std::nullopt;
  return exact_accumulator(weights, values, std::max<std::int64_t>(1, terms)).bits;
}

class Adviser {
 public:
  Adviser(const Recoder& recoder, const CompressRecipe& recipe, const AdviceRules& rules)
      : recoder_(recoder), network_(recoder.network()), recipe_(recipe), rules_(rules) {}

  std::vector<TensorAdvice> run() const {
    std::vector<TensorAdvice> all;
    for (const WeightSite& site : recoder_.sites().weights) all.push_back(of_weights(site));
    for (const ActivationSite& site : recoder_.sites().activations) {
      TensorAdvice advice = of_activations(site);
      if (!advice.formats.empty()) all.push_back(std::move(advice));
    }
    return all;
  }

 private:
  TensorAdvice of_weights(const WeightSite& site) const {
    const Graph& graph = network_.main();
    const Node& node = graph.nodes[site.node];
    const Tensor& weights = *constant_of(network_, graph, node.inputs[1]);
    TensorAdvice advice{site.layer, true, 0, 0, {}, 0, ""};
    Histogram numbers;
    numbers.add(weights);
    advice.kurtosis = numbers.kurtosis();
    const std::int64_t outputs = elements_of_sample(graph.values[node.outputs[0]].type);
    const std::int64_t channels = weights.shape()[static_cast<std::size_t>(site.axis)];
    advice.products = outputs * (weights.size() / std::max<std::int64_t>(1, channels));
    const WeightRows layout(weights.shape(), site.axis);
    const std::vector<double> rows = layout.from(weights);
    for (const Format& format : rules_.weights) {
      WeightRules rules = recipe_.weights;
      rules.format = format;
      const WeightGrids grids = choose_grids(rows, layout.columns(), rules);
      const WeightCodec codec(format);
      double energy = 0, noise = 0;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i);
        const WeightGrid& grid = grids.at(at / layout.columns(), at % layout.columns());
        const double code = codec.nearest(rows[i] / grid.scale + grid.zero);
        noise += std::pow((code - grid.zero) * grid.scale - rows[i], 2);
        energy += rows[i] * rows[i];
      }
      const std::int64_t bits = coded_bits(layout.rows(), layout.columns(), rules);
      const Format& values = recipe_.activations.format;
      advice.formats.push_back({format, decibels(energy, noise), (bits + 7) / 8,
                                multiply_add_gates(format, values),
                                sum_bits(format, values, layout.columns())});
    }
    recommend(advice, rules_.wanted_db);
    return advice;
  }

  TensorAdvice of_activations(const ActivationSite& site) const {
    TensorAdvice advice{site.name, false, 0, 0, {}, 0, ""};
    const ValueStatistics& statistics = recoder_.statistics(site);
    advice.kurtosis = statistics.numbers().kurtosis();
    const double energy = energy_of(statistics.numbers());
    const std::int64_t elements = elements_of_sample(network_.main().values[site.value].type);
    for (const Format& format : rules_.activations) {
      QuantizerRules rules = recipe_.activations;
      rules.format = format;
      try {
        const double noise =
            squared_error(statistics.numbers(), choose_quantizer(statistics, rules));
        advice.formats.push_back({format, decibels(energy, noise),
                                  (elements * format.bits() + 7) / 8,
                                  multiply_add_gates(recipe_.weights.format, format)});
      } catch (const Error&) {
        continue;  // it cannot code these numbers
      }
    }
    if (!advice.formats.empty()) recommend(advice, rules_.wanted_db);
    return advice;
  }

  const Recoder& recoder_;
  const Module& network_;
  const CompressRecipe& recipe_;
  const AdviceRules& rules_;
};

}  // namespace

AdviceRules default_advice_rules() {
  AdviceRules rules;
  for (const char* name :
       {"int8", "e4m3", "e3m4", "int6", "e3m2", "e2m3", "int4", "e2m1", "nf4", "ternary"})
    rules.weights.push_back(Format::parse(name));
  for (const char* name : {"uint8", "e4m3", "e3m4", "uint6", "e3m2", "e2m3", "uint4", "e2m1"})
    rules.activations.push_back(Format::parse(name));
  return rules;
}

std::vector<TensorAdvice> advise(const Recoder& recoder, const CompressRecipe& recipe,
                                 const AdviceRules& rules) {
  return Adviser(recoder, recipe, rules).run();
}

}  // namespace tandem
