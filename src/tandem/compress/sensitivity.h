#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tandem/compress/quantize_network.h"

namespace tandem {

// Everything that has a format of its own: the weights of a layer, or the activations of a group.
struct FormatChoice {
  bool is_weights = false;
  std::string name;                // of the layer, or of the group's first value
  std::vector<std::string> sites;  // WeightSite::layer or ActivationSite::name
};
std::vector<FormatChoice> format_choices(const QuantizationSites& sites);

// A recipe in which one choice has another format.
CompressRecipe with_format(CompressRecipe recipe, const FormatChoice& choice, const Format& format);
// The widest of its sites.
Format format_of(const CompressRecipe& recipe, const QuantizationSites& sites,
                 const FormatChoice& choice);

// Formats that may take the place of a recipe's.
struct CandidateFormats {
  std::vector<Format> weights, activations;
};
// The integers of fewer bits than the recipe's, from 2 bits on: none where it has other formats.
CandidateFormats narrower_integers(const CompressRecipe& recipe);

// How much noise the outputs gain when one choice alone leaves the recipe for another format:
// relative noise of the outputs minus the recipe's own.
struct FormatNoise {
  Format format;
  double noise = 0;
};
struct Sensitivity {
  FormatChoice choice;
  std::vector<FormatNoise> noise;  // in the order of the candidates
};

// `noise_of` measures a recipe (relative_noise on samples for selection). Each candidate of fewer
// bits than a choice has is measured for it; what is measured as less noise counts as none.
std::vector<Sensitivity> measure_sensitivity(
    const QuantizationSites& sites, const CompressRecipe& recipe,
    const CandidateFormats& candidates,
    const std::function<double(const CompressRecipe&)>& noise_of);

// Recipes from the given one to the narrowest, each with less `cost` than the one before it and
// optimal for its cost as far as noise and cost of the choices add up (solve/budget.h). `cost_of`
// is asked for the recipe and for every single change.
std::vector<CompressRecipe> narrowing_path(
    const QuantizationSites& sites, const CompressRecipe& recipe,
    const std::vector<Sensitivity>& sensitivities,
    const std::function<double(const CompressRecipe&)>& cost_of);

// Bits of all weights of a recipe: codes, scales and zero points, without biases.
std::int64_t weight_bits_of(const QuantizationSites& sites, const CompressRecipe& recipe);

}  // namespace tandem
