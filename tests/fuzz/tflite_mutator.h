#pragma once

#include <cstdint>
#include <random>
#include <tflite/tflite_schema_generated.h>

namespace tandem::fuzz {

// Changes TensorFlow Lite models so that they stay well-formed flatbuffers and often sound graphs:
// numbers of tensors, quantizers and options change, operators get other codes, inputs and results,
// and are copied behind others; constants change and become inputs.
class TfliteMutator {
 public:
  explicit TfliteMutator(std::uint32_t seed) : random_(seed) {}

  // One to four changes.
  void mutate(tflite::ModelT& model);

 private:
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }
  bool chance(std::size_t one_in) { return below(one_in) == 0; }
  std::int32_t number();
  float real();
  template <typename T>
  T& any(std::vector<std::unique_ptr<T>>& list) {
    return *list[below(list.size())];
  }

  void change(tflite::ModelT& model);
  void change_tensor(tflite::TensorT& tensor, std::size_t buffers);
  void change_sparsity(tflite::SparsityParametersT& sparsity);
  void change_quantization(tflite::TensorT& tensor);
  void change_operator(tflite::OperatorT& op, const tflite::SubGraphT& graph);
  void change_list(std::vector<std::int32_t>& list, std::size_t tensors);
  void change_buffer(tflite::BufferT& buffer);
  void append_operator(tflite::ModelT& model);

  std::mt19937 random_;
};

}  // namespace tandem::fuzz
