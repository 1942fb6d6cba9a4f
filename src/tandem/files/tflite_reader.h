#pragma once

#include <filesystem>
#include <string_view>

#include "tandem/files/bytes.h"
#include "tandem/files/refused.h"
#include "tandem/graph/module.h"

namespace tandem {

// Reads the first subgraph of a TensorFlow Lite model (schema version 3) as a module with the
// function "main": float models, models of int8 or int16 activations, and hybrids of both.
//
// A quantized operator becomes Dequantize -> operator -> Quantize whose `rescale` names the
// kernel's rounding, so that lower() yields the integers of TensorFlow Lite Micro. Softmax,
// Logistic, Tanh, HardSwish and the like, which the kernels compute in fixed point, become integer
// primitives at once. Quantized inputs and outputs are real and carry their scale and zero point.
// Resource variables become states of the stream, which start as the subgraph of CALL_ONCE says.
// Axes stay in TensorFlow's order (channels last); extents are those of the file, a batch of
// unknown size is 1.
//
// Throws RefusedModel naming every operator that cannot be read, and Error on a file that is no
// sound model.
Module read_tflite(const std::filesystem::path& path);

// The same from memory.
Module read_tflite(ByteSpan bytes, std::string_view source);

}  // namespace tandem
