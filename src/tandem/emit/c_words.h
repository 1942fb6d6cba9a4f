#pragma once

#include <string>
#include <vector>

namespace tandem {

// The functions by which emitted C computes with words of several numbers (ExprOp::kLoadWord and
// those after it), under names that start with `prefix`: one instruction each on Arm cores with the
// DSP extension, portable C of the same meaning elsewhere.
std::string c_word_functions(const std::string& prefix);

// Those on quads, values of four lanes: Helium's instructions, or portable C.
std::string c_quad_functions(const std::string& prefix);

// The names of all of them, without the prefix.
std::vector<std::string> c_word_names();

}  // namespace tandem
