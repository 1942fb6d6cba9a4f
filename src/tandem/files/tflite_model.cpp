#include "tandem/files/tflite_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <set>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/tflite_sparse.h"

namespace tandem {
namespace {

// Converters join the names of all operators that they fused by ';'. The last one that is no read
// of a variable says which layer it is.
std::string short_name(const std::string& name) {
  std::string result;
  for (const std::string& part : split(name, ';'))
    if (!part.empty() && (result.empty() || part.find("ReadVariableOp") == std::string::npos))
      result = part;
  return result;
}

using flatbuffers::Vector;

constexpr std::uint32_t kSchemaVersion = 3;
constexpr std::int8_t kCodeIsElsewhere = 127;
constexpr std::size_t kMostRank = 8;

template <typename T>
std::size_t size_of(const Vector<T>* vector) {
  return vector == nullptr ? 0 : vector->size();
}

const tflite::Model& verified(ByteSpan bytes) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  constexpr std::size_t kSmallest = 8;
  if (bytes.size() < kSmallest || !tflite::ModelBufferHasIdentifier(data))
    throw Error("is no TensorFlow Lite model: the mark 'TFL3' is missing at byte 4");
  constexpr std::size_t kMostBytes = std::size_t{1} << 31;
  if (bytes.size() >= kMostBytes) throw Error("has 2 GiB or more, which is not read");
  constexpr flatbuffers::uoffset_t kDepth = 32, kTables = 1000000;
  flatbuffers::Verifier verifier(data, bytes.size(), kDepth, kTables);
  if (!tflite::VerifyModelBuffer(verifier)) {
    throw Error(
        "is damaged: an offset or a size of its flatbuffer is out of bounds; copy or export "
        "the file again");
  }
  return *tflite::GetModel(data);
}

// The bytes of so many elements; sub-byte ones are packed.
std::size_t bytes_of(const Format& format, std::int64_t elements) {
  const std::int64_t bits = format.is_boolean() ? 8 : format.bits();
  return static_cast<std::size_t>((elements * bits + 7) / 8);
}

void mark(TfliteTensor& tensor, std::string obstacle, std::string remedy) {
  if (!tensor.obstacle.empty()) return;
  tensor.obstacle = std::move(obstacle);
  tensor.remedy = std::move(remedy);
}

// The shape, with a mark where the file leaves an extent open. A batch that the file leaves open is
// that of its example shape, 1.
void read_shape(TfliteTensor& tensor, const tflite::Tensor& record) {
  for (const std::int32_t extent : list_of(record.shape())) tensor.shape.push_back(extent);
  const auto signature = list_of(record.shape_signature());
  const bool open = std::ranges::any_of(tensor.shape, [](auto extent) { return extent <= 0; }) ||
                    (signature.size() > 1 && std::any_of(signature.begin() + 1, signature.end(),
                                                         [](auto d) { return d < 0; }));
  if (open) {
    mark(tensor, concat("the shape of ", tensor.to_string(), " is dynamic"),
         "convert the model with fixed input shapes (a concrete function, or "
         "Interpreter.resize_tensor_input before saving)");
  }
  if (tensor.shape.size() > kMostRank)
    throw Error(tensor.to_string(), " has ", tensor.shape.size(), " axes, more than ", kMostRank);
  if (!open) element_count(tensor.shape);  // throws on an absurd size
}

void read_quantization(TfliteTensor& tensor, const tflite::Tensor& record) {
  const auto* parameters = record.quantization();
  if (parameters == nullptr) return;
  if (parameters->details_type() != 0) {
    mark(tensor, concat("the quantization of ", tensor.to_string(), " is of a special kind"),
         "convert the model with scales per tensor or per channel");
    return;
  }
  if (size_of(parameters->scale()) == 0) return;  // a range without scale says nothing
  TfliteQuantization quantization;
  quantization.scales = list_of(parameters->scale());
  quantization.zeros = list_of(parameters->zero_point());
  const std::size_t count = quantization.scales.size();
  if (quantization.zeros.empty()) quantization.zeros.assign(count, 0);
  if (quantization.zeros.size() == 1) quantization.zeros.assign(count, quantization.zeros[0]);
  if (quantization.zeros.size() != count) {
    throw Error(tensor.to_string(), " has ", count, " scales and ", quantization.zeros.size(),
                " zero points");
  }
  const std::int32_t axis = parameters->quantized_dimension();
  if (count > 1 &&
      (axis < 0 || static_cast<std::size_t>(axis) >= tensor.shape.size() ||
       tensor.shape[static_cast<std::size_t>(axis)] != static_cast<std::int64_t>(count))) {
    throw Error(tensor.to_string(), " has ", count, " scales for its axis ", axis);
  }
  quantization.axis = count > 1 ? static_cast<std::size_t>(axis) : 0;
  for (const float scale : quantization.scales) {
    if (!(scale > 0) || !std::isfinite(scale))
      throw Error(tensor.to_string(), " has the scale ", scale, "; scales are positive");
  }
  const bool coded = tensor.format && tensor.format->is_integer() && tensor.format->bits() <= 64;
  if (!coded) return;  // a leftover on a real tensor
  const IntegerRange codes = tensor.format->integer_range();
  for (const std::int64_t zero : quantization.zeros) {
    if (zero < codes.min || zero > codes.max)
      throw Error(tensor.to_string(), " has the zero point ", zero, ", which is no code of it");
  }
  tensor.quantization = std::move(quantization);
}

void read_buffer(TfliteTensor& tensor, const tflite::Tensor& record, const tflite::Model& model,
                 ByteSpan file) {
  if (record.buffer() >= size_of(model.buffers())) {
    throw Error(tensor.to_string(), " refers to buffer ", record.buffer(), " of ",
                size_of(model.buffers()));
  }
  const tflite::Buffer& buffer = *model.buffers()->Get(record.buffer());
  if (buffer.offset() > 1) {
    if (buffer.offset() > file.size() || buffer.size() > file.size() - buffer.offset())
      throw Error(tensor.to_string(), " has its elements beyond the end of the file");
    tensor.data = file.subspan(buffer.offset(), buffer.size());
  } else if (buffer.data() != nullptr) {
    tensor.data = std::as_bytes(std::span(buffer.data()->data(), buffer.data()->size()));
  }
  if (tensor.data.empty()) return;
  if (!tensor.format || !tensor.obstacle.empty()) return;
  tensor.sparsity = record.sparsity();
  if (tensor.sparsity != nullptr) return;  // constant_of() holds it to its sparsity
  const std::size_t wanted = bytes_of(*tensor.format, element_count(tensor.shape));
  if (tensor.data.size() != wanted) {
    throw Error(tensor.to_string(), " has ", tensor.data.size(), " bytes where its shape needs ",
                wanted);
  }
}

TfliteTensor tensor_of(const tflite::Tensor& record, std::size_t index, const tflite::Model& model,
                       ByteSpan file) {
  TfliteTensor tensor;
  tensor.index = index;
  tensor.name = short_name(text_of(record.name()));
  if (tensor.name.empty()) tensor.name = concat("tensor_", index);
  tensor.type = record.type();
  tensor.format = format_of(tensor.type);
  read_shape(tensor, record);
  if (!tensor.format) {
    mark(tensor, concat(tensor.to_string(), " has elements of type ", name(tensor.type)),
         "convert the model without them");
  }
  read_quantization(tensor, record);
  read_buffer(tensor, record, model, file);
  tensor.is_variable = record.is_variable() && !tensor.is_constant();
  if (tensor.is_variable) {
    mark(tensor, concat(tensor.to_string(), " is a variable that keeps its value between calls"),
         "unroll the recurrence, or give the state as an input and an output");
  }
  return tensor;
}

TfliteOperator operator_of(const tflite::Operator& record, const tflite::Model& model,
                           std::size_t tensors) {
  if (record.opcode_index() >= size_of(model.operator_codes())) {
    throw Error("refers to operator code ", record.opcode_index(), " of ",
                size_of(model.operator_codes()));
  }
  const tflite::OperatorCode& code = *model.operator_codes()->Get(record.opcode_index());
  TfliteOperator result;
  // Files of old converters hold small codes only.
  result.code = code.deprecated_builtin_code() == kCodeIsElsewhere
                    ? code.builtin_code()
                    : std::max<std::int32_t>(code.builtin_code(), code.deprecated_builtin_code());
  result.custom = text_of(code.custom_code());
  result.inputs = list_of(record.inputs());
  result.outputs = list_of(record.outputs());
  result.record = &record;
  const auto check = [&](int index, int least, std::string_view what) {
    if (index < least || index >= static_cast<int>(tensors))
      throw Error(what, " is tensor ", index, " of ", tensors);
  };
  for (const int input : result.inputs) check(input, -1, "an input");
  for (const int output : result.outputs) check(output, 0, "an output");
  return result;
}

// Each tensor has one origin: a constant, an input, or an operator before those that read it.
void check_order(const TfliteModel& model) {
  std::set<int> computed;
  for (const int input : model.inputs) {
    const TfliteTensor& tensor = model.tensors[static_cast<std::size_t>(input)];
    if (tensor.is_constant()) throw Error("the input ", tensor.to_string(), " is a constant");
    if (!computed.insert(input).second) throw Error(tensor.to_string(), " is an input twice");
  }
  const auto is_there = [&](int index) {
    return computed.contains(index) ||
           model.tensors[static_cast<std::size_t>(index)].is_constant() ||
           !model.tensors[static_cast<std::size_t>(index)].obstacle.empty();
  };
  for (std::size_t i = 0; i < model.operators.size(); ++i) {
    for (const int input : model.operators[i].inputs) {
      if (input >= 0 && !is_there(input)) {
        throw Error("operator ", i, " reads ",
                    model.tensors[static_cast<std::size_t>(input)].to_string(),
                    ", which nothing computes before it");
      }
    }
    for (const int output : model.operators[i].outputs) {
      const TfliteTensor& tensor = model.tensors[static_cast<std::size_t>(output)];
      if (tensor.is_constant())
        throw Error("operator ", i, " writes ", tensor.to_string(), ", a constant");
      if (!computed.insert(output).second)
        throw Error("operator ", i, " writes ", tensor.to_string(), ", which is already computed");
    }
  }
  for (const int output : model.outputs) {
    if (!is_there(output)) {
      throw Error("nothing computes the output ",
                  model.tensors[static_cast<std::size_t>(output)].to_string());
    }
  }
}

TfliteModel graph_of(const tflite::Model& model, ByteSpan file, std::size_t index) {
  TfliteModel result;
  result.description = text_of(model.description());
  result.record = &model;
  result.file = file;
  const tflite::SubGraph& graph =
      *model.subgraphs()->Get(static_cast<flatbuffers::uoffset_t>(index));
  for (std::size_t i = 0; i < size_of(graph.tensors()); ++i) {
    const auto at = static_cast<flatbuffers::uoffset_t>(i);
    result.tensors.push_back(tensor_of(*graph.tensors()->Get(at), i, model, file));
  }
  for (std::size_t i = 0; i < size_of(graph.operators()); ++i) {
    const auto at = static_cast<flatbuffers::uoffset_t>(i);
    try {
      result.operators.push_back(
          operator_of(*graph.operators()->Get(at), model, result.tensors.size()));
    } catch (const Error& error) {
      throw error.at(concat("operator ", i));
    }
  }
  result.inputs = list_of(graph.inputs());
  result.outputs = list_of(graph.outputs());
  for (const auto* list : {&result.inputs, &result.outputs}) {
    for (const int end : *list) {
      if (end < 0 || end >= static_cast<int>(result.tensors.size()))
        throw Error("lists tensor ", end, " of ", result.tensors.size(), " as input or output");
    }
  }
  check_order(result);
  return result;
}

// Elements of 2 or 4 bits, the first in the low bits of a byte.
std::vector<std::int64_t> unpacked(ByteSpan bytes, const Format& format, std::int64_t count) {
  const int bits = format.bits(), per_byte = 8 / bits;
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto byte = std::to_integer<unsigned>(bytes[static_cast<std::size_t>(i / per_byte)]);
    const unsigned code = (byte >> (i % per_byte * bits)) & ((1U << bits) - 1);
    values.push_back(format.integer_of(code));
  }
  return values;
}

}  // namespace

std::string text_of(const flatbuffers::String* text) { return text == nullptr ? "" : text->str(); }

std::optional<Format> format_of(tflite::TensorType type) {
  using enum tflite::TensorType;
  switch (type) {
    case FLOAT32: return Format();
    case FLOAT16: return Format::parse("f16");
    case BFLOAT16: return Format::parse("bf16");
    case FLOAT64: return Format::parse("f64");
    case BOOL: return Format::parse("bool");
    case INT2: return Format::integer(2, true);
    case INT4: return Format::integer(4, true);
    case INT8: return Format::integer(8, true);
    case INT16: return Format::integer(16, true);
    case INT32: return Format::integer(32, true);
    case INT64: return Format::integer(64, true);
    case UINT4: return Format::integer(4, false);
    case UINT8: return Format::integer(8, false);
    case UINT16: return Format::integer(16, false);
    case UINT32: return Format::integer(32, false);
    default: return std::nullopt;
  }
}

std::string_view name(tflite::TensorType type) {
  const char* text = tflite::EnumNameTensorType(type);
  return *text == '\0' ? "of an unknown number" : text;
}

std::string TfliteTensor::to_string() const {
  return concat("tensor ", index, " ", quote(name), " (",
                format ? format->name() : std::string(tandem::name(type)), tandem::to_string(shape),
                ")");
}

TfliteModel parse_tflite_model(ByteSpan bytes) {
  const tflite::Model& model = verified(bytes);
  if (model.version() != kSchemaVersion) {
    throw Error("has schema version ", model.version(), "; version ", kSchemaVersion,
                " is read (convert the model again)");
  }
  if (size_of(model.subgraphs()) == 0) throw Error("has no subgraph");
  try {
    TfliteModel result = graph_of(model, bytes, 0);
    if (result.outputs.empty()) throw Error("has no outputs");
    return result;
  } catch (const Error& error) {
    throw error.at("subgraph 0");
  }
}

TfliteModel subgraph_of(const TfliteModel& model, std::int32_t index) {
  const std::size_t count = size_of(model.record->subgraphs());
  if (index < 1 || static_cast<std::size_t>(index) >= count)
    throw Error("refers to subgraph ", index, " of ", count);
  try {
    return graph_of(*model.record, model.file, static_cast<std::size_t>(index));
  } catch (const Error& error) {
    throw error.at(concat("subgraph ", index));
  }
}

Tensor constant_of(const TfliteTensor& tensor) {
  ensure(tensor.is_constant() && tensor.format && tensor.obstacle.empty(),
         "constant_of a tensor without elements");
  const Format& format = *tensor.format;
  std::vector<std::byte> spread;
  ByteSpan data = tensor.data;
  if (tensor.sparsity != nullptr) {
    spread = densified(tensor);
    data = spread;
  } else if (format.bits() < 8 && !format.is_boolean()) {
    const auto values = unpacked(tensor.data, format, element_count(tensor.shape));
    return Tensor::from_integers(format, tensor.shape, values);
  }
  Tensor result(format, tensor.shape);
  const std::span<std::byte> bytes = result.mutable_bytes();
  ensure(bytes.size() == data.size(), "size of a constant");
  std::memcpy(bytes.data(), data.data(), bytes.size());
  if constexpr (std::endian::native == std::endian::big)
    swap_elements(bytes, static_cast<std::size_t>(storage_bytes(format.storage())));
  if (format.is_boolean()) {
    for (std::byte& byte : bytes) byte = byte == std::byte{0} ? std::byte{0} : std::byte{1};
  }
  if (format.is_float()) {
    for (const double value : result.to_reals())
      if (std::isnan(value)) throw Error(tensor.to_string(), " contains NaN; correct the training");
  }
  return result;
}

}  // namespace tandem
