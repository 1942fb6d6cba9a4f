#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tandem/cli/option_table.h"
#include "tandem/cli/verb.h"
#include "tandem/compress/recoder.h"

namespace tandem {

// How numbers are chosen, as the user asks for it.
struct RecipeFlags {
  std::vector<std::string> weights, activations;  // "int8", "head*=int4"
  std::string method = "mse", weight_method = "mse";
  std::optional<double> percentile;
  std::vector<std::string> only, ignore;  // patterns of layers
  bool per_tensor = false, symmetric = false, power_of_two = false, shared_sums = false;

  void add_to(OptionTable& options);
  // Layers that stay real, by the patterns of --only and --ignore, of the prepared network.
  SiteRules rules(const Module& prepared) const;
  // Throws Error naming the option whose text is no format or whose pattern matches nothing.
  CompressRecipe recipe(const QuantizationSites& sites) const;
};

}  // namespace tandem
