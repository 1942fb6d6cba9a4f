#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// How C names an input or output: a parameter of <name>_run().
struct CParameter {
  std::string name;      // unique, and no word of C
  std::string accessor;  // "input", "x_input": with the prefix, the function that returns its place
  std::string macro;     // "INPUT", "X_INPUT": what the names of its macros contain
  std::string type;
  std::int64_t elements = 0;
  std::int64_t bytes = 0;
};
struct CInterface {
  std::vector<CParameter> inputs, outputs;
};
CInterface c_interface(const Graph& graph);

// Upper-case letters, digits and '_': "net.h" -> "NET_H".
std::string c_macro(std::string_view text);

// For each input and output: rank, shape, size, and where it has a coding its scale and offset; for
// one scale also the zero point, where there is one.
std::string c_interface_macros(const Module& module, const Graph& graph, const std::string& name);

// Inline functions from reals to codes of inputs, and from codes of outputs to reals, of those with
// one scale for all elements; behind #ifdef <NAME>_WITH_FLOAT, because no layer needs them. Empty
// where there is none.
std::string c_float_functions(const Module& module, const Graph& graph, const std::string& name);

// The names of all of them that may be, without the prefix.
std::vector<std::string> c_float_names(const CInterface& interface);

}  // namespace tandem
