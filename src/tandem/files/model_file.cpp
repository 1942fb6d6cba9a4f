#include "tandem/files/model_file.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/files/onnx_reader.h"
#include "tandem/files/tflite_reader.h"
#include "tandem/files/weights_file.h"
#include "tandem/graph/printer.h"

namespace tandem {

namespace {

// Moves the arrays of the named inputs to the binding; whether there was one.
bool bind(const std::vector<std::string>& names, NamedTensors& arrays, OnnxBinding& binding) {
  const auto is_named = [&](const auto& array) {
    return std::ranges::find(names, array.first) != names.end();
  };
  bool found = false;
  for (const auto& array : arrays)
    if (is_named(array)) found = binding.values.insert(array).second || found;
  std::erase_if(arrays, is_named);
  return found;
}

// The shapes of single samples, which lie along the first axis of arrays.
std::map<std::string, Shape> sample_shapes(const NamedTensors& arrays) {
  std::map<std::string, Shape> shapes;
  for (const auto& [name, tensor] : arrays) {
    Shape shape = tensor.shape();
    if (!shape.empty()) shape[0] = 1;
    shapes.emplace(name, std::move(shape));
  }
  return shapes;
}

}  // namespace

Module read_model(const std::filesystem::path& path, NamedTensors& arrays) {
  if (path.extension() != ".onnx") return read_model(path);
  OnnxBinding binding;
  for (;;) {
    try {
      return read_onnx(path, binding);
    } catch (const RefusedModel& refused) {
      if (bind(refused.deciding_inputs(), arrays, binding)) continue;
      if (binding.values.empty() || !binding.shapes.empty()) throw;
      binding.shapes = sample_shapes(arrays);  // what is fed may not divide a symbol
    }
  }
}

Module read_model(const std::filesystem::path& path) {
  const std::string suffix = path.extension().string();
  if (suffix == ".onnx") return read_onnx(path);
  if (suffix == ".tflite") return read_tflite(path);
  if (suffix == ".safetensors") return read_safetensors(path);
  if (suffix == ".gguf") return read_gguf(path);
  if (suffix == ".tandem") return parse_module(read_file(path), path.string());
  throw Error(path.string(),
              ": a network is a file .onnx, .tflite or .tandem, weights are .safetensors or .gguf",
              suffix.empty() ? "" : concat(", not ", suffix));
}

Module read_model(ByteSpan bytes, std::string_view source) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.substr(0, 8).ends_with("TFL3")) return read_tflite(bytes, source);
  if (text.starts_with("tandem-module")) return parse_module(text, source);
  if (text.starts_with("GGUF")) return read_gguf(bytes, source);
  if (text.size() > 8 && text.substr(8).starts_with("{\"")) return read_safetensors(bytes, source);
  return read_onnx(bytes, source);
}

}  // namespace tandem
