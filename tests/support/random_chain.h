#pragma once

#include <cstdint>

#include "tandem/graph/module.h"

namespace tandem {

// A random lowered module of the kind that stages of patches are cut from: convolutions (plain,
// depthwise, strided, dilated, padded at one side only), poolings, sums with an earlier value of
// the same shape and element-wise nodes, one behind the other, over images or sequences.
Module random_chain(std::uint64_t seed);

}  // namespace tandem
