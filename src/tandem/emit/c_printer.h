#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tandem/plan/loop_program.h"

namespace tandem {

// "int8_t", "uint16_t", ...
std::string c_type(Storage storage);

// A C name from any text: letters, digits and '_', no word of C or C++, none of `taken`.
std::string c_name(const std::string& text, const std::vector<std::string>& taken = {});

// A constant of that type, also the least ones, which C cannot write as one literal.
std::string c_literal(std::int64_t value, Storage storage);

// Statements of a loop program as C99, also valid C++. `global` gives the C name of a constant
// array; the other arrays are parameters under their own names.
std::string print_c(const Statements& statements,
                    const std::function<std::string(const std::string&)>& global, int indent);

// The initializer of a constant array, in lines of at most 100 columns.
std::string c_initializer(const Array& array);

}  // namespace tandem
