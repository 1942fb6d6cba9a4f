#pragma once

#include <map>
#include <vector>

#include "tandem/graph/operator.h"
#include "tandem/kernels/decode_weights.h"

namespace tandem {

// Internal to the room: products whose constant weights are codes (Dequantize of constants) and
// stay packed.

// Whether a product of so many rows takes less time with packed weights, which are decoded anew for
// every four rows, than with those of f32, which have four or more times the bytes: by the costs of
// a weight that comes from memory.
bool decoding_pays(const CodeDecoder& decoder, std::int64_t rows);

// The right operand of a product as packed weights.
struct PackedRight {
  std::vector<NodeId> nodes;  // the Dequantize, and the Reshape behind it where there is one
  std::int64_t rows = 0;      // of the left operand
  std::int64_t depth = 0, columns = 0, group = 0;
  CodeDecoder decoder;
};

// The products of "main" that read packed weights, by their nodes. Of few rows, with codes that a
// kernel decodes, scales for groups along the depth, and whole zero points; nothing but such
// products reads the weights.
std::map<NodeId, PackedRight> decode_products(const Module& module);

}  // namespace tandem
