#pragma once

#include <nanobind/nanobind.h>

#include "tandem/graph/module.h"
#include "tandem/tensor/tensor.h"

namespace tandem::python {

// NumPy's dtype for the elements of a format: its own where NumPy (or ml_dtypes) has one, else that
// of the integers as which it is stored ("fixed<8,3>": int8).
nanobind::object dtype_of(const Format& format);

// Anything that NumPy takes as an array, or that speaks DLPack, as a tensor of the format that its
// dtype says, or of the wanted one where that is stored in this dtype (Error where an integer is
// out of its range). What has no dtype (lists, numbers) is read as the wanted format.
Tensor tensor_of(nanobind::handle values, const Format& wanted);

// An array over the tensor's elements, which it keeps alive.
nanobind::object array_of(Tensor tensor);

}  // namespace tandem::python
