#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/files/onnx_import.h"

namespace tandem {

// Internal to the room: parameters of quantizers, QONNX's domains and data types.

// The real numbers of a scale or zero point as f32.
ValueId real_parameter(OnnxNode& node, std::size_t input);
// A zero point, or kNone where it is absent or zero.
ValueId zero_parameter(OnnxNode& node, std::size_t input);
// ONNX lays the elements of a 1-D parameter along `axis`; broadcasting wants them in its place.
ValueId along_axis(OnnxNode& node, ValueId parameter, std::int64_t axis, std::size_t rank);

inline constexpr std::string_view kQonnxPrefix = "qonnx:";
inline constexpr std::string_view kQonnxDomain = "qonnx.custom_op.general";  // the one written
// Metadata in which the writer keeps the bounds of a symbol: "tandem_symbol:N" is "1,64".
inline constexpr std::string_view kSymbolKey = "tandem_symbol:";

// "qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas".
bool is_qonnx_domain(std::string_view domain);

// The format of a QONNX data type ("BIPOLAR", "BINARY", "TERNARY", "INT4", "UINT8"); nullopt for
// those that say nothing about codes ("FLOAT32", "SCALEDINT<8>").
std::optional<Format> qonnx_data_type(std::string_view name);

// The format and limits of integers of so many bits, without the least (signed) or the greatest
// (unsigned) where the range is narrow.
struct QonnxCodes {
  Format format;
  std::vector<std::int64_t> limits;  // empty: the format's whole range
};
QonnxCodes qonnx_codes(int bits, bool is_signed, bool narrow);

// "ROUND", "CEIL", "HALF_UP" (ties away from zero), "HALF_DOWN" (ties toward it), ...
Rounding qonnx_rounding(std::string_view mode);

// A constant scalar input that holds a bit width.
int qonnx_bits(OnnxNode& node, std::size_t input, std::string_view what);

void import_trunc(OnnxNode& node);

// A real tensor that a quantization annotation declares to hold the integers of a format, passed
// through Quantize and Dequantize of scale 1: the same numbers, and a network that lowers.
ValueId annotated_value(Builder& builder, ConstantNames& constants, ValueId value,
                        const Format& format, const std::string& name);
// The same for an initializer. Throws Error where an element is no such integer.
OnnxValue annotated_constant(Builder& builder, ConstantNames& constants, const Tensor& tensor,
                             const Format& format, const std::string& name);

}  // namespace tandem
