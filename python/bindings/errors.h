#pragma once

#include <nanobind/nanobind.h>

namespace tandem::python {

// Error, RefusedModel (with its nodes) and InternalError as Python's exceptions with the same
// texts; Interrupted as KeyboardInterrupt.
void bind_errors(nanobind::module_& module);

}  // namespace tandem::python
