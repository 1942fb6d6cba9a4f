#pragma once

#include <map>
#include <string>
#include <vector>

#include "tandem/compress/quantizer.h"
#include "tandem/compress/sites.h"

namespace tandem {

// How a network is recoded: one rule for all weights and one for all activations, and the widths
// of single layers that differ.
struct CompressRecipe {
  int weight_bits = 8;
  RangeMethod weight_method = RangeMethod::kMse;
  bool per_channel = true;  // a weight scale for each output channel
  bool power_of_two_weights = false;
  QuantizerRules activations;
  // Least width of residual sites (sites.h): what is normalized takes 16 bits in integers without
  // loss, and its sums gather the rounding of every layer.
  int residual_bits = 16;
  std::map<std::string, int> weight_widths;      // by WeightSite::layer
  std::map<std::string, int> activation_widths;  // by ActivationSite::name

  int bits_of(const WeightSite& site) const;
  int bits_of(const ActivationSite& site) const;
};

// The layers whose name matches a pattern with * and ?; throws Error naming the pattern and near
// layers where none does.
std::vector<std::string> matching_layers(const std::string& pattern,
                                         const std::vector<std::string>& layers);

// Sets widths of the layers that patterns match, in the order of the patterns: "head*" = 4. A
// pattern names weights by their layer, activations by their value or the layer that computes it.
struct PatternWidth {
  std::string pattern;
  int bits = 8;
};
void set_weight_widths(CompressRecipe& recipe, const QuantizationSites& sites,
                       const std::vector<PatternWidth>& widths);
void set_activation_widths(CompressRecipe& recipe, const QuantizationSites& sites,
                           const std::vector<PatternWidth>& widths);

}  // namespace tandem
