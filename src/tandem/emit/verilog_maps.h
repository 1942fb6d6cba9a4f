#pragma once

#include <string>
#include <vector>

#include "tandem/emit/verilog_text.h"

namespace tandem::verilog {

// The module of one lane of a map: ports clk, enable, x (a code of map.in), c (the lane's
// constants, where it has any) and y (a code of map.out), map_depth(map) registers long. The
// constants belong to the x of the same cycle.
std::string map_module(const std::string& name, const MapOp& map);

// Bits of the port c: constants that differ between elements. 0 where there is no such port.
std::int64_t constant_bits(const MapOp& map);
// What the lanes get, by beat, with the period of all constants together: [period] words of
// lanes * constant_bits.
std::vector<Word> constant_words(const MapOp& map, std::int64_t lanes);

// Text of left * right as a sum of shifted copies of `left`, a signed wire as wide as the result;
// `right` is a signed wire of `bits` bits. No multiplier block is inferred.
std::string shifted_product(const std::string& left, const std::string& right, int bits,
                            int result_bits);

// Assigns to `result` (already declared with as many bits as `format` has) the integer in the
// signed wire `name`, whose bounds are given, brought into the format.
std::string overflow_text(const std::string& result, const std::string& name, Bounds bounds,
                          Format format, Overflow overflow);

// An expression that is 1 where a number goes up from its floor. `half`, `sticky`, `odd` and
// `negative` are names of one-bit wires: the first bit below the point, whether any below it is
// set, the floor's lowest bit, the number's sign.
std::string rounds_up(Rounding rounding, const std::string& half, const std::string& sticky,
                      const std::string& odd, const std::string& negative);

}  // namespace tandem::verilog
