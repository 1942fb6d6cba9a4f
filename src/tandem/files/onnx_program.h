#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tandem/files/bytes.h"
#include "tandem/graph/module.h"

namespace tandem {

// A model whose shapes may depend on the values of its inputs (a Reshape to a shape that is fed,
// a NonZero). Types tell shapes, so such inputs are bound: the model is read anew with their values
// as constants, once for each set of values, and with the shapes of all inputs.
class OnnxProgram {
 public:
  explicit OnnxProgram(const std::filesystem::path& path);
  // From memory; `folder` is where external data lie.
  OnnxProgram(std::vector<std::byte> bytes, std::string source, std::filesystem::path folder = {});

  // The inputs, in the order of the file.
  const std::vector<std::string>& inputs() const { return inputs_; }

  // Those whose values decided shapes so far.
  const std::set<std::string>& bound() const { return deciding_; }

  // The network for such inputs. It reads those that had not to be bound, under their names. The
  // reference is good until the next call. Throws what read_onnx() throws.
  const Module& network(std::span<const Tensor> inputs);

  // The outputs of the reference evaluation.
  std::vector<Tensor> run(std::span<const Tensor> inputs);

 private:
  std::vector<std::byte> bytes_;
  std::string source_;
  std::filesystem::path folder_;
  std::vector<std::string> inputs_;
  std::optional<Module> unbound_;
  std::set<std::string> deciding_;
  std::map<std::string, Module> bound_;  // by the shapes of all inputs and the deciding values
};

}  // namespace tandem
