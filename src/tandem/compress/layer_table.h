#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tandem/compress/recoder.h"

namespace tandem {

// What a recipe chose for one node of the network: the codes of its weights and of its result.
struct RecodedLayer {
  std::string layer, op;  // op "input" for an input of the network
  // Empty where the layer has no weights, or its weights stay real.
  std::string weight_format;
  std::int64_t weight_bytes = 0;  // of packed codes
  // Empty where the result stays a sum or passes codes on.
  std::string result_format;
  double scale = 0;
  std::int64_t zero = 0;
};

// In the order of the network; layers for which nothing was chosen are left out.
std::vector<RecodedLayer> recoded_layers(const Recoder& recoder, const CompressRecipe& recipe);

}  // namespace tandem
