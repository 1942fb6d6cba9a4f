// UNIDIRECTIONAL_SEQUENCE_LSTM, step by step over its sequence.
#include <array>
#include <cmath>

#include "tandem/base/text.h"
#include "tandem/files/tflite_import.h"
#include "tandem/files/tflite_wide.h"
#include "tandem/ops/movement.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// Where the operator has its inputs; the gates in the order input, forget, cell, output.
constexpr std::size_t kWeights = 1, kRecurrent = 5, kPeepholes = 9, kBiases = 12, kProjection = 16,
                      kHidden = 18, kCell = 19, kNorms = 20, kEnd = 24;
enum Gate : std::uint8_t { kInputGate, kForgetGate, kCellGate, kOutputGate };
constexpr std::size_t kGates = 4;

constexpr double kGateUnit = 0x1p-12, kFraction = 0x1p-15;  // of codes before and after functions
constexpr std::int64_t kMostSteps = 1024;

// One operator on reals or on codes; both states are zero where a sequence begins.
class Lstm {
 public:
  explicit Lstm(TfliteNode& node)
      : node_(node), options_(node.options<tflite::UnidirectionalSequenceLSTMOptions>()) {
    check_form();
    const Shape& shape = node.input(0).shape;
    time_axis_ = options_.time_major() ? 0 : 1;
    steps_ = shape[time_axis_];
    samples_ = shape[1 - time_axis_];
    units_ = node.input(kRecurrent).shape.at(0);
    if (steps_ > kMostSteps)
      TfliteNode::refuse(concat("it has ", steps_, " steps, more than ", kMostSteps),
                         "split the sequence");
  }

  void read() {
    std::array<ValueId, kGates> driven{};
    for (std::size_t gate = 0; gate < kGates; ++gate) {
      driven[gate] = driven_gate(gate);
      recurrent_[gate] = matrix(kRecurrent + gate);
    }
    ValueId hidden = kNone, cell = kNone;
    std::vector<ValueId> results;
    for (std::int64_t step = 0; step < steps_; ++step) {
      std::array<ValueId, kGates> gates{};
      for (std::size_t gate = 0; gate < kGates; ++gate)
        gates[gate] = opened(gate, step_of(driven[gate], step), hidden);
      cell = next_cell(gates, cell);
      hidden = next_hidden(gates[kOutputGate], cell);
      Shape shape = {samples_, units_};
      shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(time_axis_), 1);
      results.push_back(node_.reshaped(hidden, shape));
    }
    node_.set(node_.add("Concat", results, {{"axis", static_cast<std::int64_t>(time_axis_)}}));
  }

 private:
  void check_form() {
    for (std::size_t i = kPeepholes; i < kEnd; ++i) {
      const bool wanted = (i >= kBiases && i < kProjection) || i == kHidden || i == kCell;
      if (!wanted && node_.has(i)) {
        TfliteNode::refuse("it has peepholes, a projection or a normalization",
                           "use LSTM layers without them");
      }
    }
    if (options_.activation() != tflite::Activation::TANH)
      TfliteNode::refuse("its activation function is not tanh", "use LSTM layers with tanh");
    const TfliteTensor &x = node_.input(0), &y = node_.output();
    if (x.shape.size() != 3 || y.shape.size() != 3)
      TfliteNode::refuse("its input has not three axes", "give it [N,steps,features]");
    const TfliteTensor &hidden = node_.variable(kHidden), &cell = node_.variable(kCell);
    coded_ = x.quantization.has_value();
    if (y.quantization.has_value() != coded_ || cell.quantization.has_value() != coded_ ||
        hidden.quantization != y.quantization) {
      TfliteNode::refuse("its states are not coded as its input and its result are",
                         "convert the model again");
    }
    if (!coded_) return;
    rescaling_ =
        x.format->bits() == 16 ? Rescaling::kReducedMultiplier : Rescaling::kDoubleRounding;
    int exponent = 0;
    const double fraction = std::frexp(node_.scale(cell), &exponent);
    if (*cell.format != Format::integer(16, true) || fraction != 0.5 || node_.zero(cell) != 0)
      TfliteNode::refuse("its cell state is no int16 with a power of two as scale",
                         "convert the model again");
    cell_power_ = exponent - 1;
    if (cell_power_ < -24 || cell_power_ > -6) {
      TfliteNode::refuse(concat("the scale of its cell state is 2^", cell_power_),
                         "convert the model again");
    }
  }

  // Weights [outputs, inputs] as a matrix of reals [inputs, outputs].
  ValueId matrix(std::size_t input) {
    const TfliteTensor& tensor = node_.input(input);
    if (tensor.shape.size() != 2)
      TfliteNode::refuse(concat(tensor.to_string(), " is no matrix"), "convert the model again");
    const Tensor turned = transposed_tensor(node_.constant(input, "its weights"), {1, 0});
    if (tensor.quantization.has_value() != coded_ || (!coded_ && !turned.format().is_float()))
      TfliteNode::refuse("its weights are coded beside reals, or reals beside codes",
                         "convert the model to float or to full integers");
    if (!coded_) return node_.constant(turned.converted(Format()));
    if (node_.zero(tensor) != 0)
      TfliteNode::refuse(concat(tensor.to_string(), " has a zero point"),
                         "quantize the weights symmetrically");
    return node_.add("Dequantize", {node_.constant(turned), unit(node_.scale(tensor))});
  }

  ValueId unit(double scale) { return node_.constant(Tensor::scalar(scale, f64())); }

  ValueId bias(std::size_t gate) {
    const std::size_t input = kBiases + gate;
    const TfliteTensor& tensor = node_.input(input);
    if (!coded_) return node_.real(input);
    if (!tensor.format->is_integer())
      TfliteNode::refuse("its bias is real beside codes", "convert the model again");
    const double scale = node_.scale(node_.input(0)) * node_.scale(node_.input(kWeights + gate));
    return node_.add("Dequantize",
                     {node_.constant(node_.constant(input, "the bias")), unit(scale)});
  }

  // Codes of 16 bits of a sum before a function.
  ValueId gate_codes(ValueId real) { return coded_as(real, kGateUnit, 0, kWide, rescaling_); }

  ValueId coded_as(ValueId real, double scale, std::int64_t zero, const Format& format,
                   Rescaling rescaling) {
    return node_.add("Quantize",
                     {real, node_.scalar(scale), node_.scalar(static_cast<double>(zero))},
                     {{"format", format},
                      {"rounding", std::string(name(Rounding::kHalfAwayFromZero))},
                      {"zero_added", std::string("after_rounding")},
                      {"rescale", std::string(name(rescaling))}});
  }

  // What the whole sequence adds to one gate, [samples, steps, units] or time first.
  ValueId driven_gate(std::size_t gate) {
    const Shape& shape = node_.input(0).shape;
    const ValueId rows = node_.reshaped(node_.real(0), {samples_ * steps_, shape[2]});
    ValueId sums = node_.add("MatMul", {rows, matrix(kWeights + gate)});
    sums = node_.add("Add", {sums, bias(gate)});
    if (coded_) sums = gate_codes(sums);
    return node_.reshaped(sums, {shape[0], shape[1], units_});
  }

  // [samples, units] of one step.
  ValueId step_of(ValueId sequence, std::int64_t step) {
    const auto axis = static_cast<std::int64_t>(time_axis_);
    const ValueId one = node_.add(
        "Slice", {sequence},
        {{"starts", Integers{step}}, {"ends", Integers{step + 1}}, {"axes", Integers{axis}}});
    return node_.reshaped(one, {samples_, units_});
  }

  // The gate behind its function. `hidden`: kNone in the first step.
  ValueId opened(std::size_t gate, ValueId driven, ValueId hidden) {
    if (!coded_) {
      if (hidden != kNone)
        driven = node_.add("Add", {driven, node_.add("MatMul", {hidden, recurrent_[gate]})});
      return node_.add(gate == kCellGate ? "Tanh" : "Sigmoid", {driven});
    }
    if (hidden != kNone) {
      const ValueId real = node_.real_of(hidden, node_.output());
      const ValueId codes = gate_codes(node_.add("MatMul", {real, recurrent_[gate]}));
      driven = saturated_sum(node_, driven, codes, kWide);
    }
    const WideArgument argument = lstm_argument(-12);
    return gate == kCellGate ? wide_tanh(node_, driven, argument)
                             : wide_logistic(node_, driven, argument);
  }

  // a * b in codes with a unit.
  ValueId product(ValueId a, ValueId b, double unit_of_product, double scale, std::int64_t zero,
                  const Format& format) {
    const ValueId integer = node_.add_integer("IntMul", {a, b});
    const ValueId real = node_.add("Dequantize", {integer, unit(unit_of_product)});
    return coded_as(real, scale, zero, format, Rescaling::kDoubleRounding);
  }

  ValueId next_cell(const std::array<ValueId, kGates>& gates, ValueId cell) {
    const double clip = static_cast<double>(options_.cell_clip());
    if (!coded_) {
      ValueId next = node_.add("Mul", {gates[kInputGate], gates[kCellGate]});
      if (cell != kNone)
        next = node_.add("Add", {node_.add("Mul", {gates[kForgetGate], cell}), next});
      return clip > 0 ? node_.add("Clip", {next, node_.scalar(-clip), node_.scalar(clip)}) : next;
    }
    const double scale = std::ldexp(1.0, cell_power_);
    ValueId next =
        product(gates[kInputGate], gates[kCellGate], kFraction * kFraction, scale, 0, kWide);
    if (cell != kNone) {
      const ValueId kept = product(gates[kForgetGate], cell, kFraction * scale, scale, 0, kWide);
      next = saturated_sum(node_, kept, next, kWide);
    }
    const auto most = static_cast<std::int64_t>(std::min(clip / scale, 32767.0));
    if (!(clip > 0) || most == 0) return next;
    return node_.add("Clamp", {next}, {{"format", kWide}, {"min", -most}, {"max", most}});
  }

  ValueId next_hidden(ValueId gate, ValueId cell) {
    if (!coded_) return node_.add("Mul", {gate, node_.add("Tanh", {cell})});
    const TfliteTensor& y = node_.output();
    return product(wide_tanh(node_, cell, lstm_argument(cell_power_)), gate, kFraction * kFraction,
                   node_.scale(y), node_.zero(y), *y.format);
  }

  TfliteNode& node_;
  const tflite::UnidirectionalSequenceLSTMOptions& options_;
  const Format kWide = Format::integer(16, true);
  bool coded_ = false;
  Rescaling rescaling_ = Rescaling::kDoubleRounding;
  int cell_power_ = 0;
  std::size_t time_axis_ = 1;
  std::int64_t steps_ = 0, samples_ = 0, units_ = 0;
  std::array<ValueId, kGates> recurrent_{};
};

void lstm(TfliteNode& node) { Lstm(node).read(); }

}  // namespace

void add_tflite_recurrent_handlers(TfliteHandlers& handlers) {
  handlers["UNIDIRECTIONAL_SEQUENCE_LSTM"] = lstm;
}

}  // namespace tandem
