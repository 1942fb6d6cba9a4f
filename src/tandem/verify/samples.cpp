#include "tandem/verify/samples.h"

#include <cstring>

#include "tandem/base/error.h"
#include "tandem/graph/evaluate.h"

namespace tandem {
namespace {

Shape with_samples(std::int64_t count, const Shape& shape) {
  Shape result{count};
  result.insert(result.end(), shape.begin(), shape.end());
  return result;
}

std::size_t sample_bytes(const Tensor& samples) {
  const auto count = static_cast<std::size_t>(samples.shape().at(0));
  return count == 0 ? 0 : samples.bytes().size() / count;
}

}  // namespace

std::vector<Tensor> one_sample(std::span<const Tensor> samples, std::int64_t index) {
  std::vector<Tensor> result;
  for (const Tensor& tensor : samples)
    result.push_back(
        tensor.rows(index, index + 1).reshaped({tensor.shape().begin() + 1, tensor.shape().end()}));
  return result;
}

Samples one_of(std::span<const Tensor> samples, std::int64_t index) {
  Samples result;
  for (const Tensor& tensor : samples) result.push_back(tensor.rows(index, index + 1));
  return result;
}

Samples samples_until(const Module& module, std::span<const Tensor> samples, std::int64_t index) {
  if (module.states.empty()) return one_of(samples, index);
  Samples result;
  for (const Tensor& tensor : samples) result.push_back(tensor.rows(0, index + 1));
  return result;
}

Samples evaluate_samples(const Module& module, std::span<const Tensor> samples,
                         const std::function<void(ValueId, const Tensor&)>& observe) {
  const std::int64_t count = samples.empty() ? 1 : samples[0].shape().at(0);
  std::vector<std::vector<Tensor>> results(static_cast<std::size_t>(count));
  std::vector<Tensor> states = initial_states(module);
  const auto run = [&](std::int64_t sample) {
    const bool is_last = sample + 1 == count;
    results[static_cast<std::size_t>(sample)] =
        evaluate(module, module.main(), one_sample(samples, sample), &states,
                 is_last ? observe : std::function<void(ValueId, const Tensor&)>());
  };
  for (std::int64_t sample = 0; sample < count; ++sample) {
    for (StateId state = 0; state < states.size(); ++state)
      if (module.states[state].lifetime == Lifetime::kRun)
        states[state] = module.constants[module.states[state].initial].tensor;
    run(sample);
  }
  return stack(results);
}

Samples stack(const std::vector<std::vector<Tensor>>& samples) {
  Samples result;
  if (samples.empty()) return result;
  for (std::size_t i = 0; i < samples[0].size(); ++i) {
    const Tensor& first = samples[0][i];
    Tensor all(first.format(),
               with_samples(static_cast<std::int64_t>(samples.size()), first.shape()));
    std::byte* to = all.mutable_bytes().data();
    for (const std::vector<Tensor>& sample : samples) {
      ensure(sample[i].format() == first.format(), "samples of one value differ in format");
      if (sample[i].shape() != first.shape())
        throw Error("output ", i, " is ", to_string(first.shape()), " of one sample and ",
                    to_string(sample[i].shape()),
                    " of another, as data decide; run one sample at a time");
      std::memcpy(to, sample[i].bytes().data(), first.bytes().size());
      to += first.bytes().size();
    }
    result.push_back(std::move(all));
  }
  return result;
}

std::string pack_count(std::int64_t samples) {
  std::string bytes;
  for (int i = 0; i < 8; ++i)
    bytes += static_cast<char>((static_cast<std::uint64_t>(samples) >> (8 * i)) & 0xff);
  return bytes;
}

std::string pack_samples(std::span<const Tensor> samples) {
  std::string bytes;
  if (samples.empty()) return bytes;
  for (std::int64_t sample = 0; sample < samples[0].shape().at(0); ++sample)
    for (const Tensor& tensor : samples) {
      const std::size_t size = sample_bytes(tensor);
      bytes.append(reinterpret_cast<const char*>(tensor.bytes().data()) +
                       static_cast<std::size_t>(sample) * size,
                   size);
    }
  return bytes;
}

std::string pack_inputs(const Module& module, std::span<const Tensor> inputs) {
  return pack_streams(module, {{Samples(inputs.begin(), inputs.end())}});
}

std::string pack_streams(const Module& module, std::span<const Samples> streams) {
  ensure(!module.states.empty() || streams.size() == 1, "only networks with states have streams");
  std::string bytes;
  if (!module.states.empty()) bytes += pack_count(static_cast<std::int64_t>(streams.size()));
  for (const Samples& stream : streams)
    bytes += pack_count(check_samples(module, stream)) + pack_samples(stream);
  return bytes;
}

Samples unpack_samples(const Module& module, std::span<const ValueId> values, std::int64_t count,
                       const std::string& bytes, const std::string& source) {
  Samples result;
  std::size_t total = 0;
  for (const ValueId value : values) {
    const TensorType& type = module.main().values[value].type;
    result.emplace_back(type.format, with_samples(count, type.static_shape()));
    total += result.back().bytes().size();
  }
  if (bytes.size() != total)
    throw Error(source, ": ", bytes.size(), " bytes of results where ", total,
                " were expected; the program under test did not run to its end");
  std::size_t at = 0;
  for (std::int64_t sample = 0; sample < count; ++sample)
    for (Tensor& tensor : result) {
      const std::size_t size = sample_bytes(tensor);
      std::memcpy(tensor.mutable_bytes().data() + static_cast<std::size_t>(sample) * size,
                  bytes.data() + at, size);
      at += size;
    }
  return result;
}

}  // namespace tandem
