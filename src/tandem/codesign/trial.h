#pragma once

#include <string>
#include <vector>

#include "tandem/verify/network.h"

namespace tandem {

// A network as integers where no data say how: to judge which nodes have an integer form, and what
// they cost. Never run for its results.
struct TrialLowering {
  Module lowered;                  // for one sample
  bool recoded = false;            // it was real, and was recoded to 8 bits for values in [-1, 1]
  std::vector<std::string> notes;  // what was assumed
};

// A real network is recoded by the rules of `tandem compress`; real inputs without a coding arrive
// as uint8 with scale 1/255. Throws LoweringError with every node without integer form.
TrialLowering lower_on_trial(const Module& network, const InputCodings& given);

}  // namespace tandem
