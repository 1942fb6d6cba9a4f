#pragma once

#include <vector>

#include "tandem/graph/module.h"
#include "tandem/plan/plan.h"

namespace tandem {

// A network as this processor likes it: it computes the same, reals up to rounding.
struct HostNetwork {
  Module module;
  std::vector<Layout> layouts;  // by value of "main": in which order its elements lie
};

// Folds constants and batch normalizations, decodes constant codes where no kernel reads them
// packed, writes activations that exporters spell out as one
// node, and chooses an order for each value: images behind convolutions lie channels last, and an
// Identity stands where a reader wants the other order. The lowered parts of a network stay as they
// are. All symbols must be bound.
HostNetwork prepare_for_host(Module module);

}  // namespace tandem
