#pragma once

#include <string>

namespace tandem {

// The widest vector instructions of this processor that kernels are compiled for, as Highway calls
// them: "AVX3", "AVX2", "SSE4", "NEON", ...
std::string vector_instructions();

// What all threads together reach in independent fused multiply-adds of f32 on registers, in
// operations (a multiplication and an addition are two) per second: measured, in some 50 ms.
double measure_float_peak();

}  // namespace tandem
