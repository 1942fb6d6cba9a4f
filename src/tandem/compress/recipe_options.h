#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tandem/compress/recoder.h"

namespace tandem {

// How numbers are chosen, as the user asks for it.
struct RecipeOptions {
  std::vector<std::string> weights, activations;  // "int8", "head*=int4"; activations "f32"
  std::string method = "mse", weight_method = "mse";
  std::optional<double> percentile;
  std::string granularity = "channel";  // of weights
  std::string scales = "f32";           // format of all scales
  std::string rounding = "nearest";     // of weights
  bool bias_correction = false;
  bool class_biases = false;                // fitted to labels (class_biases.h)
  bool token_scales = false;                // of values, row by row
  std::optional<std::int64_t> token_block;  // and by so many numbers of a row
  std::vector<std::string> rewrites;        // of channels (channel_rewrites.h), in order
  std::vector<std::string> only, ignore;    // patterns of layers
  bool symmetric = false, shared_sums = false;

  // Layers that stay real, by the patterns of --only and --ignore, of the prepared network.
  SiteRules rules(const Module& prepared) const;
  // Throws Error naming the option whose text is no format or whose pattern matches nothing.
  CompressRecipe recipe(const QuantizationSites& sites) const;
  // Applies the rewrites to a prepared network; says what each did.
  std::vector<std::string> rewrite(Module& prepared, const DataSet& calibration) const;
  MomentsWanted moments() const;  // that the recipe will ask for
  bool wants_importance() const { return method == "output_error"; }
};

}  // namespace tandem
