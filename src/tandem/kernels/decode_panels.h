#pragma once

#include <cstdint>

#include "tandem/kernels/decode_weights.h"

namespace tandem {

// Internal to the room: one panel of packed weights times 1, 2 or 4 prepared rows. Results
// are y[m * kDecodePanel + i] for row m of x and row i of the panel.

struct DecodePanels {
  static constexpr int kMostRows = 4;
  static int rows_of(std::int64_t left) { return left >= 4 ? 4 : left >= 2 ? 2 : 1; }

  struct RealRows {
    const float* x;           // [padded depth][m]: elements times decode_prescale()
    const float* group_sums;  // [groups][m]: sums of the elements, of weights of kInteger
  };
  using Real = void (*)(const DecodeWeights&, const DecodeWeights::Panel&, const RealRows&,
                        float* y);

  struct CodeRows {
    const std::int8_t* x;  // [m][padded depth]
    const float* scales;   // [m][groups], of nested scales [m][super groups]
    // [m][groups]: what zero points take off the sum of a group: the sum of its codes of x, which
    // is to be multiplied where rows have zero points of their own.
    const std::int32_t* zero_sums;
  };
  using Code = void (*)(const DecodeWeights&, const DecodeWeights::Panel&, const CodeRows&,
                        float* y);
};

// What the element at position k of a tile is multiplied by (a power of two) before it meets a
// code, which is read where it stands in its lane of 32 bits.
float decode_prescale(const CodeDecoder& decoder, int k);

// The zero point that codes are thought to have when they are multiplied as signed or unsigned
// bytes.
int code_zero(const CodeDecoder& decoder);

// For weights of that kind, compiled for AVX2 with FMA and F16C.
DecodePanels::Real avx2_real_panel(const DecodeWeights& w, int rows);
DecodePanels::Code avx2_code_panel(const DecodeWeights& w, int rows);

}  // namespace tandem
