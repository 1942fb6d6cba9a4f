#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tandem/verify/execution.h"

namespace tandem {

// Sample `index` of every tensor, without the axis of samples.
std::vector<Tensor> one_sample(std::span<const Tensor> samples, std::int64_t index);
// The same with an axis of one sample.
Samples one_of(std::span<const Tensor> samples, std::int64_t index);
// Inverse of one_sample for all samples.
Samples stack(const std::vector<std::vector<Tensor>>& samples);

// The stored bytes of one sample after the other, each input (output) in turn, little endian: what
// programs under test read and write.
std::string pack_count(std::int64_t samples);  // eight bytes
std::string pack_samples(std::span<const Tensor> samples);
// Both, for inputs that check_samples() accepts.
std::string pack_inputs(const Module& module, std::span<const Tensor> inputs);
// Throws Error when the text has another length than `count` samples of the values.
Samples unpack_samples(const Module& module, std::span<const ValueId> values, std::int64_t count,
                       const std::string& bytes, const std::string& source);

}  // namespace tandem
