#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <tflite/tflite_schema_generated.h>
#include <vector>

#include "tandem/files/bytes.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

// Internal to the room: a subgraph of a TensorFlow Lite file with every offset, index,
// shape and buffer checked.

// real = scale * (code - zero), for the whole tensor or along one axis.
struct TfliteQuantization {
  std::vector<float> scales;
  std::vector<std::int64_t> zeros;  // as many as scales
  std::size_t axis = 0;             // where there is more than one scale

  bool is_per_tensor() const { return scales.size() == 1; }
  friend bool operator==(const TfliteQuantization&, const TfliteQuantization&) = default;
};

struct TfliteTensor {
  std::size_t index = 0;
  std::string name;
  tflite::TensorType type = tflite::TensorType::FLOAT32;
  Shape shape;
  std::optional<Format> format;  // absent: elements that are not read (strings, resources)
  std::optional<TfliteQuantization> quantization;
  ByteSpan data;                                         // of constants
  const tflite::SparsityParameters* sparsity = nullptr;  // where the data holds some elements only
  bool is_variable = false;                              // keeps its value between calls
  std::string obstacle, remedy;  // why the tensor cannot be used, where there is a reason

  bool is_constant() const { return !data.empty(); }
  std::string to_string() const;  // "tensor 3 'conv1' (int8[1,8,8,3])"
};

struct TfliteOperator {
  std::int32_t code = 0;     // of the built-in operators
  std::string custom;        // the name of a custom one
  std::vector<int> inputs;   // indices of tensors; -1 where an optional one is absent
  std::vector<int> outputs;  // indices of tensors
  const tflite::Operator* record = nullptr;
};

// Views into the bytes of the file, which must outlive it.
struct TfliteModel {
  std::string description;
  std::vector<TfliteTensor> tensors;
  std::vector<TfliteOperator> operators;  // each after those whose results it reads
  std::vector<int> inputs, outputs;
  const tflite::Model* record = nullptr;
  ByteSpan file;
};

// The first subgraph. Throws Error on bytes that are no sound model; an unreadable tensor is only
// marked.
TfliteModel parse_tflite_model(ByteSpan bytes);
// Another one of the same file, which may have no outputs. Throws Error where there is none.
TfliteModel subgraph_of(const TfliteModel& model, std::int32_t index);

// The elements of a constant; packed int4 and int2 are unpacked, sparse ones spread. Throws Error
// on NaN and on unsound sparsity.
Tensor constant_of(const TfliteTensor& tensor);

std::string_view name(tflite::TensorType type);        // "INT8"
std::string text_of(const flatbuffers::String* text);  // "" where it is absent
std::string_view name(tflite::TensorType type);        // "INT8"
// nullopt for types whose elements are not read.
std::optional<Format> format_of(tflite::TensorType type);

// A vector of numbers; absent means empty. The verifier does not hold elements of 8 bytes to their
// alignment, so they are copied as bytes.
template <typename T>
std::vector<T> list_of(const flatbuffers::Vector<T>* vector) {
  if (vector == nullptr) return {};
  std::vector<T> list(vector->size());
  if (!list.empty()) std::memcpy(list.data(), vector->Data(), list.size() * sizeof(T));
  for (T& number : list) number = flatbuffers::EndianScalar(number);
  return list;
}

}  // namespace tandem
