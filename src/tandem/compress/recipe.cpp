#include "tandem/compress/recipe.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {

Format CompressRecipe::format_of(const WeightSite& site) const {
  const auto found = weight_formats.find(site.layer);
  return found == weight_formats.end() ? weights.format : found->second;
}

Format CompressRecipe::format_of(const ActivationSite& site) const {
  const auto found = activation_formats.find(site.name);
  if (found != activation_formats.end()) return found->second;
  const bool widens = site.residual && activations.format.bits() < residual_format.bits();
  return widens ? residual_format : activations.format;
}

WeightRules CompressRecipe::rules_of(const WeightSite& site) const {
  WeightRules rules = weights;
  rules.format = format_of(site);
  return rules;
}

namespace {

[[noreturn]] void no_match(const std::string& pattern, const std::vector<std::string>& layers) {
  throw Error("the pattern '", pattern, "' matches no layer", suggestion(pattern, layers));
}

}  // namespace

std::vector<std::string> matching_layers(const std::string& pattern,
                                         const std::vector<std::string>& layers) {
  std::vector<std::string> found;
  for (const std::string& layer : layers)
    if (matches(pattern, layer)) found.push_back(layer);
  if (found.empty()) no_match(pattern, layers);
  return found;
}

void set_weight_formats(CompressRecipe& recipe, const QuantizationSites& sites,
                        const std::vector<PatternFormat>& formats) {
  std::vector<std::string> layers;
  for (const WeightSite& site : sites.weights) layers.push_back(site.layer);
  for (const auto& [pattern, format] : formats)
    for (const std::string& layer : matching_layers(pattern, layers))
      recipe.weight_formats[layer] = format;
}

void set_activation_formats(CompressRecipe& recipe, const QuantizationSites& sites,
                            const std::vector<PatternFormat>& formats) {
  for (const auto& [pattern, format] : formats) {
    std::vector<std::string> known;
    bool found = false;
    for (const ActivationSite& site : sites.activations) {
      known.push_back(site.layer);
      if (!matches(pattern, site.name) && !matches(pattern, site.layer)) continue;
      recipe.activation_formats[site.name] = format;
      found = true;
    }
    if (!found) no_match(pattern, known);
  }
}

}  // namespace tandem
