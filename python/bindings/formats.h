#pragma once

#include <nanobind/nanobind.h>

namespace tandem::python {

// The class Format, and quantize() and dequantize(): the border between reals and codes for arrays.
void bind_formats(nanobind::module_& module);

}  // namespace tandem::python
