#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// Sizes that data decide: symbols of values of "main" that no input has, since only a run knows
// how many boxes a NonMaxSuppression keeps.
std::vector<std::string> data_sizes(const Module& module);

// Such a network cut in two. What does not depend on these sizes can be planned as any other; it
// gives what the rest reads, which the operators' definitions compute.
struct SplitNetwork {
  Module sized;  // its outputs are the inputs of `rest`
  Module rest;   // its outputs are those of the network
};

// nullopt where data decide no size. Throws Error where the network has states.
std::optional<SplitNetwork> split_at_data_sizes(const Module& module);

// The network with such sizes at their upper bounds: what it takes at most.
Module with_greatest_sizes(const Module& module);

}  // namespace tandem
