#pragma once

#include "tandem/files/tflite_import.h"

namespace tandem {

// Internal to the room: the codes of e^(beta x) / sum of e^(beta x) along the last axis as
// TensorFlow Lite Micro's kernel of int8 codes computes them, in primitives: exponentials from
// tables, the reciprocal of their sum by three steps of Newton's method (gemmlowp's fixed point).
// Refuses other formats than int8.
ValueId softmax_of_codes(TfliteNode& node, double beta);

}  // namespace tandem
