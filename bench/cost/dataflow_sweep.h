#pragma once

#include <cstdint>

#include "tandem/plan/pipeline.h"

namespace tandem {

// A generated pipeline for fitting costs to what synthesis makes of it: a network of one or two
// operators with random shapes, formats, foldings and weights, or a FIFO of a random size (every
// fourth). Seeds from 100,000 on give operators that other seeds hold too rarely. The same seed
// gives the same pipeline on every machine; none is a published or example network.
Pipeline dataflow_sweep(std::uint64_t seed);

}  // namespace tandem
