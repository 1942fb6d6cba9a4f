#pragma once

#include "tandem/files/tflite_import.h"

namespace tandem {

// Internal to the room: reals x [N,...] rounded to 8-bit codes with a scale for each sample, which
// TensorFlow Lite's kernels do where weights are codes and activations are reals. Symmetric: the
// greatest magnitude is 127. Asymmetric: the range with zero is [-128,127].
ValueId dynamically_coded(TfliteNode& node, ValueId x, bool asymmetric);

}  // namespace tandem
