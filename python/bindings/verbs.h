#pragma once

#include <nanobind/nanobind.h>

namespace tandem::python {

// check(), lower(), estimate(), compress(), compile() and fit(), with their results. Defaults are
// those of the requests (codesign/, report/fit_folder.h), which the command line has too.
void bind_verbs(nanobind::module_& module);

}  // namespace tandem::python
