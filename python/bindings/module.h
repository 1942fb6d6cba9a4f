#pragma once

#include <nanobind/nanobind.h>

namespace tandem::python {

// load() and the class Module.
void bind_module(nanobind::module_& module);

}  // namespace tandem::python
