#pragma once

#include <filesystem>
#include <string_view>

#include "tandem/files/bytes.h"
#include "tandem/files/refused.h"
#include "tandem/graph/module.h"

namespace tandem {

// Reads an ONNX model (operator sets 7 and later, every IR version, external data beside the file)
// as a module with the function "main". QuantizeLinear and DequantizeLinear, and the nodes Quant,
// BipolarQuant and Trunc of QONNX, become Quantize and Dequantize. Arithmetic on constants and on
// shapes is folded; Identity, Dropout and casts without effect vanish. Symbolic or absent
// dimensions become symbols with bounds [1, 65536]. Values keep ONNX's tensor names.
//
// Throws RefusedModel naming every node that cannot be read, and Error on a file that is no sound
// model: truncated, cyclic, with duplicate or missing values, NaN weights or 0-sized dimensions.
Module read_onnx(const std::filesystem::path& path);

// The same from memory. `folder` is where external data lie; without it they are refused.
Module read_onnx(ByteSpan bytes, std::string_view source, const std::filesystem::path& folder = {});

}  // namespace tandem
