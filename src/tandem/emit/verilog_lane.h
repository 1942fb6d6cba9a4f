#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tandem/emit/verilog_text.h"

namespace tandem::verilog {

// The module of one lane of a reducing head: products, adder tree and accumulator. Ports clk,
// enable, take and first (where a result takes several steps), x (simd operands), w (simd weights),
// start (where has_start), position (of an arg max), y (the result's code).
std::string lane_module(const std::string& name, const ComputeStage& stage);

// Whether the accumulator starts at a constant that differs between results.
bool has_start(const ComputeStage& stage);
// That constant for the weights of one result.
Int128 start_of(const ComputeStage& stage, const std::vector<std::int64_t>& weights);
int accumulator_bits(const ComputeStage& stage);

}  // namespace tandem::verilog
