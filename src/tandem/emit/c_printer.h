#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/plan/loop_program.h"

namespace tandem {

// "int8_t", "uint16_t", ...
std::string c_type(Storage storage);

// Letters, digits and single '_' between them, from any text: names with '_' in front or doubled
// belong to compilers and C++.
std::string plain_name(std::string_view text);

// A plain name that is no word of C or C++ and none of `taken`.
std::string c_name(const std::string& text, const std::vector<std::string>& taken = {});

// A constant of that type, also the least ones, which C cannot write as one literal.
std::string c_literal(std::int64_t value, Storage storage);

// Breaks lines of C (no preprocessor lines) of more than 100 columns at spaces.
std::string wrapped(const std::string& text);

// Statements of a loop program as C99, also valid C++. `global` gives the C name of a constant
// array; the other arrays are parameters under their own names. Functions of words (c_words.h) are
// called by their names behind `prefix`.
std::string print_c(const Statements& statements, const std::string& prefix,
                    const std::function<std::string(const std::string&)>& global, int indent);

// The initializer of a constant array, in lines of at most 100 columns.
std::string c_initializer(const Array& array);

}  // namespace tandem
