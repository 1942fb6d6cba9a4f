#include "tests/fuzz/tflite_input.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/files/tflite_reader.h"
#include "tandem/ops/register.h"

#include "tests/fuzz/tflite_mutator.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace tandem::fuzz {
namespace {

bool is_flatbuffer_error(std::string_view message) {
  return message.find("is no TensorFlow Lite model") != std::string_view::npos ||
         message.find("is damaged") != std::string_view::npos;
}

// Unpacking reads zero points in place, whose alignment the flatbuffer's verifier does not check.
bool can_be_unpacked(const tflite::Model& model) {
  if (model.subgraphs() == nullptr) return true;
  for (const auto* graph : *model.subgraphs()) {
    if (graph->tensors() == nullptr) continue;
    for (const auto* tensor : *graph->tensors()) {
      const auto* quantization = tensor->quantization();
      if (quantization == nullptr || quantization->zero_point() == nullptr) continue;
      const auto address = reinterpret_cast<std::uintptr_t>(quantization->zero_point()->Data());
      if (address % alignof(std::int64_t) != 0) return false;
    }
  }
  return true;
}

bool is_sound(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kSmallest = 8;
  flatbuffers::Verifier verifier(data, size);
  return size >= kSmallest && tflite::VerifyModelBuffer(verifier) &&
         can_be_unpacked(*tflite::GetModel(data));
}

using Bytes = std::vector<std::uint8_t>;

// Inputs that were read as networks, old ones overwritten.
class Accepted {
 public:
  void add(const std::uint8_t* data, std::size_t size) {
    constexpr std::size_t kMost = 256;
    if (inputs_.size() < kMost) inputs_.emplace_back();
    inputs_[next_++ % kMost].assign(data, data + size);
  }
  bool empty() const { return inputs_.empty(); }
  const Bytes& any(unsigned seed) const { return inputs_[seed % inputs_.size()]; }

 private:
  std::vector<Bytes> inputs_;
  std::size_t next_ = 0;
} accepted;

}  // namespace

TfliteInput read_tflite_input(const std::uint8_t* data, std::size_t size) {
  register_operators();
  try {
    TfliteInput input{true, true, read_tflite(std::as_bytes(std::span(data, size)), "input")};
    if (is_sound(data, size)) accepted.add(data, size);
    return input;
  } catch (RefusedModel& refused) {
    return {true, false, refused.rest()};
  } catch (const Error& error) {
    return {!is_flatbuffer_error(error.what()), false, {}};
  }
}

bool is_small(const Module& network) {
  constexpr std::int64_t kMost = 4096;
  try {
    return std::ranges::all_of(network.main().values, [](const Value& value) {
      return element_count(value.type.static_shape()) <= kMost;
    });
  } catch (const Error&) {
    return false;  // a shape beyond all bounds
  }
}

std::size_t mutate_tflite_input(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                unsigned seed) {
  // One input in ten is changed without regard to the format; that also reaches the options.
  constexpr unsigned kBlind = 10;
  const Bytes given(data, data + size);
  const bool sound = is_sound(data, size);
  if (seed % kBlind == 0 || (!sound && accepted.empty()))
    return LLVMFuzzerMutate(data, size, max_size);
  // What was refused mostly stays refused, so every other change starts from an accepted model.
  seed /= kBlind;
  const bool restarts = !accepted.empty() && (!sound || seed % 2 == 0);
  const Bytes& from = restarts ? accepted.any(seed / 2) : given;
  tflite::ModelT model;
  tflite::GetModel(from.data())->UnPackTo(&model);
  TfliteMutator(seed).mutate(model);
  flatbuffers::FlatBufferBuilder builder;
  tflite::FinishModelBuffer(builder, tflite::Model::Pack(builder, &model));
  // Small models are fast ones, and large enough for every operator.
  constexpr std::size_t kLargest = 4096;
  if (builder.GetSize() > max_size || builder.GetSize() > kLargest) return size;
  std::memcpy(data, builder.GetBufferPointer(), builder.GetSize());
  return builder.GetSize();
}

}  // namespace tandem::fuzz
