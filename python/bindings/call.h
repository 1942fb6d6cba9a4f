#pragma once

#include <nanobind/nanobind.h>
#include <utility>

#include "tandem/base/interrupt.h"

namespace tandem::python {

// What `work` returns, computed while other Python threads run. Ctrl-C ends it with
// KeyboardInterrupt as soon as the work looks (between nodes, blocks, trials).
template <typename Work>
auto without_gil(Work&& work) {
  const nanobind::gil_scoped_release released;
  const InterruptScope scope;
  auto result = std::forward<Work>(work)();
  throw_if_interrupted();
  return result;
}

}  // namespace tandem::python
