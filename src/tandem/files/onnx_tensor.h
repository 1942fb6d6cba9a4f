#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <onnx/onnx-ml.pb.h>

#include "tandem/tensor/tensor.h"

namespace tandem {

// Internal to the room: tensors of ONNX's schema and ours.

// The format of an ONNX element type, or nullopt where there is none here (strings, complex
// numbers, bare exponents).
std::optional<Format> onnx_format(std::int32_t data_type);
// The same of an attribute; throws Refusal: `reason` and the type's name.
Format required_format(std::int64_t data_type, std::string_view reason);
// The reverse; nullopt for formats that ONNX has not.
std::optional<onnx::TensorProto::DataType> onnx_type(const Format& format);
// "FLOAT", "INT4", or the number of an unknown type.
std::string onnx_type_name(std::int32_t data_type);

// The elements of a tensor, from the message itself or from an external file beside the model.
// Throws Error on a type without format, a wrong number of bytes, a shape beyond 2^40 elements, a
// location outside `folder` (every external location where `folder` is empty), or a NaN where it
// has no meaning.
Tensor tensor_of(const onnx::TensorProto& proto, const std::filesystem::path& folder,
                 bool nan_has_meaning = false);

// The message for a tensor whose format ONNX has (InternalError otherwise).
onnx::TensorProto proto_of(const Tensor& tensor, const std::string& name);

}  // namespace tandem
