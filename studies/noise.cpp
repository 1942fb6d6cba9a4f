#include "studies/noise.h"

#include <algorithm>
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/base/random.h"
#include "tandem/numerics/code_grid.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

std::vector<double> sample(std::string_view distribution, std::size_t count, std::uint64_t seed) {
  RandomSequence random(seed, distribution);
  const auto one = [&]() -> double {
    if (distribution == "uniform") return 2 * random.uniform() - 1;
    if (distribution == "gaussian") return random.normal();
    if (distribution == "laplace") {
      const double u = random.uniform() - 0.5;
      return (u < 0 ? 1 : -1) * std::log1p(-2 * std::abs(u)) / std::sqrt(2.0);
    }
    ensure(distribution == "t3" || distribution == "t5", "an unknown distribution");
    const int freedom = distribution == "t3" ? 3 : 5;
    const double z = random.normal();
    double chi = 0;
    for (int i = 0; i < freedom; ++i) {
      const double n = random.normal();
      chi += n * n;
    }
    return z / std::sqrt(chi / freedom);
  };
  std::vector<double> numbers(count);
  for (double& number : numbers) number = one();
  return numbers;
}

double sqnr(std::span<const double> numbers, std::span<const double> others) {
  double energy = 0, noise = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    energy += numbers[i] * numbers[i];
    noise += (numbers[i] - others[i]) * (numbers[i] - others[i]);
  }
  return 10 * std::log10(energy / noise);
}

std::vector<double> coded(std::span<const double> numbers, const std::string& format) {
  WeightRules rules = weight_rules(format, "tensor", RangeMethod::kMse);
  return coded_as_weights(numbers, static_cast<std::int64_t>(numbers.size()), rules);
}

std::vector<double> coded_as_weights(std::span<const double> numbers, std::int64_t columns,
                                     const WeightRules& rules) {
  std::vector<double> rows(numbers.begin(), numbers.end());
  const WeightGrids grids = choose_grids(rows, columns, rules);
  const WeightCodec codec(rules.format);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    const WeightGrid& grid = grids.at(at / columns, at % columns);
    rows[i] = (codec.nearest(rows[i] / grid.scale + grid.zero) - grid.zero) * grid.scale;
  }
  return rows;
}

WeightRules weight_rules(const std::string& format, const std::string& granularity,
                         RangeMethod method) {
  WeightRules rules;
  rules.format = Format::parse(format);
  rules.granularity = parse_granularity(granularity);
  rules.method = method;
  return rules;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double relative_error(std::span<const double> exact, std::span<const double> approximate) {
  return std::pow(10.0, -sqnr(exact, approximate) / 20);
}

}  // namespace tandem
