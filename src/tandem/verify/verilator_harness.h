#pragma once

#include <string>
#include <vector>

#include "tandem/emit/verilog.h"

namespace tandem {

// The ports of one circuit of a batch. Internal to the room.
struct HarnessCircuit {
  std::string name;
  std::vector<AxisPort> inputs, outputs;
};

// The module `batch` that holds all circuits side by side.
std::string harness_wrapper(const std::vector<HarnessCircuit>& circuits);

// The program around it: reads "input.bin" (per circuit the number of samples, then the beats of
// every input), runs until all outputs are complete, writes "output.bin" (per circuit the cycle of
// the first input beat, the cycle of the last output beat of every sample, the beats of every
// output). Arguments: input, output, seed of stalls.
std::string harness_program(const std::vector<HarnessCircuit>& circuits);

}  // namespace tandem
