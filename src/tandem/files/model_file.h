#pragma once

#include <filesystem>
#include <string_view>

#include "tandem/files/bytes.h"
#include "tandem/files/numpy.h"
#include "tandem/graph/module.h"

namespace tandem {

// Reads a network by the suffix of its file: .onnx (ONNX with its QDQ and QONNX dialects),
// .tflite (TensorFlow Lite), .tandem (module text), or the tensors of a .safetensors or .gguf file
// (weights_file.h). Throws what the readers throw, and Error on another suffix.
Module read_model(const std::filesystem::path& path);

// The same where the shapes of an ONNX network depend on the values of inputs (onnx_program.h):
// each such input that has an array becomes a constant of that value, and its array is taken out.
// Where that is not enough, the others get the shapes of single samples of their arrays.
Module read_model(const std::filesystem::path& path, NamedTensors& arrays);

// The same from memory, by what the bytes begin with: the marks of TensorFlow Lite and GGUF, the
// first line of module text, the header of safetensors, else ONNX (whose data must then lie
// inside). `source` names them in messages.
Module read_model(ByteSpan bytes, std::string_view source);

}  // namespace tandem
