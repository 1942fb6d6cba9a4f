#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tandem/compress/recoder.h"

namespace tandem {

// How numbers are chosen, as the user asks for it.
struct RecipeOptions {
  std::vector<std::string> weights, activations;  // "int8", "head*=int4"
  std::string method = "mse", weight_method = "mse";
  std::optional<double> percentile;
  std::vector<std::string> only, ignore;  // patterns of layers
  bool per_tensor = false, symmetric = false, power_of_two = false, shared_sums = false;

  // Layers that stay real, by the patterns of --only and --ignore, of the prepared network.
  SiteRules rules(const Module& prepared) const;
  // Throws Error naming the option whose text is no format or whose pattern matches nothing.
  CompressRecipe recipe(const QuantizationSites& sites) const;
};

}  // namespace tandem
