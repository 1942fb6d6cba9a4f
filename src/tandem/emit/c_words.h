#pragma once

#include <string>
#include <vector>

namespace tandem {

// The definitions of those functions that `code` calls by which emitted C computes with several
// numbers at a time (ExprOp::kLoadWord and those after it), under names that start with `prefix`:
// words by one instruction each on Arm cores with the DSP extension, vectors of 16 bytes and quads
// of four numbers by Helium's, and portable C of the same meaning elsewhere.
std::string c_word_functions(const std::string& prefix, const std::string& code);

// The names of all of them, without the prefix.
std::vector<std::string> c_word_names();

}  // namespace tandem
