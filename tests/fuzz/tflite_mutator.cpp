#include "tests/fuzz/tflite_mutator.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

namespace tandem::fuzz {
namespace {

constexpr std::int32_t kCodes = 165;  // built-in operators, and some codes beyond

// Unions of a kind without a table cannot be packed.
void reset_empty_unions(tflite::SubGraphT& graph) {
  for (const auto& op : graph.operators)
    if (op->builtin_options.value == nullptr) op->builtin_options.Reset();
  for (const auto& tensor : graph.tensors) {
    if (tensor->sparsity == nullptr) continue;
    for (const auto& axis : tensor->sparsity->dim_metadata) {
      if (axis->array_segments.value == nullptr) axis->array_segments.Reset();
      if (axis->array_indices.value == nullptr) axis->array_indices.Reset();
    }
  }
}

}  // namespace

std::int32_t TfliteMutator::number() {
  static constexpr std::int32_t kNotable[] = {0,   1,   2,   3,    4,     -1,      -2,
                                              127, 128, 255, -128, 32768, 1 << 30, INT32_MAX};
  if (chance(2)) return static_cast<std::int32_t>(below(9));
  return kNotable[below(std::size(kNotable))];
}

float TfliteMutator::real() {
  static constexpr float kNotable[] = {0,      1,      -1,    0.5F, 1.0F / 256,
                                       1e-30F, 1e-44F, 3e38F, 0.3F, 1.0F / 128};
  if (chance(12)) return std::numeric_limits<float>::quiet_NaN();
  if (chance(2)) return kNotable[below(std::size(kNotable))];
  return std::exp2(static_cast<float>(below(40)) - 30);
}

void TfliteMutator::mutate(tflite::ModelT& model) {
  for (const auto& graph : model.subgraphs) reset_empty_unions(*graph);
  const std::size_t changes = 1 + below(4);
  for (std::size_t i = 0; i < changes; ++i) change(model);
}

void TfliteMutator::change(tflite::ModelT& model) {
  const auto is_empty = [](const auto& graph) {
    return graph->tensors.empty() || graph->operators.empty();
  };
  if (model.subgraphs.empty() || model.operator_codes.empty() ||
      std::ranges::any_of(model.subgraphs, is_empty)) {
    model.version = 3;
    return;
  }
  // The others are run by operators of the first.
  tflite::SubGraphT& graph = chance(4) ? any(model.subgraphs) : *model.subgraphs[0];
  switch (below(9)) {
    case 0:
    case 1: change_tensor(any(graph.tensors), model.buffers.size()); return;
    case 2: change_quantization(any(graph.tensors)); return;
    case 3:
    case 4: change_operator(any(graph.operators), graph); return;
    case 5:
      any(model.operator_codes).builtin_code = static_cast<std::int32_t>(below(kCodes));
      return;
    case 6:
      if (!model.buffers.empty()) change_buffer(any(model.buffers));
      return;
    case 7: change_list(chance(2) ? graph.inputs : graph.outputs, graph.tensors.size()); return;
    default: append_operator(model); return;
  }
}

void TfliteMutator::change_tensor(tflite::TensorT& tensor, std::size_t buffers) {
  if (tensor.sparsity != nullptr && chance(3)) return change_sparsity(*tensor.sparsity);
  switch (below(6)) {
    case 0:
      if (!tensor.shape.empty()) tensor.shape[below(tensor.shape.size())] = number();
      return;
    case 1:
      if (tensor.shape.size() > 1 && chance(2))
        tensor.shape.pop_back();
      else
        tensor.shape.push_back(chance(2) ? 1 : number());
      return;
    case 2: tensor.type = static_cast<tflite::TensorType>(below(21)); return;
    case 3: tensor.buffer = static_cast<std::uint32_t>(below(buffers + 1)); return;
    case 4: tensor.shape_signature = {chance(2) ? -1 : number(), number()}; return;
    default: tensor.is_variable = !tensor.is_variable; return;
  }
}

void TfliteMutator::change_sparsity(tflite::SparsityParametersT& sparsity) {
  if (!sparsity.traversal_order.empty() && chance(4))
    sparsity.traversal_order[below(sparsity.traversal_order.size())] = number();
  if (!sparsity.block_map.empty() && chance(4)) sparsity.block_map[0] = number();
  if (sparsity.dim_metadata.empty()) return;
  tflite::DimensionMetadataT& axis = any(sparsity.dim_metadata);
  if (chance(3)) axis.dense_size = number();
  for (auto* list : {&axis.array_segments, &axis.array_indices}) {
    auto* places = list->AsUint8Vector();
    if (places != nullptr && !places->values.empty() && chance(2))
      places->values[below(places->values.size())] = static_cast<std::uint8_t>(number());
  }
}

void TfliteMutator::change_quantization(tflite::TensorT& tensor) {
  if (tensor.quantization == nullptr || chance(8)) {
    tensor.quantization = std::make_unique<tflite::QuantizationParametersT>();
    tensor.quantization->scale = {0.05F};
    tensor.quantization->zero_point = {0};
    return;
  }
  tflite::QuantizationParametersT& quantization = *tensor.quantization;
  switch (below(5)) {
    case 0:
      if (!quantization.scale.empty())
        quantization.scale[below(quantization.scale.size())] = real();
      return;
    case 1:
      if (!quantization.zero_point.empty())
        quantization.zero_point[below(quantization.zero_point.size())] = number();
      return;
    case 2: quantization.scale.push_back(real()); return;
    case 3: quantization.quantized_dimension = number(); return;
    default: tensor.quantization.reset(); return;
  }
}

void TfliteMutator::change_operator(tflite::OperatorT& op, const tflite::SubGraphT& graph) {
  switch (below(3)) {
    case 0: change_list(op.inputs, graph.tensors.size()); return;
    case 1: change_list(op.outputs, graph.tensors.size()); return;
    default: op.builtin_options.Reset(); return;
  }
}

void TfliteMutator::change_list(std::vector<std::int32_t>& list, std::size_t tensors) {
  const auto tensor = static_cast<std::int32_t>(below(tensors));
  switch (below(4)) {
    case 0: list.push_back(chance(6) ? -1 : tensor); return;
    case 1:
      if (!list.empty()) list.pop_back();
      return;
    case 2:
      if (!list.empty()) list[below(list.size())] = chance(10) ? number() : tensor;
      return;
    default: std::shuffle(list.begin(), list.end(), random_); return;
  }
}

void TfliteMutator::change_buffer(tflite::BufferT& buffer) {
  if (buffer.data.empty() || chance(6)) {
    buffer.data.resize(below(17));
    return;
  }
  for (std::size_t i = 0; i < 1 + below(4); ++i)
    buffer.data[below(buffer.data.size())] = static_cast<std::uint8_t>(chance(3) ? 255 : below(9));
}

// A copy of an operator that reads a result, with results of its own.
void TfliteMutator::append_operator(tflite::ModelT& model) {
  tflite::SubGraphT& graph = *model.subgraphs[0];
  constexpr std::size_t kMostOperators = 8;
  if (graph.operators.size() >= kMostOperators) return;
  const tflite::OperatorT& from = any(graph.operators);
  auto copy = std::make_unique<tflite::OperatorT>();
  copy->opcode_index = from.opcode_index;
  copy->inputs = from.inputs;
  copy->builtin_options = from.builtin_options;
  const auto& last = graph.operators.back()->outputs;
  if (!copy->inputs.empty() && !last.empty()) copy->inputs[0] = last[0];
  for (const std::int32_t output : from.outputs) {
    if (output < 0 || static_cast<std::size_t>(output) >= graph.tensors.size()) continue;
    auto tensor = std::make_unique<tflite::TensorT>();
    const tflite::TensorT& model_tensor = *graph.tensors[static_cast<std::size_t>(output)];
    tensor->shape = model_tensor.shape;
    tensor->type = model_tensor.type;
    if (model_tensor.quantization != nullptr) {
      tensor->quantization = std::make_unique<tflite::QuantizationParametersT>();
      tensor->quantization->scale = model_tensor.quantization->scale;
      tensor->quantization->zero_point = model_tensor.quantization->zero_point;
    }
    copy->outputs.push_back(static_cast<std::int32_t>(graph.tensors.size()));
    graph.tensors.push_back(std::move(tensor));
  }
  if (!copy->outputs.empty()) graph.outputs = {copy->outputs[0]};
  graph.operators.push_back(std::move(copy));
}

}  // namespace tandem::fuzz
