#pragma once

#include "tandem/tensor/tensor.h"

namespace tandem {

// For tensors whose bytes come from a file. Throws Error where a boolean's byte is neither 0 nor 1,
// or a uint63 reaches beyond 2^63 - 1.
void check_elements(const Tensor& tensor);

// Whether every element is 0.
bool is_zero(const Tensor& tensor);

}  // namespace tandem
