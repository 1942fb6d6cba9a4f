#pragma once

#include <cstdint>

namespace tandem {

// Reals to codes of 8 bits and back, with one scale.

struct CodeBorder {
  float scale = 1, zero = 0;  // a whole zero
  float low = 0, high = 255;  // codes
};

// to[i] = min(max(round(x[i] / scale) + zero, low), high), ties to even. Returns whether all x are
// numbers; the codes of others mean nothing.
bool quantize_codes(const CodeBorder& border, const float* x, std::int64_t count, bool is_signed,
                    std::uint8_t* to);

// to[i] = (x[i] - zero) * scale
void dequantize_codes(const CodeBorder& border, const std::uint8_t* x, bool is_signed,
                      std::int64_t count, float* to);

}  // namespace tandem
