#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/files/tflite_model.h"

namespace tandem {

// Internal to the room: a TensorFlow Lite file under construction, with one subgraph. Tensors are
// numbers; operators stand in the order in which they are added.
class TfliteFile {
 public:
  TfliteFile();

  // A computed tensor or an input; names are made unique.
  int tensor(const Shape& shape, const Format& format,
             const std::optional<TfliteQuantization>& quantization, const std::string& name);
  // A constant of the file's types; elements of 4 and 2 bits are packed. Throws Error on a format
  // that the file type has not.
  int constant(const Tensor& elements, const std::optional<TfliteQuantization>& quantization,
               const std::string& name);

  // A tensor of the type and quantization of another.
  int like(int tensor, const Shape& shape, const std::string& name);

  // Appends a built-in operator of that name ("CONV_2D"). `version` is the least of the operator
  // that has what is asked of it.
  void add(std::string_view op, std::vector<int> inputs, std::vector<int> outputs, int version = 1);
  template <typename OptionsT>
  void add(std::string_view op, std::vector<int> inputs, std::vector<int> outputs, int version,
           OptionsT options) {
    add(op, std::move(inputs), std::move(outputs), version);
    last_operator().builtin_options.Set(std::move(options));
  }

  void set_inputs(std::vector<int> tensors) { graph_->inputs = std::move(tensors); }
  void set_outputs(std::vector<int> tensors) { graph_->outputs = std::move(tensors); }
  // Says that the first extent of a tensor may be any number.
  void leave_batch_open(int tensor);
  // Keeps a name for a tensor that is renamed later.
  void reserve(const std::string& name) { ++names_[name]; }
  void rename(int tensor, const std::string& name);

  std::string name(int tensor) const { return record(tensor).name; }
  bool is_constant(int tensor) const { return record(tensor).buffer != 0; }
  const Shape& shape(int tensor) const { return shapes_[static_cast<std::size_t>(tensor)]; }

  // The file. Throws Error where it has 2 GiB or more.
  std::string bytes(const std::string& description);

 private:
  tflite::TensorT& record(int tensor) const {
    return *graph_->tensors[static_cast<std::size_t>(tensor)];
  }
  tflite::OperatorT& last_operator() { return *graph_->operators.back(); }
  std::string unique_name(const std::string& wanted);

  tflite::ModelT model_;
  tflite::SubGraphT* graph_;
  std::vector<Shape> shapes_;
  std::map<std::string, int> names_;
  std::map<std::pair<std::int32_t, int>, std::uint32_t> codes_;  // of operator and version
};

}  // namespace tandem
