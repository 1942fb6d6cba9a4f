#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tandem/files/onnx_import.h"

namespace tandem {

// Internal to the room: what the readers of ONNX Runtime's own operators (domain com.microsoft)
// share. They are what its optimiser and its quantizer write.

// A number in the format of `like`.
ValueId constant_like(OnnxNode& node, double number, ValueId like);

// The same numbers in a format; x itself where it has it.
ValueId cast_to(OnnxNode& node, ValueId x, const Format& format);

// x without its dimensions' order: axes in the order of `perm`, or x itself where that is the same.
ValueId permuted(OnnxNode& node, ValueId x, const std::vector<std::int64_t>& perm);

// Elements [begin, end) of an axis.
ValueId sliced(OnnxNode& node, ValueId x, std::int64_t axis, std::int64_t begin, std::int64_t end);

// [N,H,W,C] as [N,C,H,W] and back.
ValueId channels_first(OnnxNode& node, ValueId x);
ValueId channels_last(OnnxNode& node, ValueId x);

// The function that a fused node applies to its result: attribute `activation` with `parameters`.
ValueId activated(OnnxNode& node, ValueId x, const std::vector<double>& parameters);

// The codes uint8, the scale and the zero point (real) of a real tensor's range with zero.
struct DynamicCodes {
  ValueId codes, scale, zero;
};
DynamicCodes quantized_dynamically(OnnxNode& node, ValueId x);

// The floats of an attribute; empty where it is absent.
std::vector<double> float_list(OnnxNode& node, std::string_view name);

}  // namespace tandem
