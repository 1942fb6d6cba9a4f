// Which codes values have in a TensorFlow Lite file, and how reals become codes there.
#include <algorithm>
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/tflite_export.h"

namespace tandem {
namespace {

constexpr std::string_view kRoundingRemedy =
    "compress the network to a .tflite file, which leaves rounding to TensorFlow Lite, or write "
    "the "
    "module's own text";

}  // namespace

// ---- Activation functions ----------------------------------------------------------------------

std::optional<tflite::Activation> activation_of(double low, double high) {
  if (low == -kInfinity && high == kInfinity) return tflite::Activation::NONE;
  if (low == 0 && high == kInfinity) return tflite::Activation::RELU;
  if (low == 0 && high == 6) return tflite::Activation::RELU6;
  if (low == -1 && high == 1) return tflite::Activation::RELU_N1_TO_1;
  return std::nullopt;
}

std::optional<tflite::Activation> activation_of(const TfliteCoding& coding, IntegerRange kept) {
  using enum tflite::Activation;
  for (const tflite::Activation activation : {NONE, RELU, RELU6, RELU_N1_TO_1})
    if (activation_limits(coding.format, coding.scale, coding.zero, activation) == kept)
      return activation;
  return std::nullopt;
}

// ---- Codings ----------------------------------------------------------------------------------

TfliteCoding TfliteExporter::coding_of(const Node& border, ValueId codes) const {
  const NodeView view = view_of(border);
  const Format& format = type(codes).format;
  const bool is_signed = format == Format::integer(8, true) || format == Format::integer(16, true);
  const bool is_unsigned =
      format == Format::integer(8, false) || format == Format::integer(16, false);
  if (!is_signed && !is_unsigned) {
    refuse(concat("its codes are ", format.name(),
                  "; TensorFlow Lite has activations of int8 and "
                  "int16"),
           "compress the network with --activations int8");
  }
  const Tensor *scale = view.constant(1), *zero = view.constant(2);
  if (scale == nullptr || (view.has_input(2) && zero == nullptr))
    refuse("its scale is computed while the network runs", "quantize with a fixed scale");
  if (scale->size() != 1 || (zero != nullptr && zero->size() != 1))
    refuse("its activations have a scale per channel", "quantize activations per tensor");
  TfliteCoding coding;
  coding.format = Format::integer(format.bits(), true);
  coding.shift = is_unsigned ? coding.format.integer_range().min : 0;
  coding.scale = static_cast<float>(scale->real(0));
  if (static_cast<double>(coding.scale) != scale->real(0))
    refuse(concat("its scale ", scale->real(0), " is no f32"), "round the scale to f32");
  const double offset = zero == nullptr ? 0 : zero->real(0);
  coding.zero = static_cast<std::int64_t>(offset) + coding.shift;
  const IntegerRange range = coding.format.integer_range();
  if (offset != std::floor(offset) || coding.zero < range.min || coding.zero > range.max)
    refuse(concat("its zero point ", offset, " is no code"), "quantize with a code as zero point");
  if (format.bits() == 16 && coding.zero != 0)
    refuse("it has a zero point beside codes of 16 bits", "quantize symmetrically to int16");
  return coding;
}

CodeTarget TfliteExporter::target_of(const Node& quantize) const {
  const NodeView view = view_of(quantize);
  CodeTarget target;
  target.coding = coding_of(quantize, quantize.outputs[0]);
  target.kept = target.coding.format.integer_range();
  const auto& limits = view.integers("limits");
  const std::int64_t shift = target.coding.shift;
  if (!limits.empty()) target.kept = {limits[0] + shift, limits[1] + shift};
  target.rescaling = parse_rescaling(view.string("rescale"));
  target.left_shift = static_cast<int>(view.integer("left_shift"));
  target.rounding = parse_rounding(view.string("rounding"));
  target.is_zero_added_after = view.string("zero_added") == "after_rounding";
  if (parse_overflow(view.string("overflow")) != Overflow::kSaturate)
    refuse("its codes wrap", "quantize with overflow = saturate");
  return target;
}

// What is known of codes: by the Quantize that makes them, the f32 scale of a Dequantize that reads
// them (sums have f64 scales), or the codes that were moved there.
void TfliteExporter::find_codings() {
  const auto note = [&](const Node& border, ValueId codes) {
    try {
      codings_.try_emplace(codes, coding_of(border, codes));
    } catch (const Refusal&) {
      return;  // refused where it is written
    }
  };
  for (const Node& node : graph_.nodes) {
    if (node.op->name() == "Quantize") note(node, node.outputs[0]);
    if (node.op->name() != "Dequantize" || producer(node.inputs[0]) == nullptr) continue;
    const Tensor* scale = view_of(node).constant(1);
    if (scale != nullptr && scale->format() == Format()) note(node, node.inputs[0]);
  }
  const auto moves = [&](const Node& node) {
    const TfliteWriterEntry* entry = tflite_writer_of(node);
    return entry != nullptr && entry->moves && !node.inputs.empty() && node.inputs[0] != kNone &&
           type(node.inputs[0]).format.is_integer();
  };
  const auto copy = [&](ValueId from, ValueId to) {
    const auto known = codings_.find(from);
    if (known != codings_.end()) codings_.try_emplace(to, known->second);
  };
  for (std::size_t i = graph_.nodes.size(); i-- > 0;)
    if (moves(graph_.nodes[i])) copy(graph_.nodes[i].outputs[0], graph_.nodes[i].inputs[0]);
  for (const Node& node : graph_.nodes)
    if (moves(node))
      for (const ValueId output : node.outputs) copy(node.inputs[0], output);
}

std::optional<PlacedCodes> TfliteExporter::decoded(ValueId value) {
  const auto found = decoded_.find(value);
  if (found != decoded_.end()) return found->second;
  std::optional<PlacedCodes> result;
  const Node* node = producer(value);
  if (node != nullptr && node->op->name() == "Dequantize") {
    result = decoded_by(*node);
  } else if (const auto* entry = node == nullptr ? nullptr : tflite_writer_of(*node);
             entry != nullptr && entry->moves && type(value).format.is_float()) {
    if (const auto coding = moved_coding(*node)) {
      CodeTarget target{*coding, coding->format.integer_range()};
      target.rescaling = Rescaling::kDoubleRounding;
      result = {guarded(*node, {name(value), value, &target}), *coding};
    }
  }
  decoded_[value] = result;
  return result;
}

// Sums, whose scale is f64, are no codes of the file.
std::optional<PlacedCodes> TfliteExporter::decoded_by(const Node& dequantize) {
  const ValueId source = dequantize.inputs[0];
  const Tensor* scale = view_of(dequantize).constant(1);
  if (scale != nullptr && scale->format() != Format()) return std::nullopt;
  try {
    const TfliteCoding coding = coding_of(dequantize, source);
    if (const auto constant = known(source)) {
      auto integers = constant->to_integers();
      for (std::int64_t& integer : integers) integer += coding.shift;
      const Tensor codes = Tensor::from_integers(coding.format, constant->shape(), integers);
      return PlacedCodes{{file_.constant(codes, coding.quantization(), name(source)), false},
                         coding};
    }
    const PlacedCodes made = codes(source);
    if (made.coding == coding) return made;
  } catch (const Refusal&) {
    return std::nullopt;  // its reader says what is missing
  }
  return std::nullopt;
}

// The one coding of all reals that a node moves; constants among them must be its codes.
std::optional<TfliteCoding> TfliteExporter::moved_coding(const Node& node) {
  std::optional<TfliteCoding> coding;
  std::vector<Tensor> constants;
  for (const ValueId input : node.inputs) {
    if (input == kNone || !type(input).format.is_float()) continue;
    if (const auto constant = known(input)) {
      constants.push_back(*constant);
      continue;
    }
    const auto codes = decoded(input);
    if (!codes || (coding && *coding != codes->coding)) return std::nullopt;
    coding = codes->coding;
  }
  if (node.op->name() == "Pad") constants.push_back(Tensor::scalar(view_of(node).real("value")));
  const bool all_are_codes =
      coding && std::ranges::all_of(constants, [&](const Tensor& reals) {
        const Tensor codes = coded_constant(reals, *coding, Rounding::kHalfEven);
        const auto values = reals.to_floats();
        for (std::size_t i = 0; i < values.size(); ++i) {
          const std::int64_t code = codes.integer(static_cast<std::int64_t>(i)) - coding->zero;
          if (static_cast<float>(code) * coding->scale != values[i]) return false;
        }
        return true;
      });
  return all_are_codes ? coding : std::nullopt;
}

PlacedCodes TfliteExporter::codes(ValueId value) {
  const auto found = codes_.find(value);
  if (found != codes_.end()) return found->second;
  const PlacedCodes made = make_codes(value);
  return codes_.try_emplace(value, made).first->second;
}

PlacedCodes TfliteExporter::make_codes(ValueId value) {
  const Node* node = producer(value);
  ensure(node != nullptr, "codes without producer");
  TfliteCoding coding;
  coding.format = Format::integer(8, true);
  try {
    if (node->op->name() == "Quantize") {
      const CodeTarget target = target_of(*node);
      coding = target.coding;
      if (const auto placed =
              write_function_of_codes(*this, value, coding, name(value), codings_)) {
        return {*placed, coding};
      }
      return {coded(node->inputs[0], target, name(value)), coding};
    }
    const auto known_coding = codings_.find(value);
    if (known_coding == codings_.end())
      refuse("its integers have no scale", std::string(kTfliteWriteRemedy));
    coding = known_coding->second;
    const TfliteWriterEntry* entry = tflite_writer_of(*node);
    if (entry != nullptr && entry->moves) {
      const CodeTarget target{coding, coding.format.integer_range()};
      return {guarded(*node, {name(value), value, &target}), coding};
    }
    const auto placed = write_function_of_codes(*this, value, coding, name(value), codings_);
    if (placed) return {*placed, coding};
    refuse("TensorFlow Lite has no operator for these integers", std::string(kTfliteWriteRemedy));
  } catch (const Refusal& refusal) {
    refused_.push_back(
        {node->name, std::string(node->op->name()), refusal.what(), refusal.remedy()});
    const CodeTarget target{coding, coding.format.integer_range()};
    return {placeholder({name(value), value, &target}), coding};
  }
}

// The range to which a Relu or Clip limits.
RealRange TfliteExporter::range_of(const Node& node) {
  if (node.op->name() == "Relu") return {0, kInfinity};
  RealRange range;
  for (std::size_t i = 1; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == kNone) continue;
    const auto bound = known(node.inputs[i]);
    if (!bound) refuse("its bounds are computed while the network runs", "fix the bounds");
    (i == 1 ? range.low : range.high) = bound->real(0);
  }
  return range;
}

// ---- Codes of reals ----------------------------------------------------------------------------

CommonUnitOperand without_unit(const TfliteExporter& exporter, ValueId value) {
  const Node* decoder = exporter.producer(value);
  if (decoder == nullptr || decoder->op->name() != "Dequantize") return {value};
  const Node* quantize = exporter.producer(decoder->inputs[0]);
  if (quantize == nullptr || quantize->op->name() != "Quantize") return {value};
  const NodeView view = exporter.view_of(*quantize);
  const Tensor* unit = view.constant(1);
  if (view.integer("left_shift") == 0 || unit == nullptr || unit->size() != 1) return {value};
  return {quantize->inputs[0], unit->real(0), static_cast<int>(view.integer("left_shift"))};
}

// Whether all that a node computes with are codes; beside a constant, a product reads them for it.
bool TfliteExporter::reads_codes(const Node& node) {
  const bool is_layer =
      node.inputs.size() > 1 &&
      (node.op->name() == "Conv" || node.op->name() == "MatMul" || node.op->name() == "Gemm");
  for (std::size_t i = 0; i < (is_layer ? 1 : node.inputs.size()); ++i) {
    const ValueId value = node.inputs[i];
    if (value == kNone || !type(value).format.is_float() || known(value)) continue;
    const auto spread = is_layer ? spread_input(*this, value) : std::nullopt;
    if (spread) return spread->is_coded;
    if (decoded(without_unit(*this, value).operand)) continue;
    const Node* before = producer(value);
    const bool is_product = before != nullptr && before->op->name() == "MatMul";
    if (is_product && reads_codes(*before)) continue;
    return false;
  }
  return true;
}

Placed TfliteExporter::coded(ValueId value, const CodeTarget& target, const std::string& name) {
  if (const auto codes = decoded(value)) {
    if (codes->coding == target.coding) return limited(codes->placed, target, name);
    return {requantized(*codes, target, name), codes->placed.is_channels_last};
  }
  if (const auto constant = known(value)) {
    const Tensor codes = coded_constant(*constant, target.coding, target.rounding);
    return {file_.constant(codes, target.coding.quantization(), name), false};
  }
  const Node* node = producer(value);
  if (node != nullptr && is_limit(*node)) return activated_codes(value, target, name);
  const TfliteWriterEntry* entry = node == nullptr ? nullptr : tflite_writer_of(*node);
  const bool is_function = entry != nullptr && ((entry->takes_codes && reads_codes(*node)) ||
                                                (entry->moves && !known(node->inputs[0])));
  if (is_function) {
    CodeTarget whole = target;
    whole.kept = target.coding.format.integer_range();
    const auto activation = activation_of(target.coding, target.kept);
    if (entry->fuses && activation) return guarded(*node, {name, value, &target, *activation});
    return limited(guarded(*node, {name, value, &whole}), target, name);
  }
  const Placed x = real(value);
  const Sink sink{name, value, &target};
  require_nearest(sink, true);
  const int tensor = result(sink, file_.shape(x.tensor));
  file_.add("QUANTIZE", {x.tensor}, {tensor});
  return limited({tensor, x.is_channels_last}, target, name);
}

// Rounding keeps the order, so that limits of reals are limits of codes.
Placed TfliteExporter::activated_codes(ValueId value, CodeTarget target, const std::string& name) {
  const Node& node = *producer(value);
  const RealRange range = range_of(node);
  const auto code = [&](double real) {
    constexpr double kMost = 0x1p40;
    const float units = static_cast<float>(real) / target.coding.scale;
    return target.coding.zero + static_cast<std::int64_t>(std::round(
                                    std::clamp(static_cast<double>(units), -kMost, kMost)));
  };
  IntegerRange& kept = target.kept;
  const IntegerRange whole = target.coding.format.integer_range();
  if (range.low != -kInfinity) kept.min = std::clamp(code(range.low), kept.min, whole.max);
  if (range.high != kInfinity) kept.max = std::clamp(code(range.high), whole.min, kept.max);
  kept.min = std::min(kept.min, kept.max);
  return coded(node.inputs[0], target, name);
}

Placed TfliteExporter::limited(Placed placed, const CodeTarget& target, const std::string& name) {
  const TfliteCoding& coding = target.coding;
  const auto activation = activation_of(coding, target.kept);
  if (activation == tflite::Activation::NONE) return placed;
  const auto apply = [&](std::string_view op, std::vector<int> inputs) {
    const int tensor =
        file_.tensor(file_.shape(placed.tensor), coding.format, coding.quantization(), name);
    inputs.insert(inputs.begin(), placed.tensor);
    file_.add(op, std::move(inputs), {tensor}, 2);
    placed.tensor = tensor;
  };
  const auto bound = [&](std::int64_t code) {
    return file_.constant(Tensor::from_integers(coding.format, {1}, std::vector{code}),
                          coding.quantization(), name + ".bound");
  };
  if (activation == tflite::Activation::RELU) {
    apply("RELU", {});
  } else if (activation == tflite::Activation::RELU6) {
    apply("RELU6", {});
  } else {
    const IntegerRange range = coding.format.integer_range();
    if (target.kept.min > range.min) apply("MAXIMUM", {bound(target.kept.min)});
    if (target.kept.max < range.max) apply("MINIMUM", {bound(target.kept.max)});
  }
  return placed;
}

int TfliteExporter::requantized(const PlacedCodes& from, const CodeTarget& target,
                                const std::string& name) {
  const Sink sink{name, kNone, &target};
  require_rescaling(sink, Rescaling::kDoubleRounding);
  const int tensor = result(sink, file_.shape(from.placed.tensor));
  file_.add("QUANTIZE", {from.placed.tensor}, {tensor}, 2);
  return limited({tensor, from.placed.is_channels_last}, target, name).tensor;
}

void TfliteExporter::require_rescaling(const Sink& sink, Rescaling rescaling,
                                       int left_shift) const {
  if (is_adopting() || !sink.is_coded()) return;
  const CodeTarget& target = *sink.codes;
  if (target.rescaling == rescaling && target.left_shift == left_shift) return;
  refuse(concat("its codes are rescaled ", tandem::name(target.rescaling),
                ", those of TensorFlow Lite's kernel ", tandem::name(rescaling)),
         std::string(kRoundingRemedy));
}

void TfliteExporter::require_nearest(const Sink& sink, bool zero_added_after) const {
  if (is_adopting() || !sink.is_coded()) return;
  const CodeTarget& target = *sink.codes;
  const bool is_zero_alike =
      target.coding.zero == target.coding.shift || target.is_zero_added_after == zero_added_after;
  if (target.rescaling == Rescaling::kDyadic && target.rounding == Rounding::kHalfAwayFromZero &&
      is_zero_alike) {
    return;
  }
  if (target.rescaling != Rescaling::kDyadic) {
    refuse(concat("its codes are rescaled ", tandem::name(target.rescaling),
                  ", but no kernel of codes computes what it codes"),
           "let it code the result of one layer, sum or product");
  }
  refuse(concat("its codes are rounded ", tandem::name(target.rounding),
                target.is_zero_added_after ? " before" : " after",
                " the zero point is added, those "
                "of TensorFlow Lite's kernel half_away_from_zero ",
                zero_added_after ? "before" : "after"),
         std::string(kRoundingRemedy));
}

Tensor TfliteExporter::coded_constant(const Tensor& reals, const TfliteCoding& coding,
                                      Rounding rounding) const {
  const IntegerRange range = coding.format.integer_range();
  std::vector<std::int64_t> codes;
  for (const float real : reals.to_floats()) {
    const double units = std::clamp(static_cast<double>(real / coding.scale), -0x1p40, 0x1p40);
    codes.push_back(std::clamp(static_cast<std::int64_t>(round_real(units, rounding)) + coding.zero,
                               range.min, range.max));
  }
  return Tensor::from_integers(coding.format, reals.shape(), codes);
}

Rescaling TfliteExporter::rescaling_of(const TfliteCoding& coding) {
  return coding.format.bits() == 16 ? Rescaling::kReducedMultiplier : Rescaling::kDoubleRounding;
}

}  // namespace tandem
