#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "tandem/files/bytes.h"
#include "tandem/files/refused.h"
#include "tandem/graph/module.h"

namespace tandem {

// What is known of the inputs of a model before it is read: shapes, and values. An input with a
// value becomes a constant.
struct OnnxBinding {
  std::map<std::string, Shape> shapes;
  std::map<std::string, Tensor> values;
};

// Reads an ONNX model (operator sets 7 and later, of earlier ones the operators that stayed as they
// were; IR versions 3 and later; external data beside the file)
// as a module with the function "main". QuantizeLinear and DequantizeLinear, and the nodes Quant,
// BipolarQuant and Trunc of QONNX, become Quantize and Dequantize. Arithmetic on constants and on
// shapes is folded, what is made of shapes (Range, Slice, ConstantOfShape, Expand) stays with
// expressions in their symbols, sizes that data decide (NonZero, NonMaxSuppression) are symbols
// too, and operators that are not known stay as Opaque where the file declares their results. A
// slice of a constant axis by a size bounds that size; two sizes that must agree become one.
// Identity, Dropout and casts without effect vanish. Symbolic or absent
// dimensions become symbols with bounds [1, 65536], from 0 on along the axis of a Concat (an empty
// cache). Values keep ONNX's tensor names.
//
// Throws RefusedModel naming every node that cannot be read (and the inputs whose values would
// help; see onnx_program.h), and Error on a file that is no sound model: truncated, cyclic, with
// duplicate or missing values, or NaN weights.
Module read_onnx(const std::filesystem::path& path, const OnnxBinding& binding = {});

// The same from memory. `folder` is where external data lie; without it they are refused.
Module read_onnx(ByteSpan bytes, std::string_view source, const std::filesystem::path& folder = {},
                 const OnnxBinding& binding = {});

}  // namespace tandem
