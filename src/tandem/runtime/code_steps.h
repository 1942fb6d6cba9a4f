#pragma once

#include <memory>

#include "tandem/runtime/real_steps.h"

namespace tandem {

// Internal to the room: the groups of code_groups.h, ready to run.
std::unique_ptr<StepProgram> make_code_step(const StepContext& context);

// Those whose head is a convolution or product.
std::unique_ptr<StepProgram> make_code_product(const StepContext& context);
std::unique_ptr<StepProgram> make_code_depthwise(const StepContext& context);

}  // namespace tandem
