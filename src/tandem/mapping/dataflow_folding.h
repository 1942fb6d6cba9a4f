#pragma once

#include <cstdint>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/plan/dataflow.h"

namespace tandem {

// How fast and how large the stages of a pipeline shall be.
struct FoldingRules {
  std::size_t most = 6;         // choices at most
  double ratio = 2;             // by which the interval falls from one to the next, where it can
  std::int64_t lanes = 256;     // operations side by side in one node at most
  bool dsp = false;             // multiplications in DSP blocks
  std::int64_t block_bits = 0;  // weights of at least so many bits in block RAM; 0: none
};

// Balanced foldings from the least hardware to the fastest: the first has one operation at a time
// in every node, and each further one gives every node the fewest operations side by side with
// which no stage needs more than the wanted cycles per frame (Umuroglu et al., "FINN: a framework
// for fast, scalable binarized neural network inference", FPGA 2017, section 4.3, rate balancing).
// Ends where the stage that limits the interval cannot be widened any more.
std::vector<DataflowChoices> balanced_foldings(const Module& module,
                                               const FoldingRules& rules = {});

}  // namespace tandem
