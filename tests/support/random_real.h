#pragma once

#include <cstdint>

#include "tandem/graph/module.h"

namespace tandem {

// A random network of f32 as trained ones are made: convolutions of all kinds with normalizations,
// activations, sums with earlier values, gates, concatenations and poolings over images, then
// products, attention-like transpositions, normalization and Softmax over rows.
Module random_real_network(std::uint64_t seed);

// The same with a symbolic batch N, or the layers over rows alone with a symbolic number L of rows
// too.
Module random_dynamic_network(std::uint64_t seed);

}  // namespace tandem
