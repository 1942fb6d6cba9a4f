#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

struct RandomModuleOptions {
  std::int64_t min_nodes = 5, max_nodes = 12;
  std::int64_t max_elements = 160;  // of any value
  int max_sum_bits = 40;            // wider sums are rescaled at once
  std::int64_t max_states = 0;      // of the stream; where not 0, there is at least one
};

// A random lowered module: integer primitives and data movement in random formats, shapes,
// roundings and overflow modes, every computed value read or an output. States are updated with
// what is computed from them, with other states and with inputs. The same seed gives the same
// module on every machine.
Module random_lowered_module(std::uint64_t seed, const RandomModuleOptions& options = {});

// Inputs for it: set 0 is all-minimum, set 1 all-maximum, the others uniform over the formats.
std::vector<std::vector<Tensor>> random_inputs(const Module& module, std::uint64_t seed,
                                               std::size_t sets);

// How often each primitive occurs with each rounding and overflow mode it has:
// "Rescale half_even wrap" -> 97.
std::map<std::string, int> primitive_census(const std::vector<Module>& modules);

}  // namespace tandem
