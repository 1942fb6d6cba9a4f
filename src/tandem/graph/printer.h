#pragma once

#include <string>
#include <string_view>

#include "tandem/graph/module.h"

namespace tandem {

// The module as text, losslessly: parse_module(print_module(m)) prints the same text.
// Small constants are decimal (floats as shortest exact decimals), large ones hexadecimal
// little-endian storage. `elide` shortens large constants for people; such text does not parse.
//
//   tandem-module 1
//   metadata "producer" = "pytorch"
//   symbol N in [1,1024]
//   constant @w : int8[2,2] = [1,-2,3,4]
//   state @h : int8[1,4] = @h0 stream
//   graph @main(%x : uint8[1,2] coded(@s,@o)) -> (%y coded(@s1,@o1)) updates(@h = %z) {
//     %y : int20[1,2] = IntMatMul(%x, @w) {format = int20} "fc1" scope "head"
//   }
std::string print_module(const Module& module, bool elide = false);

// Reads such text, checks every node against its operator, and verifies the module.
// Throws Error with `source` and line.
Module parse_module(std::string_view text, std::string_view source = "module text");

}  // namespace tandem
