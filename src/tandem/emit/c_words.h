#pragma once

#include <string>

namespace tandem {

// The functions by which emitted C computes with words of several numbers (ExprOp::kLoadWord and
// those after it), under names that start with `prefix`: one instruction each on Arm cores with the
// DSP extension, portable C of the same meaning elsewhere.
std::string c_word_functions(const std::string& prefix);

}  // namespace tandem
