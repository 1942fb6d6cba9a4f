#pragma once

#include <filesystem>

#include "tandem/graph/module.h"

namespace tandem {

// Reads a network by the suffix of its file: .onnx (ONNX with its QDQ and QONNX dialects),
// .tflite (TensorFlow Lite) or .tandem (module text). Throws what the readers throw, and Error on
// another suffix.
Module read_model(const std::filesystem::path& path);

}  // namespace tandem
