#include "tandem/compress/recipe.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {

int CompressRecipe::bits_of(const WeightSite& site) const {
  const auto found = weight_widths.find(site.layer);
  return found == weight_widths.end() ? weight_bits : found->second;
}

int CompressRecipe::bits_of(const ActivationSite& site) const {
  const auto found = activation_widths.find(site.name);
  if (found != activation_widths.end()) return found->second;
  return site.residual ? std::max(activations.bits, residual_bits) : activations.bits;
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

void set_weight_widths(CompressRecipe& recipe, const QuantizationSites& sites,
                       const std::vector<PatternWidth>& widths) {
  std::vector<std::string> layers;
  for (const WeightSite& site : sites.weights) layers.push_back(site.layer);
  for (const auto& [pattern, bits] : widths)
    for (const std::string& layer : matching_layers(pattern, layers))
      recipe.weight_widths[layer] = bits;
}

void set_activation_widths(CompressRecipe& recipe, const QuantizationSites& sites,
                           const std::vector<PatternWidth>& widths) {
  for (const auto& [pattern, bits] : widths) {
    std::vector<std::string> known;
    bool found = false;
    for (const ActivationSite& site : sites.activations) {
      known.push_back(site.layer);
      if (!matches(pattern, site.name) && !matches(pattern, site.layer)) continue;
      recipe.activation_widths[site.name] = bits;
      found = true;
    }
    if (!found) no_match(pattern, known);
  }
}

}  // namespace tandem
