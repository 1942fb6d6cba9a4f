#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tandem/verify/execution.h"

namespace tandem {

// Two sets of outputs, value by value.
struct Equality {
  std::int64_t compared_values = 0;
  std::int64_t differing_values = 0;
  double max_difference = 0;  // of the integers, or of the reals of float formats
  // The first difference; -1 where there is none.
  std::int64_t sample = -1;
  std::int64_t output = -1;
  std::int64_t index = -1;  // within the sample's output

  // The first layer whose values differ, and what differs there; empty where there is no
  // difference or no execution can look inside.
  std::string first_layer;

  bool equal() const { return differing_values == 0 && compared_values > 0; }
};

// Throws InternalError when the outputs are not of the same formats and shapes.
Equality compare_samples(std::span<const Tensor> a, std::span<const Tensor> b);

// Compares what two executions computed for the same inputs; where they differ, traces both on the
// first differing sample and names the first node (in the order of "main") whose values differ.
Equality compare_executions(const Module& module, Execution& a, const Samples& outputs_a,
                            Execution& b, const Samples& outputs_b, std::span<const Tensor> inputs);

// One line for people: "reference = c: 10000 values, 0 differ".
std::string to_string(const Equality& equality, const std::string& a, const std::string& b);

}  // namespace tandem
