#pragma once

#include <cstdint>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// What the kernels of this processor compute for one sample of "main", whose symbols are bound.
std::vector<Tensor> run_on_host(const Module& module, const std::vector<Tensor>& inputs);

// Normal reals for every real input of "main"; zeros for the others.
std::vector<Tensor> random_inputs_of(const Module& module, std::uint64_t seed);

// Expects reals within `tolerance` of the greatest magnitude (at least 1), all others equal.
void expect_close(const std::vector<Tensor>& computed, const std::vector<Tensor>& expected,
                  double tolerance);

}  // namespace tandem
