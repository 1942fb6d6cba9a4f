#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// A lowered module together with one input of each of its inputs.
struct FailingCase {
  Module module;
  std::vector<Tensor> inputs;
};

// The smallest case that still fails, found greedily: outputs are dropped or moved to earlier
// values, and values computed on the way become inputs that hold what the reference computed.
// `fails` is asked about every candidate; a candidate on which it throws Error does not count.
// The given case must fail (InternalError otherwise).
FailingCase shrink(FailingCase failing, const std::function<bool(const FailingCase&)>& fails);

// The case as module text, with the inputs as comments, so that it can be kept and read back.
std::string to_text(const FailingCase& failing);

}  // namespace tandem
