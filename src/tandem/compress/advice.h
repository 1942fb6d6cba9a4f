#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tandem/compress/recoder.h"

namespace tandem {

// What codes of a format would make of one tensor of a network.
struct FormatAdvice {
  Format format;
  double sqnr_db = 0;      // signal over error of the codes, by the recipe's method
  std::int64_t bytes = 0;  // of packed codes and scales: of the weights, or of one sample's values
  // Of a unit that multiplies by the recipe's other format (mac_gates.h); absent where that
  // has no figure.
  std::optional<double> gates = {};
  // Of weights: bits of the accumulator in which every sum of a row's products is exact
  // (numerics/accumulator_bounds.h).
  std::optional<int> sum_bits = {};
};

// The candidates for one tensor, and the one that is recommended.
struct TensorAdvice {
  std::string layer;
  bool is_weights = false;
  double kurtosis = 0;
  std::int64_t products = 0;  // multiplications by these weights for one sample
  std::vector<FormatAdvice> formats;
  std::size_t recommended = 0;
  std::string reason;
};

struct AdviceRules {
  std::vector<Format> weights, activations;
  double wanted_db = 30;  // the least signal over error that is held enough
};
// Integers and floats of 4, 6 and 8 bits, and NF4 and ternary for weights.
AdviceRules default_advice_rules();

// For every site of the recoder: the fewest bytes whose error is small enough, of those the least
// error; where none is, the least error. Formats that cannot code a tensor (negative numbers in one
// without negative codes) are left out.
std::vector<TensorAdvice> advise(const Recoder& recoder, const CompressRecipe& recipe,
                                 const AdviceRules& rules);

}  // namespace tandem
