#include "tandem/files/onnx_tensor.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/bytes.h"
#include "tandem/files/element_check.h"
#include "tandem/files/refused.h"

namespace tandem {
namespace {

using onnx::TensorProto;

struct TypePair {
  TensorProto::DataType onnx;
  std::string_view format;
};

// UINT64 is held as uint63: no network needs the upper half, and element by element it is checked.
constexpr std::array kTypes = {TypePair{TensorProto::FLOAT, "f32"},
                               TypePair{TensorProto::DOUBLE, "f64"},
                               TypePair{TensorProto::FLOAT16, "f16"},
                               TypePair{TensorProto::BFLOAT16, "bf16"},
                               TypePair{TensorProto::BOOL, "bool"},
                               TypePair{TensorProto::INT8, "int8"},
                               TypePair{TensorProto::INT16, "int16"},
                               TypePair{TensorProto::INT32, "int32"},
                               TypePair{TensorProto::INT64, "int64"},
                               TypePair{TensorProto::UINT8, "uint8"},
                               TypePair{TensorProto::UINT16, "uint16"},
                               TypePair{TensorProto::UINT32, "uint32"},
                               TypePair{TensorProto::UINT64, "uint63"},
                               TypePair{TensorProto::INT4, "int4"},
                               TypePair{TensorProto::UINT4, "uint4"},
                               TypePair{TensorProto::INT2, "int2"},
                               TypePair{TensorProto::UINT2, "uint2"},
                               TypePair{TensorProto::FLOAT8E5M2, "e5m2"},
                               TypePair{TensorProto::FLOAT8E4M3FN, "e4m3"},
                               TypePair{TensorProto::FLOAT8E4M3FNUZ, "e4m3fnuz"},
                               TypePair{TensorProto::FLOAT8E5M2FNUZ, "e5m2fnuz"},
                               TypePair{TensorProto::FLOAT4E2M1, "e2m1"}};

bool is_packed(const Format& format) { return !format.is_boolean() && format.bits() < 8; }

std::uint64_t raw_bytes(const Format& format, std::int64_t count) {
  const auto elements = static_cast<std::uint64_t>(count);
  if (is_packed(format)) return (elements * static_cast<std::uint64_t>(format.bits()) + 7) / 8;
  return elements * static_cast<std::uint64_t>(storage_bytes(format.storage()));
}

std::filesystem::path external_path(const std::string& location,
                                    const std::filesystem::path& folder) {
  if (folder.empty()) {
    throw Error("its data lie in the file '", location,
                "', which a model in memory cannot refer to; save the model with its data inside");
  }
  const std::filesystem::path relative(location);
  std::error_code status;
  const auto root = std::filesystem::weakly_canonical(folder, status);
  const auto path = std::filesystem::weakly_canonical(root / relative, status);
  const bool inside =
      !status && !relative.empty() && !relative.is_absolute() &&
      location.find('\0') == std::string::npos &&
      std::mismatch(root.begin(), root.end(), path.begin(), path.end()).first == root.end();
  if (!inside) {
    throw Error("its data lie in '", location,
                "', outside the model's folder; move that file beside the model");
  }
  return path;
}

std::uint64_t external_number(const std::string& key, const std::string& text) {
  const long long value = parse_integer(text, concat("external data: ", key));
  if (value < 0) throw Error("external data: ", key, " is negative");
  return static_cast<std::uint64_t>(value);
}

SharedBytes external_bytes(const TensorProto& proto, std::uint64_t wanted,
                           const std::filesystem::path& folder) {
  std::string location;
  std::uint64_t offset = 0, length = wanted;
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") {
      location = entry.value();
    } else if (entry.key() == "offset") {
      offset = external_number("offset", entry.value());
    } else if (entry.key() == "length") {
      length = external_number("length", entry.value());
    } else if (entry.key() != "checksum") {
      throw Error("external data: unknown key '", entry.key(), "'",
                  suggestion(entry.key(), {"location", "offset", "length", "checksum"}));
    }
  }
  if (length != wanted)
    throw Error("external data: length ", length, " where the shape needs ", wanted, " bytes");
  return map_file_range(external_path(location, folder), offset, length);
}

// Codes of 2 or 4 bits, the first in the low bits of each byte.
Tensor unpack(const Format& format, const Shape& shape, ByteSpan bytes) {
  const int bits = format.bits();
  const unsigned per_byte = 8U / static_cast<unsigned>(bits);
  Tensor tensor(format, shape);
  visit_storage(format.storage(), [&]<typename T>() {
    const std::span<T> to = tensor.mutable_data<T>();
    for (std::size_t i = 0; i < to.size(); ++i) {
      const auto byte = std::to_integer<unsigned>(bytes[i / per_byte]);
      const unsigned code =
          byte >> (i % per_byte * static_cast<unsigned>(bits)) & ((1U << bits) - 1);
      // Integers are stored as they are, floats as their codes.
      to[i] = static_cast<T>(format.is_uniform() ? format.integer_of(code)
                                                 : static_cast<std::int64_t>(code));
    }
  });
  return tensor;
}

Tensor from_raw(const Format& format, const Shape& shape, ByteSpan bytes) {
  if (is_packed(format)) return unpack(format, shape, bytes);
  Tensor tensor(format, shape);
  const auto to = tensor.mutable_bytes();
  ensure(to.size() == bytes.size(), "raw bytes of a tensor");
  std::copy(bytes.begin(), bytes.end(), to.begin());
  return tensor;
}

// The same over bytes that stay where they are, where they lie as tensors need them.
Tensor over_raw(const Format& format, const Shape& shape, const SharedBytes& raw) {
  const auto address = reinterpret_cast<std::uintptr_t>(raw.bytes.data());
  const auto width = static_cast<std::uintptr_t>(storage_bytes(format.storage()));
  if (is_packed(format) || address % width != 0) return from_raw(format, shape, raw.bytes);
  return Tensor::borrowing(format, shape, raw.bytes, raw.owner);
}

// The typed lists: elements narrower than the list's type are checked against their own range.
template <typename List>
Tensor from_list(const Format& format, const Shape& shape, const List& list) {
  const std::int64_t count = element_count(shape);
  // Codes of 2 and 4 bits are packed in bytes here too.
  const auto wanted =
      is_packed(format) ? raw_bytes(format, count) : static_cast<std::uint64_t>(count);
  if (static_cast<std::uint64_t>(list.size()) != wanted)
    throw Error(list.size(), " elements where the shape ", to_string(shape), " has ", count);
  if (is_packed(format)) {
    std::vector<std::byte> bytes;
    for (const auto element : list) {
      if (element < static_cast<decltype(element)>(0) || static_cast<std::uint64_t>(element) > 255)
        throw Error("a byte of packed elements is ", element);
      bytes.push_back(static_cast<std::byte>(element));
    }
    return unpack(format, shape, bytes);
  }
  Tensor tensor(format, shape);
  visit_storage(format.storage(), [&]<typename T>() {
    const std::span<T> to = tensor.mutable_data<T>();
    for (std::size_t i = 0; i < to.size(); ++i) {
      const auto element = list[static_cast<int>(i)];
      to[i] = static_cast<T>(element);
      if (static_cast<decltype(element)>(to[i]) != element && element == element)
        throw Error("element ", element, " is no ", format.name());
    }
  });
  return tensor;
}

bool has_typed_list(const TensorProto& proto) {
  return proto.float_data_size() > 0 || proto.double_data_size() > 0 ||
         proto.int32_data_size() > 0 || proto.int64_data_size() > 0 || proto.uint64_data_size() > 0;
}

Tensor from_typed(const TensorProto& proto, const Format& format, const Shape& shape) {
  switch (proto.data_type()) {
    case TensorProto::FLOAT: return from_list(format, shape, proto.float_data());
    case TensorProto::DOUBLE: return from_list(format, shape, proto.double_data());
    case TensorProto::INT64: return from_list(format, shape, proto.int64_data());
    case TensorProto::UINT32:
    case TensorProto::UINT64: return from_list(format, shape, proto.uint64_data());
    default: return from_list(format, shape, proto.int32_data());
  }
}

void check_no_nan(const Tensor& tensor) {
  if (!tensor.format().is_float()) return;
  const auto refuse = [&](std::int64_t i) {
    throw Error("element ", i, " of ", tensor.size(),
                " is NaN; the training that made it diverged, export a sound checkpoint");
  };
  if (tensor.format().storage() == Storage::kF32) {
    const auto data = tensor.data<float>();
    for (std::size_t i = 0; i < data.size(); ++i)
      if (std::isnan(data[i])) refuse(static_cast<std::int64_t>(i));
    return;
  }
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    if (std::isnan(tensor.real(i))) refuse(i);
}

}  // namespace

std::optional<Format> onnx_format(std::int32_t data_type) {
  for (const TypePair& pair : kTypes)
    if (pair.onnx == data_type) return Format::parse(pair.format);
  return std::nullopt;
}

std::optional<TensorProto::DataType> onnx_type(const Format& format) {
  for (const TypePair& pair : kTypes)
    if (format == Format::parse(pair.format)) return pair.onnx;
  return std::nullopt;
}

Format required_format(std::int64_t data_type, std::string_view reason) {
  const auto type = static_cast<std::int32_t>(data_type);
  if (const auto format = onnx_format(type)) return *format;
  throw Refusal(concat(reason, onnx_type_name(type)), "use FLOAT or an integer type");
}

std::string onnx_type_name(std::int32_t data_type) {
  if (TensorProto::DataType_IsValid(data_type))
    return TensorProto::DataType_Name(static_cast<TensorProto::DataType>(data_type));
  return std::to_string(data_type);
}

Tensor tensor_of(const TensorProto& proto, const std::filesystem::path& folder,
                 bool nan_has_meaning) {
  const auto format = onnx_format(proto.data_type());
  if (!format) {
    throw Error("elements of type ", onnx_type_name(proto.data_type()),
                " are not read; convert the tensor to FLOAT or an integer type");
  }
  if (proto.has_segment()) throw Error("tensors in segments are not read; save the model whole");
  const Shape shape(proto.dims().begin(), proto.dims().end());
  const std::int64_t count = element_count(shape);
  Tensor tensor;
  if (proto.data_location() == TensorProto::EXTERNAL) {
    tensor = over_raw(*format, shape, external_bytes(proto, raw_bytes(*format, count), folder));
  } else if (proto.has_raw_data() && !(proto.raw_data().empty() && has_typed_list(proto))) {
    const std::string& raw = proto.raw_data();
    if (raw.size() != raw_bytes(*format, count)) {
      throw Error(raw.size(), " bytes of data where ", format->name(), to_string(shape), " has ",
                  raw_bytes(*format, count));
    }
    tensor = from_raw(*format, shape, std::as_bytes(std::span(raw)));
  } else {
    tensor = from_typed(proto, *format, shape);
  }
  check_elements(tensor);
  if (!nan_has_meaning) check_no_nan(tensor);
  return tensor;
}

TensorProto proto_of(const Tensor& tensor, const std::string& name) {
  const auto type = onnx_type(tensor.format());
  ensure(type.has_value(), concat("format ", tensor.format().name(), " has no ONNX type"));
  TensorProto proto;
  proto.set_name(name);
  proto.set_data_type(*type);
  for (const std::int64_t extent : tensor.shape()) proto.add_dims(extent);
  std::string& raw = *proto.mutable_raw_data();
  if (!is_packed(tensor.format())) {
    raw.assign(reinterpret_cast<const char*>(tensor.bytes().data()), tensor.bytes().size());
    return proto;
  }
  const int bits = tensor.format().bits();
  const std::int64_t per_byte = 8 / bits;
  raw.assign(raw_bytes(tensor.format(), tensor.size()), '\0');
  for (std::int64_t i = 0; i < tensor.size(); ++i) {
    const auto code = static_cast<unsigned>(
        tensor.format().is_uniform() ? tensor.format().code_of(tensor.integer(i))
                                     : tensor.data<std::uint8_t>()[static_cast<std::size_t>(i)]);
    char& byte = raw[static_cast<std::size_t>(i / per_byte)];
    byte = static_cast<char>(static_cast<unsigned char>(byte) |
                             code << (i % per_byte * static_cast<std::int64_t>(bits)));
  }
  return proto;
}

}  // namespace tandem
