#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tandem/compress/layer_inputs.h"
#include "tandem/compress/weight_quantizer.h"

namespace tandem {

// To which of the format's numbers a weight goes.
//   nearest   the nearest one
//   gptq      column by column, each row's error so far compensated in the columns behind (Frantar
//             et al., "GPTQ", 2023), with 1 % of the mean diagonal as damping
//   adaround  down or up, learned by descent on the error of the layer's output (Nagel et al., "Up
//             or Down? Adaptive Rounding", 2020)
//   descent   coordinate by coordinate to the number of least output error, from gptq's result,
//             until none moves (Behdin et al., "QuantEase", 2023)
// All but nearest need the second moments of the layer's input: for the error d of a row's weights
// the squared error of the output is d^T (sum x x^T) d.
enum class WeightRounding { kNearest, kGptq, kAdaRound, kDescent };
std::string_view name(WeightRounding rounding);
WeightRounding parse_weight_rounding(std::string_view text);  // throws Error naming the nearest

// The decoded numbers of the format for weights in rows [rows][columns]; row r belongs to the group
// r / (rows / moments.groups). `moments` is not read for kNearest.
std::vector<double> round_weights(const std::vector<double>& rows, const WeightGrids& grids,
                                  const WeightCodec& codec, WeightRounding rounding,
                                  const InputMoments& moments);

// The sum over rows of d^T (sum x x^T) d for the errors d of rounded weights.
double output_error(const std::vector<double>& rows, const std::vector<double>& rounded,
                    const WeightGrids& grids, const InputMoments& moments);

}  // namespace tandem
