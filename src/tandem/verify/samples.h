#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tandem/verify/execution.h"

namespace tandem {

// Sample `index` of every tensor, without the axis of samples.
std::vector<Tensor> one_sample(std::span<const Tensor> samples, std::int64_t index);
// The same with an axis of one sample.
Samples one_of(std::span<const Tensor> samples, std::int64_t index);
// What leads to sample `index` and ends with it: that sample, or where the module has states all
// samples up to it.
Samples samples_until(const Module& module, std::span<const Tensor> samples, std::int64_t index);
// Evaluates "main" on one sample after the other: of a module with states as one stream, which
// starts at the initial states. `observe` sees the values of the last sample.
Samples evaluate_samples(const Module& module, std::span<const Tensor> samples,
                         const std::function<void(ValueId, const Tensor&)>& observe = {});
// Inverse of one_sample for all samples.
Samples stack(const std::vector<std::vector<Tensor>>& samples);

// The stored bytes of one sample after the other, each input (output) in turn, little endian: what
// programs under test read and write.
std::string pack_count(std::int64_t samples);  // eight bytes
std::string pack_samples(std::span<const Tensor> samples);
// Both, for inputs that check_samples() accepts; of a module with states behind the number of its
// streams. More streams are samples of their own, each behind the number of its samples.
std::string pack_inputs(const Module& module, std::span<const Tensor> inputs);
std::string pack_streams(const Module& module, std::span<const Samples> streams);
// Throws Error when the text has another length than `count` samples of the values.
Samples unpack_samples(const Module& module, std::span<const ValueId> values, std::int64_t count,
                       const std::string& bytes, const std::string& source);

}  // namespace tandem
