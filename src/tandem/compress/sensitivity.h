#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tandem/compress/quantize_network.h"

namespace tandem {

// Everything that has a width of its own: the weights of a layer, or the activations of a group.
struct WidthChoice {
  bool is_weights = false;
  std::string name;                // of the layer, or of the group's first value
  std::vector<std::string> sites;  // WeightSite::layer or ActivationSite::name
};
std::vector<WidthChoice> width_choices(const QuantizationSites& sites);

// A recipe in which one choice has another width.
CompressRecipe with_width(CompressRecipe recipe, const WidthChoice& choice, int bits);
int width_of(const CompressRecipe& recipe, const QuantizationSites& sites,
             const WidthChoice& choice);

// How much noise the outputs gain when one choice alone leaves the recipe for another width.
struct Sensitivity {
  WidthChoice choice;
  std::map<int, double> noise;  // by width: relative noise of the outputs minus the recipe's own
};

// `noise_of` measures a recipe (relative_noise on samples for selection). Each width below the
// recipe's is measured for each choice; what is measured as less noise counts as none.
std::vector<Sensitivity> measure_sensitivity(
    const QuantizationSites& sites, const CompressRecipe& recipe, const std::vector<int>& widths,
    const std::function<double(const CompressRecipe&)>& noise_of);

// Recipes from the given one to the narrowest, each with less `cost` than the one before it and
// optimal for its cost as far as noise and cost of the choices add up (solve/budget.h). `cost_of`
// is asked for the recipe and for every single change.
std::vector<CompressRecipe> narrowing_path(
    const QuantizationSites& sites, const CompressRecipe& recipe,
    const std::vector<Sensitivity>& sensitivities,
    const std::function<double(const CompressRecipe&)>& cost_of);

// Bits of all weights of a recipe, without scales and biases.
std::int64_t weight_bits_of(const QuantizationSites& sites, const CompressRecipe& recipe);

}  // namespace tandem
