#pragma once

#include <vector>

#include "tandem/graph/operator.h"

namespace tandem {

// The two operators that cross the border between real numbers and codes.
//
//   Quantize(x, scale, zero)    format.encode(x / scale + zero), then limited to `limits`; with
//                               zero_added = after_rounding format.encode(round(x / scale) + zero),
//                               ONNX's QuantizeLinear, which differs at ties and in f32's last bit
//   Dequantize(q, scale, zero)  (format.decode(q) - zero) * scale
//
// scale and zero are real and broadcast to the first input (per tensor: rank 0; per channel:
// [1,C,1,1]); zero may be absent. Arithmetic is f32 as in ONNX and QONNX.
void register_quantize_operators();

}  // namespace tandem
