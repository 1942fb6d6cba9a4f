#pragma once

#include <vector>

#include "tandem/files/tflite_model.h"

namespace tandem {

// Internal to the room: the bytes of a sparse constant with its absent elements as zeros, in the
// tensor's own order. Elements may lie in blocks and in any order of the axes. Throws Error where
// the sparsity does not fit the shape or the elements.
std::vector<std::byte> densified(const TfliteTensor& tensor);

}  // namespace tandem
