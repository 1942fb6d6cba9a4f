#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tandem/runtime/host_network.h"

namespace tandem {

// What every step of a network's plan stored in one run, with the instruction set and the number of
// threads that are chosen now. The steps are those that run without this look at them.
std::map<ValueId, Tensor> stored_values(const HostNetwork& network, std::span<const Tensor> inputs);

// One step beside the definition of its nodes in unlimited integers, which reads what the step
// read.
struct StepCheck {
  std::string name, form;  // of its first node; its kernel
  std::int64_t compared = 0, differing = 0;
};

// Of all steps whose result the definition fixes to the bit: integers, movements, and the borders
// between codes and reals. `stored` are their stored_values() for these inputs.
std::vector<StepCheck> check_steps(const HostNetwork& network, std::span<const Tensor> inputs,
                                   const std::map<ValueId, Tensor>& stored);

}  // namespace tandem
