#pragma once

namespace tandem {

// The primitives of integer.h that reduce: IntMatMul, IntConv, IntSum, IntReduceMax, IntSumPool,
// IntMaxPool, IntArgMax. Called by register_integer_operators().
void register_linear_integer_operators();

}  // namespace tandem
