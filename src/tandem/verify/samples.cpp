#include "tandem/verify/samples.h"

#include <cstring>

#include "tandem/base/error.h"

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

Samples stack(const std::vector<std::vector<Tensor>>& samples) {
  Samples result;
  if (samples.empty()) return result;
  for (std::size_t i = 0; i < samples[0].size(); ++i) {
    const Tensor& first = samples[0][i];
    Tensor all(first.format(),
               with_samples(static_cast<std::int64_t>(samples.size()), first.shape()));
    std::byte* to = all.mutable_bytes().data();
    for (const std::vector<Tensor>& sample : samples) {
      ensure(sample[i].format() == first.format() && sample[i].shape() == first.shape(),
             "samples of one value differ in type");
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
  return pack_count(check_samples(module, inputs)) + pack_samples(inputs);
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
