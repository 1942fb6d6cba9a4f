#include "tandem/files/onnx_program.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/files/onnx_model.h"
#include "tandem/files/onnx_reader.h"
#include "tandem/graph/evaluate.h"

namespace tandem {
namespace {

constexpr std::size_t kMostBound = 16;  // modules kept

std::string key_of(const OnnxBinding& binding) {
  std::string key;
  for (const auto& [name, shape] : binding.shapes) key += concat(name, to_string(shape), ";");
  for (const auto& [name, tensor] : binding.values) {
    const auto bytes = tensor.bytes();
    key += name + "=";
    key.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return key;
}

}  // namespace

OnnxProgram::OnnxProgram(const std::filesystem::path& path)
    : OnnxProgram(read_file_bytes(path), path.string(),
                  path.has_parent_path() ? path.parent_path() : std::filesystem::path(".")) {}

OnnxProgram::OnnxProgram(std::vector<std::byte> bytes, std::string source,
                         std::filesystem::path folder)
    : bytes_(std::move(bytes)), source_(std::move(source)), folder_(std::move(folder)) {
  const onnx::ModelProto model = parse_onnx_model(bytes_);
  std::set<std::string> given;
  for (const auto& initializer : model.graph().initializer()) given.insert(initializer.name());
  for (const auto& input : model.graph().input())
    if (!given.contains(input.name())) inputs_.push_back(input.name());
  try {
    unbound_ = read_onnx(bytes_, source_, folder_);
  } catch (const Error& error) {
    // Known again, with a better reason, once the inputs are.
    if (inputs_.empty()) throw;
  }
}

const Module& OnnxProgram::network(std::span<const Tensor> inputs) {
  if (inputs.size() != inputs_.size())
    throw Error(source_, " takes ", inputs_.size(), " inputs, not ", inputs.size());
  if (unbound_) return *unbound_;
  for (;;) {
    OnnxBinding binding;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      binding.shapes.emplace(inputs_[i], inputs[i].shape());
      if (deciding_.contains(inputs_[i])) binding.values.emplace(inputs_[i], inputs[i]);
    }
    const std::string key = key_of(binding);
    if (const auto found = bound_.find(key); found != bound_.end()) return found->second;
    try {
      Module module = read_onnx(bytes_, source_, folder_, binding);
      if (bound_.size() >= kMostBound) bound_.clear();
      return bound_.emplace(key, std::move(module)).first->second;
    } catch (const RefusedModel& refused) {
      const std::size_t known = deciding_.size();
      deciding_.insert(refused.deciding_inputs().begin(), refused.deciding_inputs().end());
      if (deciding_.size() == known) throw;
    }
  }
}

std::vector<Tensor> OnnxProgram::run(std::span<const Tensor> inputs) {
  const Module& module = network(inputs);
  std::vector<Tensor> fed;
  for (const ValueId input : module.main().inputs) {
    const auto place = std::find(inputs_.begin(), inputs_.end(), module.main().values[input].name);
    ensure(place != inputs_.end(), "an input that the model has not");
    fed.push_back(inputs[static_cast<std::size_t>(place - inputs_.begin())]);
  }
  return evaluate(module, module.main(), fed);
}

}  // namespace tandem
