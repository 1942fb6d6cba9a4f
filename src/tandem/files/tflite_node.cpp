// What the handlers of TensorFlow Lite's operators see and do.
#include <algorithm>
#include <cmath>

#include "tandem/base/text.h"
#include "tandem/files/tflite_import.h"
#include "tandem/ops/integer.h"
#include "tandem/ops/movement.h"

namespace tandem {

TfliteNode::TfliteNode(TfliteImporter& importer, const TfliteOperator& op, std::string name)
    : importer_(&importer), op_(&op), name_(std::move(name)), asked_(op.inputs.size()) {}

std::string_view TfliteNode::op() const { return tflite_operator_name(op_->code); }

Builder& TfliteNode::builder() { return importer_->builder_; }

TfliteVariables& TfliteNode::variables() { return importer_->variables_; }

const TfliteModel& TfliteNode::model() const { return importer_->model_; }

bool TfliteNode::has(std::size_t index) const {
  if (index >= input_count()) return false;
  asked_[index] = true;
  return op_->inputs[index] >= 0;
}

const TfliteTensor& TfliteNode::handle(std::size_t index) const {
  if (!has(index)) refuse(concat("input ", index, " is absent"), "convert the model again");
  return importer_->model_.tensors[static_cast<std::size_t>(op_->inputs[index])];
}

const TfliteTensor& TfliteNode::handle_result() const {
  if (output_count() != 1) refuse("it has not one result", "convert the model again");
  return importer_->model_.tensors[static_cast<std::size_t>(op_->outputs[0])];
}

const TfliteTensor& TfliteNode::input(std::size_t index) const {
  const TfliteTensor& tensor = handle(index);
  if (!tensor.obstacle.empty()) refuse(tensor.obstacle, tensor.remedy);
  return tensor;
}

const TfliteTensor& TfliteNode::variable(std::size_t index) const {
  if (!has(index)) refuse(concat("input ", index, " is absent"), "convert the model again");
  const TfliteTensor& tensor =
      importer_->model_.tensors[static_cast<std::size_t>(op_->inputs[index])];
  if (!tensor.is_variable || !tensor.format)
    refuse(concat(tensor.to_string(), " is no variable"), "convert the model again");
  return tensor;
}

const TfliteTensor& TfliteNode::output(std::size_t index) const {
  if (index >= output_count())
    refuse(concat("output ", index, " is absent"), "convert the model again");
  const TfliteTensor& tensor =
      importer_->model_.tensors[static_cast<std::size_t>(op_->outputs[index])];
  if (!tensor.obstacle.empty()) refuse(tensor.obstacle, tensor.remedy);
  return tensor;
}

ValueId TfliteNode::value(std::size_t index) { return importer_->value_of(input(index)); }

ValueId TfliteNode::real(std::size_t index) { return importer_->real_of(input(index)); }

ValueId TfliteNode::real_of(ValueId moved, const TfliteTensor& tensor) {
  return importer_->dequantized(moved, tensor);
}

bool TfliteNode::is_constant(std::size_t index) {
  return constant_of(importer_->module_, builder().graph(), value(index)) != nullptr;
}

Tensor TfliteNode::constant(std::size_t index, std::string_view what) {
  if (!is_constant(index)) {
    refuse(concat(what, " is computed while the network runs"),
           "convert the model with that input as a constant");
  }
  return *constant_of(importer_->module_, builder().graph(), value(index));
}

std::vector<std::int64_t> TfliteNode::integers(std::size_t index, std::string_view what) {
  const Tensor tensor = constant(index, what);
  if (!tensor.format().is_integer())
    refuse(concat(what, " is ", tensor.format().name()), "give it as integers");
  return tensor.to_integers();
}

double TfliteNode::scale(const TfliteTensor& tensor) const {
  if (!tensor.quantization || !tensor.quantization->is_per_tensor()) {
    refuse(concat(tensor.to_string(), tensor.quantization ? " has a scale per channel"
                                                          : " is not quantized beside codes"),
           "convert the model with one scale for each activation");
  }
  return static_cast<double>(tensor.quantization->scales[0]);
}

std::int64_t TfliteNode::zero(const TfliteTensor& tensor) const {
  scale(tensor);
  return tensor.quantization->zeros[0];
}

IntegerRange TfliteNode::limits(const TfliteTensor& tensor, tflite::Activation activation) const {
  return activation_limits(*tensor.format, static_cast<float>(scale(tensor)), zero(tensor),
                           activation);
}

IntegerRange activation_limits(const Format& format, float scale, std::int64_t zero,
                               tflite::Activation activation) {
  IntegerRange range = format.integer_range();
  const auto code = [&](float real) {
    constexpr float kMost = 0x1p20F;  // beyond all codes
    return zero + std::llround(std::clamp(real / scale, -kMost, kMost));
  };
  const auto keep = [&](std::int64_t low, std::int64_t high) {
    range = {std::clamp(low, range.min, range.max), std::clamp(high, range.min, range.max)};
  };
  switch (activation) {
    case tflite::Activation::NONE: break;
    case tflite::Activation::RELU: keep(code(0), range.max); break;
    case tflite::Activation::RELU6: keep(code(0), code(6)); break;
    case tflite::Activation::RELU_N1_TO_1: keep(code(-1), code(1)); break;
    default:
      TfliteNode::refuse("its fused activation function is not read", "convert the model again");
  }
  return range;
}

ValueId TfliteNode::add(std::string_view tandem_op, std::vector<ValueId> inputs,
                        Attributes attributes) {
  while (!inputs.empty() && inputs.back() == kNone) inputs.pop_back();
  return builder().add(tandem_op, std::move(inputs), std::move(attributes),
                       concat(name_, ".", tandem_op));
}

ValueId TfliteNode::add_integer(std::string_view primitive, std::vector<ValueId> inputs,
                                Attributes attributes) {
  return add_exact(builder(), primitive, std::move(inputs), std::move(attributes),
                   concat(name_, ".", primitive));
}

ValueId TfliteNode::constant(Tensor tensor) {
  return builder().constant(std::move(tensor), name_ + ".c");
}

ValueId TfliteNode::channels_second(ValueId value) {
  return add("Transpose", {value}, {{"perm", std::vector<std::int64_t>{0, 3, 1, 2}}});
}

ValueId TfliteNode::channels_last(ValueId value) {
  return add("Transpose", {value}, {{"perm", std::vector<std::int64_t>{0, 2, 3, 1}}});
}

ValueId TfliteNode::reshaped(ValueId value, const Shape& shape) {
  return add_reshape(builder(), value, {shape.begin(), shape.end()}, name_ + ".Reshape");
}

void TfliteNode::set(ValueId value, std::size_t index) {
  const TfliteTensor& tensor = output(index);
  const TensorType& type = builder().type(value);
  const TensorType declared{{tensor.shape.begin(), tensor.shape.end()}, *tensor.format};
  if (type != declared) {
    refuse(concat("it computes ", type.to_string(), " where the file declares ",
                  declared.to_string(), " (", tensor.to_string(), ")"),
           "convert the model again");
  }
  importer_->states_[tensor.index].value = value;
}

void TfliteNode::set_real(ValueId real, const TfliteRescale& rescale, std::size_t index) {
  const TfliteTensor& tensor = output(index);
  if (tensor.quantization) {
    const IntegerRange kept = limits(tensor, rescale.activation);
    Attributes attributes = {{"rounding", std::string(tandem::name(Rounding::kHalfAwayFromZero))},
                             {"zero_added", std::string("after_rounding")},
                             {"rescale", std::string(tandem::name(rescale.rescaling))},
                             {"left_shift", std::int64_t{rescale.left_shift}}};
    if (kept != tensor.format->integer_range())
      attributes["limits"] = std::vector<std::int64_t>{kept.min, kept.max};
    return set(importer_->quantized(real, tensor, std::move(attributes)), index);
  }
  switch (rescale.activation) {
    case tflite::Activation::NONE: break;
    case tflite::Activation::RELU: real = add("Relu", {real}); break;
    case tflite::Activation::RELU6: real = add("Clip", {real, scalar(0), scalar(6)}); break;
    case tflite::Activation::RELU_N1_TO_1: real = add("Clip", {real, scalar(-1), scalar(1)}); break;
    default: refuse("its fused activation function is not read", "convert the model again");
  }
  set(real, index);
}

void TfliteNode::set_rounded(ValueId real, tflite::Activation activation) {
  const TfliteTensor& tensor = output();
  if (!tensor.quantization) return set_real(real, {.activation = activation});
  const IntegerRange kept = limits(tensor, activation);
  Attributes attributes = {{"rounding", std::string(tandem::name(Rounding::kHalfAwayFromZero))}};
  if (kept != tensor.format->integer_range())
    attributes["limits"] = std::vector<std::int64_t>{kept.min, kept.max};
  set(importer_->quantized(real, tensor, std::move(attributes)));
}

void TfliteNode::set_nearest(ValueId real) { set(importer_->nearest_codes(real, output())); }

void TfliteNode::require_same_quantization(std::size_t index, std::size_t result) const {
  const TfliteTensor &from = input(index), &to = output(result);
  if (from.quantization == to.quantization) return;
  refuse(concat("it moves the codes of ", from.to_string(), " to ", to.to_string(),
                ", which has another scale or zero point"),
         "convert the model again with one quantization for both");
}

void TfliteNode::check_all_read() const {
  for (std::size_t i = 0; i < input_count(); ++i) {
    if (op_->inputs[i] >= 0 && !asked_[i])
      refuse(concat("input ", i, " has no meaning here"), "convert the model again");
  }
}

}  // namespace tandem
