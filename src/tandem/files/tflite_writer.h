#pragma once

#include <string>
#include <string_view>

#include "tandem/graph/module.h"

namespace tandem {

// What the writer does with codes that are rounded otherwise than TensorFlow Lite's kernels round.
enum class TfliteRounding {
  kAsGiven,  // refuses them
  kAdopted   // leaves the rounding to the kernels; constants beside codes (biases) become codes
};

// A real network ("main", with its Quantize and Dequantize) as a TensorFlow Lite model. What lies
// between Dequantize and Quantize becomes an operator of codes: activations of int8 or int16 (uint8
// and uint16 shifted by half their range), weights of up to 8 bits with scales per tensor or per
// output channel, biases of int32 or int64. All else is written in reals, weights that are coded
// beside reals too. The first dimension of the inputs may be one symbol: it is written as an open
// batch. Axes keep the module's order on the network's surface; within, layers have channels last.
//
// Read back, it computes the same integers, and the same reals up to the rounding of f32. Throws
// RefusedModel naming every node that cannot be written, with its remedy, and Error on a lowered
// module, one with states or with other symbols.
std::string write_tflite(const Module& module, std::string_view source = "module",
                         TfliteRounding rounding = TfliteRounding::kAsGiven);

}  // namespace tandem
