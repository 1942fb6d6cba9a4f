#include "tandem/cli/options.h"

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/model_file.h"

namespace tandem {

void ModelOptions::add_to(OptionTable& options, const std::string& metavariable) {
  options.positional(metavariable, path, "The network: a file .onnx, .tflite or .tandem");
  options.list("--bind", "SYMBOL=NUMBER", bindings, "Replaces a symbolic dimension by a number");
}

Module ModelOptions::load() const {
  NamedTensors none;
  return load(none);
}

Module ModelOptions::load(NamedTensors& arrays) const {
  Module module = read_model(path, arrays);
  const auto values = parse_bindings(bindings);
  if (values.empty()) return module;
  try {
    return specialize(module, values);
  } catch (const Error& error) {
    throw error.at(concat(path, ": --bind"));
  }
}

std::map<std::string, std::int64_t> parse_bindings(const std::vector<std::string>& bindings) {
  std::map<std::string, std::int64_t> values;
  for (const std::string& binding : bindings) {
    const auto equals = binding.find('=');
    if (equals == std::string::npos || equals == 0)
      throw Error("--bind takes SYMBOL=NUMBER, not '", binding, "'");
    const std::string symbol = binding.substr(0, equals);
    const std::int64_t value = parse_integer(binding.substr(equals + 1), concat("--bind ", symbol));
    if (!values.emplace(symbol, value).second) throw Error("--bind names ", symbol, " twice");
  }
  return values;
}

}  // namespace tandem
