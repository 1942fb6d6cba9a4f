#pragma once

#include <string>
#include <string_view>

#include "tandem/graph/module.h"

namespace tandem {

// In which words an ONNX file speaks of quantization.
enum class OnnxDialect {
  kPlain,  // nothing in it is quantized
  kQdq,    // QuantizeLinear and DequantizeLinear
  kQonnx   // QONNX's Quant and BipolarQuant, and QuantizeLinear where only that says it
};
std::string_view name(OnnxDialect dialect);  // "ONNX", "QDQ", "QONNX"

struct OnnxFile {
  std::string bytes;
  OnnxDialect dialect = OnnxDialect::kPlain;
};

// A real network ("main", with its Quantize and Dequantize) as an ONNX model, in the first of the
// dialects that can say all of it. Read back it is the same network up to names (see difference()
// of graph/equality.h). Operator set 17, or 21 where types of 4 or 16 bits need it; symbols and
// metadata are kept. Throws RefusedModel (see onnx_reader.h) naming every node that ONNX cannot
// express, and Error on a lowered module or one with states.
OnnxFile write_onnx(const Module& module, std::string_view source = "module");

}  // namespace tandem
