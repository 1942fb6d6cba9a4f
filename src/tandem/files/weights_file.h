#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/files/bytes.h"
#include "tandem/graph/module.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

// Files of weights without a network. Each becomes a module whose "main" has no inputs and one
// output for each tensor, of the tensor's name: a constant, or constant codes with the Dequantize
// that makes reals of them (nested scales are Dequantize, too). All throw Error naming `source`,
// the tensor and what is wrong.

// Hugging Face's safetensors: F64, F32, F16, BF16, BOOL, I8..I64, U8..U32 as constants, F8_E4M3 and
// F8_E5M2 as codes of scale 1. Tensors of bitsandbytes' 4-bit layers ("w" with "w.absmax",
// "w.quant_map", "w.quant_state.bitsandbytes__nf4", and the nested ones) become nf4 or bnb_fp4
// codes in blocks ("QLoRA", section 3).
Module read_safetensors(ByteSpan bytes, std::string_view source);
Module read_safetensors(const std::filesystem::path& path);

// GGUF, version 2 or 3: F64, F32, F16, BF16, I8..I64, and the blocks Q4_0, Q4_1, Q5_0, Q5_1, Q8_0,
// Q4_K, Q5_K, Q6_K and MXFP4. Metadata of strings, numbers and booleans becomes the module's.
Module read_gguf(ByteSpan bytes, std::string_view source);
Module read_gguf(const std::filesystem::path& path);

// A tensor of such a file from its little-endian elements, whose number fits the shape: without a
// copy where they are aligned and have an owner; floats of 16 bits become f32 in memory.
Tensor stored_tensor(const Format& format, const Shape& shape, ByteSpan bytes,
                     const SharedBytes& owner);

// What became of the tensors of a file of weights in a network.
struct TakenWeights {
  std::vector<std::string> taken;   // in the order of the file
  std::vector<std::string> unused;  // names that no constant of the network has
};

// Puts the tensors of `weights` in the place of the constants of the same names and shapes; where
// they are codes, the network computes with what Dequantize makes of them. Throws Error where no
// name is found, and where a shape differs.
TakenWeights take_weights(Module& network, const Module& weights, std::string_view source);

}  // namespace tandem
