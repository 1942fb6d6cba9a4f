#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/files/refused.h"
#include "tandem/files/tflite_model.h"
#include "tandem/files/tflite_variables.h"
#include "tandem/graph/builder.h"
#include "tandem/ops/coded.h"

namespace tandem {

// Internal to the room: how one TensorFlow Lite graph becomes the function "main".

class TfliteImporter;

// How a quantized result is rescaled from the sum that its kernel computes.
struct TfliteRescale {
  Rescaling rescaling = Rescaling::kDoubleRounding;
  int left_shift = 0;
  tflite::Activation activation = tflite::Activation::NONE;
};

// One operator as its handler sees it. Inputs that no handler asked for make the operator refused.
class TfliteNode {
 public:
  TfliteNode(TfliteImporter& importer, const TfliteOperator& op, std::string name);

  const std::string& name() const { return name_; }  // that of its first result
  std::string_view op() const;                       // "CONV_2D"
  Builder& builder();
  TfliteVariables& variables();
  const TfliteModel& model() const;
  const TfliteOperator& record() const { return *op_; }

  // The options of the operator's table; refused where the file has others or none.
  template <typename Options>
  const Options& options() const {
    const auto* found = op_->record->builtin_options_as<Options>();
    if (found == nullptr) refuse("its options are missing", "convert the model again");
    return *found;
  }
  // The same, nullptr where there are none.
  template <typename Options>
  const Options* optional_options() const {
    return op_->record->builtin_options_as<Options>();
  }

  std::size_t input_count() const { return op_->inputs.size(); }
  std::size_t output_count() const { return op_->outputs.size(); }
  bool has(std::size_t input) const;
  const TfliteTensor& input(std::size_t index) const;  // refused where it is absent
  const TfliteTensor& output(std::size_t index = 0) const;
  const TfliteTensor& handle(std::size_t index) const;  // an input that may be of a resource
  const TfliteTensor& handle_result() const;
  const TfliteTensor& variable(std::size_t index) const;  // refused where it is none
  bool is_quantized(std::size_t index) const { return input(index).quantization.has_value(); }
  bool is_constant(std::size_t index);

  // An input's value as it stands in the file (codes where it is quantized), and as reals.
  ValueId value(std::size_t input);
  ValueId real(std::size_t input);
  // Elements that were moved out of a tensor, as reals.
  ValueId real_of(ValueId moved, const TfliteTensor& tensor);
  // The elements of a constant input; `what` names it ("the shape").
  Tensor constant(std::size_t input, std::string_view what);
  std::vector<std::int64_t> integers(std::size_t input, std::string_view what);
  // Scale and zero point of the whole tensor; refused where there is none or one per channel.
  double scale(const TfliteTensor& tensor) const;
  std::int64_t zero(const TfliteTensor& tensor) const;
  // The codes that an activation function leaves of a quantized tensor; all of them for NONE.
  IntegerRange limits(const TfliteTensor& tensor, tflite::Activation activation) const;

  // Appends a node named after this one. add_integer(): a primitive with the narrowest format.
  ValueId add_integer(std::string_view primitive, std::vector<ValueId> inputs,
                      Attributes attributes = {});
  ValueId add(std::string_view tandem_op, std::vector<ValueId> inputs, Attributes attributes = {});
  ValueId constant(Tensor tensor);
  ValueId scalar(double value) { return constant(Tensor::scalar(value)); }
  // NHWC to NCHW and back.
  ValueId channels_second(ValueId value);
  ValueId channels_last(ValueId value);
  ValueId reshaped(ValueId value, const Shape& shape);

  // The results. set(): a value of the tensor's own type. set_real(): reals, which are quantized
  // where the tensor is; `rescale` says how its kernel does it.
  void set(ValueId value, std::size_t output = 0);
  void set_real(ValueId real, const TfliteRescale& rescale, std::size_t output = 0);
  // Means of codes: rounded, ties away from zero, with the zero point already added.
  void set_rounded(ValueId real, tflite::Activation activation);
  // Reals that the kernel codes one by one: the nearest code, ties away from zero.
  void set_nearest(ValueId real);
  // Moves elements: input and output must be quantized alike.
  void require_same_quantization(std::size_t input, std::size_t output = 0) const;

  void check_all_read() const;
  [[noreturn]] static void refuse(std::string_view reason, std::string remedy) {
    throw Refusal(reason, std::move(remedy));
  }

 private:
  TfliteImporter* importer_;
  const TfliteOperator* op_;
  std::string name_;
  mutable std::vector<bool> asked_;
};

using TfliteHandler = void (*)(TfliteNode&);
using TfliteHandlers = std::map<std::string, TfliteHandler, std::less<>>;

// The parts of the table of handlers, one per file, by the operators' names.
void add_tflite_layer_handlers(TfliteHandlers& handlers);        // convolutions, pools, matrices
void add_tflite_elementwise_handlers(TfliteHandlers& handlers);  // arithmetic, quantizers
void add_tflite_movement_handlers(TfliteHandlers& handlers);
void add_tflite_reduction_handlers(TfliteHandlers& handlers);
void add_tflite_function_handlers(TfliteHandlers& handlers);  // functions in fixed point
void add_tflite_variable_handlers(TfliteHandlers& handlers);
void add_tflite_recurrent_handlers(TfliteHandlers& handlers);

// The codes that an activation function leaves; throws Refusal on one that is not read.
IntegerRange activation_limits(const Format& format, float scale, std::int64_t zero,
                               tflite::Activation activation);

// The name of a built-in operator, "" where the code is unknown.
std::string_view tflite_operator_name(std::int32_t code);

class TfliteImporter {
 public:
  explicit TfliteImporter(const TfliteModel& model);
  // Throws RefusedModel with the operators that no handler took.
  Module run(std::string_view source);

 private:
  friend class TfliteNode;

  // What is known of a tensor: its value as it stands in the file, and as reals.
  struct State {
    ValueId value = kNone, real = kNone;
    bool poisoned = false;  // result of a refused operator without stand-in, or computed from one
  };

  void read_input(int index);
  void import_operator(std::size_t index);
  void import_with_handler(std::size_t index);
  bool is_poisoned(const TfliteOperator& op) const;
  void refuse(std::size_t index, std::string reason, std::string remedy);
  void stand_in_for(const TfliteOperator& op);
  void finish_outputs();
  void name_outputs();
  ValueId value_of(const TfliteTensor& tensor);
  ValueId real_of(const TfliteTensor& tensor);
  ValueId dequantized(ValueId value, const TfliteTensor& tensor);
  ValueId quantized(ValueId real, const TfliteTensor& tensor, Attributes attributes);
  ValueId nearest_codes(ValueId real, const TfliteTensor& tensor);

  const TfliteModel& model_;
  Module module_;
  Builder builder_;
  std::vector<State> states_;  // by tensor
  TfliteVariables variables_;
  std::vector<RefusedNode> refused_;
};

}  // namespace tandem
