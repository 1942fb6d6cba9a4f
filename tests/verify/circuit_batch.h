#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/plan/dataflow.h"
#include "tandem/verify/verilator.h"

namespace tandem {

// Random legal foldings of every node, DSP blocks and block RAM among them.
DataflowChoices random_foldings(const Module& module, std::uint64_t seed);

// Runs modules as circuits that are compiled together, with buffers as small as they get: once as
// fast as they can and once with random stalls of inputs and outputs, drawn from `stall_seed`.
// Expects that the frames of the first run end in the very cycles that the simulation of the
// pipeline predicts. Returns the outputs of each module, those under stalls where they differ from
// the others.
std::vector<Samples> run_circuit_batch(std::span<const Module> modules,
                                       std::span<const DataflowChoices> choices,
                                       std::span<const Samples> inputs, std::uint64_t stall_seed);

}  // namespace tandem
