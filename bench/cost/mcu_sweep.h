#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tandem/device/kind_mcu.h"
#include "tandem/graph/module.h"

namespace tandem {

// A generated layer (or a few) in one of its kernel forms, for fitting costs to what is measured.
struct SweepCase {
  std::string family;  // "dense", "convolution", ...
  Module module;
  std::string form;  // of every group that has it; the others take their first
};

// Layers of the kinds and sizes that networks have, drawn at random: the same seed gives the same
// cases on every machine. No case is a published or example network. Forms
// are those whose instructions the core has; half of the cases that can take one of vectors do.
std::vector<SweepCase> mcu_sweep(std::uint64_t seed, std::size_t cases,
                                 const CoreInstructions& core);

}  // namespace tandem
