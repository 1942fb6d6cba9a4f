#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// A random tensor of a type without symbols: reals in [-2, 2], integers of the whole range of a
// format of up to 16 bits and within +-1000 in wider ones.
Tensor random_tensor(const TensorType& type, std::mt19937_64& generator);

// A random tensor for every input of the main function of a module without symbols.
std::vector<Tensor> random_inputs(const Module& module, std::uint64_t seed);

// The module with every symbol bound to `value` or the nearest of its bounds.
Module with_symbols(const Module& module, std::int64_t value);

// Registers the operators and returns the names of all of them.
std::vector<std::string> operator_names();

}  // namespace tandem
