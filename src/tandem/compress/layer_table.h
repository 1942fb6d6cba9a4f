#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tandem/compress/recoder.h"
#include "tandem/compress/sensitivity.h"

namespace tandem {

// What a recipe chose for one node of the network: the codes of its weights and of its result.
struct RecodedLayer {
  std::string layer, op;  // op "input" for an input of the network
  // Empty where the layer has no weights, or its weights stay real.
  std::string weight_format;
  std::int64_t weight_bytes = 0;  // of packed codes, scales and zero points
  // Empty where the result stays a sum or passes codes on.
  std::string result_format;
  double scale = 0;
  std::int64_t zero = 0;
  bool token_scales =
      false;  // each row (or block of one) has a scale of its own, computed while the network runs
  // Noise that the outputs gain, as a share of their energy, when this layer's weights or result
  // alone are narrowed, by width; empty where that was not measured.
  std::map<int, double> noise;
};

// In the order of the network; layers for which nothing was chosen are left out.
std::vector<RecodedLayer> recoded_layers(const Recoder& recoder, const CompressRecipe& recipe,
                                         const std::vector<Sensitivity>& sensitivities = {});

}  // namespace tandem
