#pragma once

#include <map>
#include <string>
#include <vector>

#include "tandem/graph/lowering.h"
#include "tandem/graph/module.h"

namespace tandem {

// How a real input of a network arrives as codes: real = scale * integer + offset. Both are f64 and
// broadcast to the input: one number, or one for each channel.
struct InputCoding {
  Format format;
  Tensor scale = Tensor::scalar(1, Format::parse("f64"));
  Tensor offset = Tensor::scalar(0, Format::parse("f64"));
};

struct LowerRequest {
  LoweringOptions options;
  // By input name. An input that only feeds equal Quantize nodes needs none: it then arrives as
  // their codes.
  std::map<std::string, InputCoding> inputs;
  // Width of an output that is not affine in the last integers (a sigmoid, say).
  int output_bits = 8;
};

// The function "main" of a quantized real network (Quantize and Dequantize around its operators)
// as exact integer primitives and data movement, with a coding for every input and output.
// A positive affine tail becomes the output's coding. States become states of integers, those of
// reals as code_states() codes them (code_states.h). Every sum is proved to fit 63 bits. Throws one
// Error that names every node without integer form, with its remedy.
Module lower(const Module& network, const LowerRequest& request = {});

// The real inputs of "main" that lower() must be told about: those that are not quantized alike
// wherever they are read.
std::vector<std::string> uncoded_inputs(const Module& network);

// Whether "main" has borders between reals and codes (Quantize, Dequantize), or is of integers.
// Dequantize of constants and codes with a computed scale are none: such a network is real.
bool is_quantized(const Module& network);

// Whether "main" holds nothing but integer primitives and data movement.
bool is_lowered(const Module& module);

}  // namespace tandem
