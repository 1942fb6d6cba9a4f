#include "tandem/compress/sensitivity.h"

#include <algorithm>

#include "tandem/base/progress.h"
#include "tandem/solve/budget.h"

namespace tandem {

std::vector<FormatChoice> format_choices(const QuantizationSites& sites) {
  std::vector<FormatChoice> choices;
  for (const WeightSite& site : sites.weights) choices.push_back({true, site.layer, {site.layer}});
  std::map<std::size_t, std::size_t> places;  // of groups
  for (const ActivationSite& site : sites.activations) {
    const auto [place, is_new] = places.try_emplace(site.group, choices.size());
    if (is_new) choices.push_back({false, site.name, {}});
    choices[place->second].sites.push_back(site.name);
  }
  return choices;
}

CompressRecipe with_format(CompressRecipe recipe, const FormatChoice& choice,
                           const Format& format) {
  auto& formats = choice.is_weights ? recipe.weight_formats : recipe.activation_formats;
  for (const std::string& site : choice.sites) formats[site] = format;
  return recipe;
}

Format format_of(const CompressRecipe& recipe, const QuantizationSites& sites,
                 const FormatChoice& choice) {
  Format format;
  if (choice.is_weights) {
    for (const WeightSite& site : sites.weights)
      if (site.layer == choice.name) format = recipe.format_of(site);
    return format;
  }
  bool found = false;
  for (const ActivationSite& site : sites.activations) {
    if (std::ranges::find(choice.sites, site.name) == choice.sites.end()) continue;
    const Format own = recipe.format_of(site);
    if (!found || own.bits() > format.bits()) format = own;
    found = true;
  }
  return format;
}

CandidateFormats narrower_integers(const CompressRecipe& recipe) {
  CandidateFormats candidates;
  const auto add = [](std::vector<Format>& list, const Format& format) {
    if (!format.is_integer()) return;
    for (int bits = 2; bits < format.bits(); ++bits)
      list.push_back(Format::integer(bits, format.is_signed()));
  };
  add(candidates.weights, recipe.weights.format);
  add(candidates.activations, recipe.activations.format);
  return candidates;
}

std::vector<Sensitivity> measure_sensitivity(
    const QuantizationSites& sites, const CompressRecipe& recipe,
    const CandidateFormats& candidates,
    const std::function<double(const CompressRecipe&)>& noise_of) {
  const auto choices = format_choices(sites);
  const auto formats_for = [&](const FormatChoice& choice) -> const std::vector<Format>& {
    return choice.is_weights ? candidates.weights : candidates.activations;
  };
  std::size_t total = 0;
  for (const FormatChoice& choice : choices) total += formats_for(choice).size();
  Progress progress("measuring sensitivities", static_cast<std::int64_t>(total));
  const double base = noise_of(recipe);
  std::vector<Sensitivity> result;
  for (const FormatChoice& choice : choices) {
    Sensitivity sensitivity{choice, {}};
    for (const Format& format : formats_for(choice)) {
      if (format.bits() < format_of(recipe, sites, choice).bits()) {
        const double noise = noise_of(with_format(recipe, choice, format));
        sensitivity.noise.push_back({format, std::max(0.0, noise - base)});
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
  std::vector<std::vector<Format>> formats;
  for (const Sensitivity& sensitivity : sensitivities) {
    items.push_back({{base, 0}});
    formats.push_back({format_of(recipe, sites, sensitivity.choice)});
    for (const auto& [format, noise] : sensitivity.noise) {
      items.back().push_back({cost_of(with_format(recipe, sensitivity.choice, format)), noise});
      formats.back().push_back(format);
    }
  }
  std::vector<CompressRecipe> path;
  for (const Allocation& allocation : budget_path(items)) {
    CompressRecipe step = recipe;
    for (std::size_t i = 0; i < items.size(); ++i)
      step = with_format(step, sensitivities[i].choice, formats[i][allocation.choice[i]]);
    path.push_back(std::move(step));
  }
  return path;
}

std::int64_t weight_bits_of(const QuantizationSites& sites, const CompressRecipe& recipe) {
  std::int64_t bits = 0;
  for (const WeightSite& site : sites.weights)
    bits += coded_bits(site.channels, site.elements / std::max<std::int64_t>(1, site.channels),
                       recipe.rules_of(site));
  return bits;
}

}  // namespace tandem
