#include "tandem/cli/options.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/note.h"
#include "tandem/base/text.h"
#include "tandem/files/model_file.h"
#include "tandem/files/weights_file.h"

namespace tandem {

void ModelOptions::add_to(OptionTable& options, const std::string& metavariable) {
  options.positional(
      metavariable, path,
      "The network: a file .onnx, .tflite or .tandem (weights: .safetensors, .gguf)");
  options.text(
      "--parameters", "FILE", parameters,
      "Takes the tensors of a .safetensors or .gguf file for the constants of their names");
  options.list("--bind", "SYMBOL=NUMBER", bindings, "Replaces a symbolic dimension by a number");
}

Module ModelOptions::load() const {
  NamedTensors none;
  return load(none);
}

Module ModelOptions::load(NamedTensors& arrays) const {
  Module module = read_model(path, arrays);
  if (!parameters.empty()) take(module);
  const auto bind = [&](const std::map<std::string, std::int64_t>& values, std::string_view by) {
    if (values.empty()) return;
    try {
      module = specialize(module, values);
    } catch (const Error& error) {
      throw error.at(concat(path, ": ", by));
    }
  };
  bind(parse_bindings(bindings), "--bind");
  bind(sizes_of_samples(module.main(), arrays), "sizes of the arrays");
  return module;
}

std::map<std::string, std::int64_t> sizes_of_samples(const Graph& main,
                                                     const NamedTensors& arrays) {
  std::map<std::string, std::int64_t> sizes;
  std::vector<std::string> batches;
  for (const ValueId id : main.inputs) {
    const Value& input = main.values[id];
    const auto array = std::ranges::find(arrays, input.name, &NamedTensors::value_type::first);
    if (array == arrays.end()) continue;
    const auto& shape = input.type.shape;
    const Shape& given = array->second.shape();
    // Samples are the batch, or stand before the declared axes.
    if (given.size() != shape.size() && given.size() != shape.size() + 1) continue;
    for (std::size_t d = 0; d < shape.size(); ++d) {
      if (shape[d].is_constant()) continue;
      const std::string symbol = shape[d].symbols().front();
      if (shape[d] != Dim::symbol(symbol)) continue;
      if (d == 0)
        batches.push_back(symbol);
      else
        sizes.emplace(symbol, given[given.size() - shape.size() + d]);
    }
  }
  for (const std::string& batch : batches) sizes.erase(batch);
  return sizes;
}

void ModelOptions::take(Module& module) const {
  const TakenWeights weights = take_weights(module, read_model(parameters), parameters);
  if (weights.unused.empty()) return;
  note(concat(parameters, ": ", weights.taken.size(), " tensors taken; no constant of the network ",
              "has the names of ", weights.unused.size(), " others, the first '",
              weights.unused.front(), "'"));
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
