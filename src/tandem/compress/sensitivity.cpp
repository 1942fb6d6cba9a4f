#include "tandem/compress/sensitivity.h"

#include <algorithm>

#include "tandem/base/progress.h"
#include "tandem/solve/budget.h"

namespace tandem {

std::vector<WidthChoice> width_choices(const QuantizationSites& sites) {
  std::vector<WidthChoice> choices;
  for (const WeightSite& site : sites.weights) choices.push_back({true, site.layer, {site.layer}});
  std::map<std::size_t, std::size_t> places;  // of groups
  for (const ActivationSite& site : sites.activations) {
    const auto [place, is_new] = places.try_emplace(site.group, choices.size());
    if (is_new) choices.push_back({false, site.name, {}});
    choices[place->second].sites.push_back(site.name);
  }
  return choices;
}

CompressRecipe with_width(CompressRecipe recipe, const WidthChoice& choice, int bits) {
  for (const std::string& site : choice.sites)
    (choice.is_weights ? recipe.weight_widths : recipe.activation_widths)[site] = bits;
  return recipe;
}

int width_of(const CompressRecipe& recipe, const QuantizationSites& sites,
             const WidthChoice& choice) {
  int bits = 0;
  if (choice.is_weights) {
    for (const WeightSite& site : sites.weights)
      if (site.layer == choice.name) bits = recipe.bits_of(site);
    return bits;
  }
  for (const ActivationSite& site : sites.activations) {
    const auto& names = choice.sites;
    if (std::find(names.begin(), names.end(), site.name) != names.end())
      bits = std::max(bits, recipe.bits_of(site));
  }
  return bits;
}

std::vector<Sensitivity> measure_sensitivity(
    const QuantizationSites& sites, const CompressRecipe& recipe, const std::vector<int>& widths,
    const std::function<double(const CompressRecipe&)>& noise_of) {
  const auto choices = width_choices(sites);
  Progress progress("measuring sensitivities",
                    static_cast<std::int64_t>(choices.size() * widths.size()));
  const double base = noise_of(recipe);
  std::vector<Sensitivity> result;
  for (const WidthChoice& choice : choices) {
    Sensitivity sensitivity{choice, {}};
    for (const int bits : widths) {
      if (bits < width_of(recipe, sites, choice)) {
        const double noise = noise_of(with_width(recipe, choice, bits));
        sensitivity.noise[bits] = std::max(0.0, noise - base);
      }
      progress.advance();
    }
    result.push_back(std::move(sensitivity));
  }
  return result;
}

std::vector<CompressRecipe> narrowing_path(
    const QuantizationSites& sites, const CompressRecipe& recipe,
    const std::vector<Sensitivity>& sensitivities,
    const std::function<double(const CompressRecipe&)>& cost_of) {
  const double base = cost_of(recipe);
  std::vector<std::vector<BudgetOption>> items;
  std::vector<std::vector<int>> widths;
  for (const Sensitivity& sensitivity : sensitivities) {
    items.push_back({{base, 0}});
    widths.push_back({width_of(recipe, sites, sensitivity.choice)});
    for (const auto& [bits, noise] : sensitivity.noise) {
      items.back().push_back({cost_of(with_width(recipe, sensitivity.choice, bits)), noise});
      widths.back().push_back(bits);
    }
  }
  std::vector<CompressRecipe> path;
  for (const Allocation& allocation : budget_path(items)) {
    CompressRecipe step = recipe;
    for (std::size_t i = 0; i < items.size(); ++i)
      step = with_width(step, sensitivities[i].choice, widths[i][allocation.choice[i]]);
    path.push_back(std::move(step));
  }
  return path;
}

std::int64_t weight_bits_of(const QuantizationSites& sites, const CompressRecipe& recipe) {
  std::int64_t bits = 0;
  for (const WeightSite& site : sites.weights) bits += site.elements * recipe.bits_of(site);
  return bits;
}

}  // namespace tandem
