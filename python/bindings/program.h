#pragma once

#include <nanobind/nanobind.h>

namespace tandem::python {

// The class OnnxProgram.
void bind_program(nanobind::module_& module);

}  // namespace tandem::python
