#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tandem/compress/quantizer.h"
#include "tandem/compress/sites.h"
#include "tandem/compress/weight_quantizer.h"
#include "tandem/compress/weight_rounding.h"

namespace tandem {

// How a network is recoded: one rule for all weights and one for all activations, and the formats
// of single layers that differ.
struct CompressRecipe {
  WeightRules weights;
  WeightRounding rounding = WeightRounding::kNearest;
  // What rounding the weights does to the mean of each output channel is taken off its bias (Nagel
  // et al., "Data-Free Quantization", 2019, section 4.2, with measured means).
  bool bias_correction = false;
  // Values that products alone read, row by row, get a scale for each row (token) from its greatest
  // magnitude, computed while the network runs; it then computes with reals between its products.
  bool token_scales = false;
  // Or to each block of so many numbers of a row, the greatest divisor of its length up to it (with
  // scales of e8m0 the MX formats of the Open Compute Project, 2023); 0: rows.
  std::int64_t token_block = 0;
  QuantizerRules activations;
  // Least format of residual sites (sites.h): what is normalized takes 16 bits in integers without
  // loss, and its sums gather the rounding of every layer.
  Format residual_format = Format::integer(16, true);
  std::map<std::string, Format> weight_formats;      // by WeightSite::layer
  std::map<std::string, Format> activation_formats;  // by ActivationSite::name

  Format format_of(const WeightSite& site) const;
  Format format_of(const ActivationSite& site) const;
  WeightRules rules_of(const WeightSite& site) const;  // with its format
};

// The layers whose name matches a pattern with * and ?; throws Error naming the pattern and near
// layers where none does.
std::vector<std::string> matching_layers(const std::string& pattern,
                                         const std::vector<std::string>& layers);

// Sets formats of the layers that patterns match, in the order of the patterns: "head*" = int4. A
// pattern names weights by their layer, activations by their value or the layer that computes it.
struct PatternFormat {
  std::string pattern;
  Format format;
};
void set_weight_formats(CompressRecipe& recipe, const QuantizationSites& sites,
                        const std::vector<PatternFormat>& formats);
void set_activation_formats(CompressRecipe& recipe, const QuantizationSites& sites,
                            const std::vector<PatternFormat>& formats);

}  // namespace tandem
