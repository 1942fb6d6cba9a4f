#include "tandem/files/model_file.h"

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/files/onnx_reader.h"
#include "tandem/files/tflite_reader.h"
#include "tandem/graph/printer.h"

namespace tandem {

Module read_model(const std::filesystem::path& path) {
  const std::string suffix = path.extension().string();
  if (suffix == ".onnx") return read_onnx(path);
  if (suffix == ".tflite") return read_tflite(path);
  if (suffix == ".tandem") return parse_module(read_file(path), path.string());
  throw Error(path.string(), ": a network is a file .onnx, .tflite or .tandem",
              suffix.empty() ? "" : concat(", not ", suffix));
}

Module read_model(ByteSpan bytes, std::string_view source) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.substr(0, 8).ends_with("TFL3")) return read_tflite(bytes, source);
  if (text.starts_with("tandem-module")) return parse_module(text, source);
  return read_onnx(bytes, source);
}

}  // namespace tandem
