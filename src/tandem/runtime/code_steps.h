#pragma once

#include <memory>

#include "tandem/runtime/real_steps.h"

namespace tandem {

// Internal to the room: the groups of code_groups.h, ready to run.
std::unique_ptr<StepProgram> make_code_product(const StepContext& context);  // and convolutions
std::unique_ptr<StepProgram> make_code_matmul(const StepContext& context);   // of computed codes
std::unique_ptr<StepProgram> make_code_depthwise(const StepContext& context);
std::unique_ptr<StepProgram> make_code_pair(const StepContext& context);
std::unique_ptr<StepProgram> make_code_mean(const StepContext& context);
std::unique_ptr<StepProgram> make_code_pool(const StepContext& context);
std::unique_ptr<StepProgram> make_code_rescale(const StepContext& context);
std::unique_ptr<StepProgram> make_code_table(const StepContext& context);
std::unique_ptr<StepProgram> make_code_border(const StepContext& context);

}  // namespace tandem
