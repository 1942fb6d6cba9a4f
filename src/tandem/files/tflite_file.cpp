#include "tandem/files/tflite_file.h"

#include <algorithm>
#include <bit>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/bytes.h"
#include "tandem/files/tflite_import.h"

namespace tandem {
namespace {

tflite::TensorType type_of_format(const Format& format) {
  const tflite::TensorType last = tflite::TensorType::MAX;
  for (int type = 0; type <= static_cast<int>(last); ++type) {
    const auto candidate = static_cast<tflite::TensorType>(type);
    if (format_of(candidate) == format) return candidate;
  }
  throw Error("TensorFlow Lite has no type for ", format.name());
}

// The first element in the low bits of a byte.
std::vector<std::uint8_t> packed(const Tensor& elements) {
  const int bits = elements.format().bits(), per_byte = 8 / bits;
  std::vector<std::uint8_t> bytes(
      static_cast<std::size_t>((elements.size() + per_byte - 1) / per_byte));
  for (std::int64_t i = 0; i < elements.size(); ++i) {
    const auto code = static_cast<unsigned>(elements.integer(i)) & ((1U << bits) - 1);
    auto& byte = bytes[static_cast<std::size_t>(i / per_byte)];
    byte = static_cast<std::uint8_t>(byte | (code << (i % per_byte * bits)));
  }
  return bytes;
}

std::vector<std::uint8_t> bytes_of(const Tensor& elements) {
  const Format& format = elements.format();
  if (format.bits() < 8 && !format.is_boolean()) return packed(elements);
  Tensor copy = elements;
  const std::span<std::byte> bytes = copy.mutable_bytes();
  if constexpr (std::endian::native == std::endian::big)
    swap_elements(bytes, static_cast<std::size_t>(storage_bytes(format.storage())));
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  return {data, data + bytes.size()};
}

std::int32_t operator_code(std::string_view op) {
  for (std::int32_t code = 0; !tflite_operator_name(code).empty(); ++code)
    if (tflite_operator_name(code) == op) return code;
  throw InternalError(concat("TensorFlow Lite has no operator ", op));
}

}  // namespace

TfliteFile::TfliteFile() {
  model_.version = 3;
  model_.subgraphs.push_back(std::make_unique<tflite::SubGraphT>());
  graph_ = model_.subgraphs.back().get();
  graph_->name = "main";
  model_.buffers.push_back(std::make_unique<tflite::BufferT>());  // of all that is no constant
}

std::string TfliteFile::unique_name(const std::string& wanted) {
  const int count = names_[wanted]++;
  return count == 0 ? wanted : unique_name(concat(wanted, "_", count));
}

int TfliteFile::tensor(const Shape& shape, const Format& format,
                       const std::optional<TfliteQuantization>& quantization,
                       const std::string& name) {
  auto tensor = std::make_unique<tflite::TensorT>();
  tensor->type = type_of_format(format);
  for (const std::int64_t extent : shape) {
    if (extent < 1 || extent > INT32_MAX)
      throw Error("'", name, "' has the shape ", to_string(shape), ", beyond 31 bits");
    tensor->shape.push_back(static_cast<std::int32_t>(extent));
  }
  tensor->name = unique_name(name);
  if (quantization) {
    tensor->quantization = std::make_unique<tflite::QuantizationParametersT>();
    tensor->quantization->scale = quantization->scales;
    tensor->quantization->zero_point = quantization->zeros;
    tensor->quantization->quantized_dimension = static_cast<std::int32_t>(quantization->axis);
  }
  graph_->tensors.push_back(std::move(tensor));
  shapes_.push_back(shape);
  return static_cast<int>(shapes_.size()) - 1;
}

int TfliteFile::constant(const Tensor& elements,
                         const std::optional<TfliteQuantization>& quantization,
                         const std::string& name) {
  const int index = tensor(elements.shape(), elements.format(), quantization, name);
  auto buffer = std::make_unique<tflite::BufferT>();
  buffer->data = bytes_of(elements);
  graph_->tensors.back()->buffer = static_cast<std::uint32_t>(model_.buffers.size());
  model_.buffers.push_back(std::move(buffer));
  return index;
}

int TfliteFile::like(int tensor, const Shape& shape, const std::string& name) {
  auto copy = std::make_unique<tflite::TensorT>();
  const tflite::TensorT& model = record(tensor);
  copy->type = model.type;
  copy->name = unique_name(name);
  for (const std::int64_t extent : shape) copy->shape.push_back(static_cast<std::int32_t>(extent));
  if (model.quantization)
    copy->quantization = std::make_unique<tflite::QuantizationParametersT>(*model.quantization);
  graph_->tensors.push_back(std::move(copy));
  shapes_.push_back(shape);
  return static_cast<int>(shapes_.size()) - 1;
}

void TfliteFile::add(std::string_view op, std::vector<int> inputs, std::vector<int> outputs,
                     int version) {
  constexpr std::int32_t kCodeIsElsewhere = 127;
  const std::int32_t code = operator_code(op);
  const auto [place, is_new] =
      codes_.try_emplace({code, version}, static_cast<std::uint32_t>(model_.operator_codes.size()));
  if (is_new) {
    auto entry = std::make_unique<tflite::OperatorCodeT>();
    entry->deprecated_builtin_code = static_cast<std::int8_t>(std::min(code, kCodeIsElsewhere));
    entry->builtin_code = code;
    entry->version = version;
    model_.operator_codes.push_back(std::move(entry));
  }
  auto record = std::make_unique<tflite::OperatorT>();
  record->opcode_index = place->second;
  record->inputs = std::move(inputs);
  record->outputs = std::move(outputs);
  graph_->operators.push_back(std::move(record));
}

void TfliteFile::leave_batch_open(int tensor) {
  tflite::TensorT& open = record(tensor);
  open.shape_signature = open.shape;
  if (!open.shape.empty()) open.shape_signature[0] = -1;
}

void TfliteFile::rename(int tensor, const std::string& name) { record(tensor).name = name; }

std::string TfliteFile::bytes(const std::string& description) {
  constexpr std::size_t kMost = std::size_t{1} << 31;
  std::size_t size = 0;
  for (const auto& buffer : model_.buffers) size += buffer->data.size();
  if (size >= kMost - (kMost >> 4))
    throw Error("its constants have ", size, " bytes; TensorFlow Lite's files have 2 GiB at most");
  model_.description = description;
  flatbuffers::FlatBufferBuilder builder;
  tflite::FinishModelBuffer(builder, tflite::Model::Pack(builder, &model_));
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

}  // namespace tandem
