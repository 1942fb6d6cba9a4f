#include "tandem/files/tflite_export.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

constexpr std::string_view kWriteRemedy = "write the module's own text instead";
constexpr std::string_view kRoundingRemedy =
    "compress the network to a .tflite file, which leaves rounding to TensorFlow Lite, or write "
    "the "
    "module's own text";

const TfliteWriters& tflite_writers() {
  static const TfliteWriters kTable = [] {
    TfliteWriters table;
    add_tflite_layer_writers(table);
    add_tflite_elementwise_writers(table);
    add_tflite_movement_writers(table);
    return table;
  }();
  return kTable;
}

const TfliteWriterEntry* writer_of(const Node& node) {
  const auto found = tflite_writers().find(node.op->name());
  return found == tflite_writers().end() ? nullptr : &found->second;
}

bool is_limit(const Node& node) { return node.op->name() == "Relu" || node.op->name() == "Clip"; }

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct RealRange {
  double low = -kInfinity, high = kInfinity;
};

// The range to which a Relu or Clip limits.
RealRange range_of(TfliteExporter& exporter, const Node& node) {
  if (node.op->name() == "Relu") return {0, kInfinity};
  RealRange range;
  for (std::size_t i = 1; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == kNone) continue;
    const auto bound = exporter.known(node.inputs[i]);
    if (!bound)
      TfliteExporter::refuse("its bounds are computed while the network runs", "fix the bounds");
    (i == 1 ? range.low : range.high) = bound->real(0);
  }
  return range;
}

// The one symbol that stands for the first dimension of inputs; "" where there is none.
std::string batch_symbol(const Module& module) {
  std::string batch;
  const Graph& graph = module.main();
  for (const ValueId input : graph.inputs) {
    const Value& value = graph.values[input];
    for (std::size_t d = 0; d < value.type.shape.size(); ++d) {
      const Dim& dim = value.type.shape[d];
      if (dim.is_constant()) continue;
      const auto symbols = dim.symbols();
      const bool is_batch = d == 0 && symbols.size() == 1 && dim == Dim::symbol(symbols[0]) &&
                            (batch.empty() || batch == symbols[0]);
      if (!is_batch) {
        throw Error("input '", value.name, "' has the dimension ", dim.to_string(),
                    ", and TensorFlow Lite leaves only the batch open; bind its symbols first "
                    "(--bind ",
                    symbols[0], "=...)");
      }
      batch = symbols[0];
    }
  }
  return batch;
}

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

// ---- The module --------------------------------------------------------------------------------

TfliteExporter::TfliteExporter(Module module, std::string_view source, TfliteRounding rounding)
    : module_(std::move(module)),
      graph_(module_.main()),
      source_(source),
      rounding_(rounding),
      readers_(consumers(graph_)) {}

const Node* TfliteExporter::producer(ValueId value) const {
  const NodeId id = graph_.values[value].producer;
  return id == kNone ? nullptr : &graph_.nodes[id];
}

std::string TfliteExporter::run() {
  for (const ValueId output : graph_.outputs) file_.reserve(name(output));
  find_codings();
  open_inputs();
  std::vector<int> outputs = write_outputs();
  if (!refused_.empty())
    throw RefusedModel(source_, "written as TensorFlow Lite", std::move(refused_));
  for (std::size_t i = 0; i < outputs.size(); ++i)
    file_.rename(outputs[i], name(graph_.outputs[i]));
  if (has_open_batch_) open_batches(outputs);
  file_.set_outputs(std::move(outputs));
  const auto description = module_.metadata.find("tflite_description");
  return file_.bytes(description == module_.metadata.end() ? "tandem" : description->second);
}

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
    const TfliteWriterEntry* entry = writer_of(node);
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

// An input that only feeds equal Quantize nodes arrives as their codes.
void TfliteExporter::open_inputs() {
  std::vector<int> tensors;
  for (const ValueId input : graph_.inputs) {
    std::optional<TfliteCoding> coding;
    bool is_coded = !readers_[input].empty() && std::ranges::count(graph_.outputs, input) == 0;
    for (const NodeId id : readers_[input]) {
      const Node& reader = graph_.nodes[id];
      const auto known = codings_.find(reader.outputs[0]);
      is_coded = is_coded && reader.op->name() == "Quantize" && known != codings_.end() &&
                 (!coding || *coding == known->second);
      if (is_coded) coding = known->second;
    }
    const Format& format = type(input).format;
    if (!format.is_float() && format != Format::integer(32, true) &&
        format != Format::integer(64, true)) {
      throw Error("input '", name(input), "' is ", format.name(),
                  "; the writer's inputs are reals or int32 or int64 positions");
    }
    int tensor = -1;
    if (is_coded) {
      tensor = file_.tensor(shape(input), coding->format, coding->quantization(), name(input));
      for (const NodeId id : readers_[input]) {
        const ValueId codes = graph_.nodes[id].outputs[0];
        const CodeTarget target = target_of(graph_.nodes[id]);
        codes_[codes] = {limited({tensor, false}, target, name(codes)), *coding};
      }
    } else {
      tensor = file_.tensor(shape(input), format.is_float() ? Format() : format, {}, name(input));
      reals_[input] = {tensor, false};
    }
    tensors.push_back(tensor);
  }
  if (has_open_batch_) open_batches(tensors);
  file_.set_inputs(tensors);
}

void TfliteExporter::open_batches(const std::vector<int>& tensors) {
  for (const int tensor : tensors) file_.leave_batch_open(tensor);
}

std::vector<int> TfliteExporter::write_outputs() {
  std::vector<int> tensors;
  std::set<int> taken;
  for (const auto& [value, placed] : reals_) taken.insert(placed.tensor);
  for (const auto& [value, codes] : codes_) taken.insert(codes.placed.tensor);
  for (const ValueId output : graph_.outputs) {
    const Node* node = producer(output);
    std::optional<PlacedCodes> codes;
    if (node != nullptr && node->op->name() == "Dequantize" && !known(output))
      codes = decoded(output);
    int tensor = codes ? plain(codes->placed) : plain(real(output));
    if (taken.contains(tensor) || file_.is_constant(tensor)) {
      std::optional<TfliteQuantization> quantization;
      if (codes) quantization = codes->coding.quantization();
      const Format& format = codes ? codes->coding.format : type(output).format;
      const int copy = file_.tensor(shape(output), format, quantization, name(output));
      reshape(tensor, copy);
      tensor = copy;
    }
    taken.insert(tensor);
    tensors.push_back(tensor);
  }
  return tensors;
}

// ---- Values ------------------------------------------------------------------------------------

std::optional<Tensor> TfliteExporter::known(ValueId value) {
  if (const Tensor* constant = constant_of(module_, graph_, value)) return *constant;
  const auto found = known_.find(value);
  if (found != known_.end()) return found->second;
  std::optional<Tensor>& result = known_[value];
  const Node* node = producer(value);
  if (node == nullptr || node->inputs.empty() || !node->bodies.empty()) return std::nullopt;
  std::vector<Tensor> inputs;
  for (const ValueId input : node->inputs) {
    std::optional<Tensor> tensor = input == kNone ? Tensor(Format(), {0}) : known(input);
    if (!tensor) return std::nullopt;
    inputs.push_back(*tensor);
  }
  const auto outputs = node->op->evaluate(view_of(*node), inputs);
  for (std::size_t i = 0; i < outputs.size(); ++i) known_[node->outputs[i]] = outputs[i];
  return result;
}

Placed TfliteExporter::real(ValueId value) {
  const auto found = reals_.find(value);
  if (found != reals_.end()) return found->second;
  const Placed placed = make_real(value);
  return reals_.try_emplace(value, placed).first->second;
}

Placed TfliteExporter::make_real(ValueId value) {
  if (const auto constant = known(value)) {
    const Format& format = constant->format();
    const Tensor elements = format.is_float() ? constant->converted(Format()) : *constant;
    return {file_.constant(elements, {}, name(value)), false};
  }
  const Node* node = producer(value);
  ensure(node != nullptr, "an input without tensor");
  const Sink sink{name(value), value};
  if (node->op->name() == "Dequantize") {
    const auto codes = decoded(value);
    if (!codes) {
      refused_.push_back({node->name, "Dequantize",
                          "the integers that it decodes are no activation of TensorFlow Lite",
                          "quantize to int8 or int16 with one fixed scale"});
      return placeholder(sink);
    }
    const int tensor = file_.tensor(file_.shape(codes->placed.tensor), Format(), {}, sink.name);
    file_.add("DEQUANTIZE", {codes->placed.tensor}, {tensor}, 2);
    return {tensor, codes->placed.is_channels_last};
  }
  if (is_limit(*node)) return activated(*node);
  return guarded(*node, sink);
}

// Behind an operator that nobody else reads, an activation function is part of it.
Placed TfliteExporter::activated(const Node& node) {
  const Sink sink{name(node.outputs[0]), node.outputs[0]};
  try {
    const RealRange range = range_of(*this, node);
    const auto activation = activation_of(range.low, range.high);
    const ValueId input = node.inputs[0];
    const Node* before = producer(input);
    const TfliteWriterEntry* entry = before == nullptr ? nullptr : writer_of(*before);
    if (activation && entry != nullptr && entry->fuses && readers_[input].size() == 1 &&
        std::ranges::count(graph_.outputs, input) == 0 && !reals_.contains(input)) {
      return guarded(*before, {sink.name, input, nullptr, *activation});
    }
    Placed x = real(input);
    const auto apply = [&](std::string_view op, std::vector<int> inputs) {
      const int tensor = file_.tensor(file_.shape(x.tensor), Format(), {}, sink.name);
      inputs.insert(inputs.begin(), x.tensor);
      file_.add(op, std::move(inputs), {tensor});
      x.tensor = tensor;
    };
    if (activation == tflite::Activation::RELU) apply("RELU", {});
    if (activation == tflite::Activation::RELU6) apply("RELU6", {});
    if (activation == tflite::Activation::RELU_N1_TO_1) apply("RELU_N1_TO_1", {});
    if (activation) return x;
    const auto bound = [&](double at) {
      return file_.constant(Tensor::scalar(at).reshaped({1}), {}, sink.name + ".bound");
    };
    if (range.low != -kInfinity) apply("MAXIMUM", {bound(range.low)});
    if (range.high != kInfinity) apply("MINIMUM", {bound(range.high)});
    return x;
  } catch (const Refusal& refusal) {
    refused_.push_back({node.name, std::string(node.op->name()), refusal.what(), refusal.remedy()});
    return placeholder(sink);
  }
}

std::optional<PlacedCodes> TfliteExporter::decoded(ValueId value) {
  const auto found = decoded_.find(value);
  if (found != decoded_.end()) return found->second;
  std::optional<PlacedCodes> result;
  const Node* node = producer(value);
  if (node != nullptr && node->op->name() == "Dequantize") {
    try {
      const Tensor* scale = view_of(*node).constant(1);
      const bool is_sum = scale != nullptr && scale->format() != Format();
      if (!is_sum) {
        const TfliteCoding coding = coding_of(*node, node->inputs[0]);
        if (const auto constant = known(node->inputs[0])) {
          auto integers = constant->to_integers();
          for (std::int64_t& integer : integers) integer += coding.shift;
          const Tensor codes = Tensor::from_integers(coding.format, constant->shape(), integers);
          result = {{file_.constant(codes, coding.quantization(), name(node->inputs[0])), false},
                    coding};
        } else if (const PlacedCodes made = codes(node->inputs[0]); made.coding == coding) {
          result = made;
        }
      }
    } catch (const Refusal&) {
      result = std::nullopt;  // its reader says what is missing
    }
  } else if (const auto* entry = node == nullptr ? nullptr : writer_of(*node);
             entry != nullptr && entry->moves && type(value).format.is_float()) {
    std::optional<TfliteCoding> coding;
    bool all = true;
    for (const ValueId input : node->inputs) {
      if (input == kNone || !type(input).format.is_float() || known(input)) continue;
      const auto codes = decoded(input);
      all = all && codes && (!coding || *coding == codes->coding);
      if (codes) coding = codes->coding;
    }
    if (all && coding) {
      CodeTarget target{*coding, coding->format.integer_range()};
      target.rescaling = Rescaling::kDoubleRounding;
      result = {guarded(*node, {name(value), value, &target}), *coding};
    }
  }
  decoded_[value] = result;
  return result;
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
      refuse("its integers have no scale", std::string(kWriteRemedy));
    coding = known_coding->second;
    const TfliteWriterEntry* entry = writer_of(*node);
    if (entry != nullptr && entry->moves) {
      const CodeTarget target{coding, coding.format.integer_range()};
      return {guarded(*node, {name(value), value, &target}), coding};
    }
    const auto placed = write_function_of_codes(*this, value, coding, name(value), codings_);
    if (placed) return {*placed, coding};
    refuse("TensorFlow Lite has no operator for these integers", std::string(kWriteRemedy));
  } catch (const Refusal& refusal) {
    refused_.push_back(
        {node->name, std::string(node->op->name()), refusal.what(), refusal.remedy()});
    const CodeTarget target{coding, coding.format.integer_range()};
    return {placeholder({name(value), value, &target}), coding};
  }
}

// ---- Codes of reals ----------------------------------------------------------------------------

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
  const TfliteWriterEntry* entry = node == nullptr ? nullptr : writer_of(*node);
  const bool is_function = entry != nullptr && (entry->takes_codes || entry->moves) &&
                           !(entry->moves && known(node->inputs[0]));
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
  const RealRange range = range_of(*this, node);
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

// ---- Operands and results ----------------------------------------------------------------------

PlacedCodes TfliteExporter::operand(ValueId value, const Sink& sink) {
  if (!sink.is_coded()) return {real(value), {}};
  if (!type(value).format.is_float()) return codes(value);
  if (const auto codes = decoded(value)) return *codes;
  refuse(concat("its operand '", name(value), "' has no codes"),
         "quantize all of its operands, or leave its result real");
}

Placed TfliteExporter::moved_operand(ValueId value, const Sink& sink) {
  if (!sink.is_coded()) return real(value);
  if (!type(value).format.is_float()) {
    const TfliteCoding& coding = sink.codes->coding;
    if (const auto constant = known(value)) {
      auto integers = constant->to_integers();
      for (std::int64_t& integer : integers) integer += coding.shift;
      const Tensor elements = Tensor::from_integers(coding.format, constant->shape(), integers);
      return {file_.constant(elements, coding.quantization(), name(value)), false};
    }
    const PlacedCodes made = codes(value);
    if (made.coding == coding) return made.placed;
    return {requantized(made, *sink.codes, sink.name), made.placed.is_channels_last};
  }
  CodeTarget whole = *sink.codes;
  whole.kept = whole.coding.format.integer_range();
  return coded(value, whole, name(value) + ".codes");
}

int TfliteExporter::in_order(Placed placed, bool channels_last) {
  if (placed.is_channels_last == channels_last) return placed.tensor;
  const auto [known, is_new] = transposed_.try_emplace({placed.tensor, channels_last}, -1);
  if (!is_new) return known->second;
  const std::vector<std::int64_t> perm =
      channels_last ? std::vector<std::int64_t>{0, 2, 3, 1} : std::vector<std::int64_t>{0, 3, 1, 2};
  Shape to;
  for (const std::int64_t axis : perm)
    to.push_back(file_.shape(placed.tensor)[static_cast<std::size_t>(axis)]);
  const std::string name = file_.name(placed.tensor) + (channels_last ? ".nhwc" : ".nchw");
  const int tensor = file_.like(placed.tensor, to, name);
  const bool is_flat = to[1] * to[2] == 1 || to[2] * to[3] == 1;
  if (is_flat && to[1] * to[2] * to[3] == std::max({to[1], to[2], to[3]})) {
    reshape(placed.tensor, tensor);
  } else {
    file_.add("TRANSPOSE", {placed.tensor, index_constant(perm, name + ".perm")}, {tensor}, 2);
  }
  transposed_[{tensor, !channels_last}] = placed.tensor;
  return known->second = tensor;
}

// The shape beside the operator is for other programs; an open batch stays open.
void TfliteExporter::reshape(int from, int to) {
  std::vector<std::int64_t> extents = file_.shape(to);
  const Shape& before = file_.shape(from);
  if (has_open_batch_ && !extents.empty() && !before.empty() && extents[0] == before[0])
    extents[0] = -1;
  file_.add("RESHAPE", {from, index_constant(extents, file_.name(to) + ".shape")}, {to}, 1,
            tflite::ReshapeOptionsT());
}

int TfliteExporter::result(const Sink& sink, const Shape& shape) {
  if (!sink.is_coded()) return file_.tensor(shape, Format(), {}, sink.name);
  const TfliteCoding& coding = sink.codes->coding;
  return file_.tensor(shape, coding.format, coding.quantization(), sink.name);
}

int TfliteExporter::index_constant(const std::vector<std::int64_t>& values,
                                   const std::string& name) {
  const Shape shape = {static_cast<std::int64_t>(values.size())};
  return file_.constant(Tensor::from_integers(Format::integer(32, true), shape, values), {}, name);
}

Placed TfliteExporter::guarded(const Node& node, const Sink& sink) {
  const auto refused = [&](const Error& error, std::string remedy) {
    refused_.push_back({node.name, std::string(node.op->name()), error.what(), std::move(remedy)});
    return placeholder(sink);
  };
  try {
    const TfliteWriterEntry* entry = writer_of(node);
    if (entry == nullptr) {
      refuse("the writer knows no operator of TensorFlow Lite for it", std::string(kWriteRemedy));
    }
    return entry->write(*this, node, sink);
  } catch (const Refusal& refusal) {
    return refused(refusal, refusal.remedy());
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    return refused(error, std::string(kWriteRemedy));
  }
}

// Stands for a refused result, so that what follows can be judged in the same breath.
Placed TfliteExporter::placeholder(const Sink& sink) {
  return {result(sink, shape(sink.value)), false};
}

std::string write_tflite(const Module& module, std::string_view source, TfliteRounding rounding) {
  const Graph& graph = module.main();
  if (module.functions.size() != 1 || !module.states.empty() || !graph.updates.empty()) {
    throw Error(
        "the writer of TensorFlow Lite has no place for states or for functions beside 'main'; "
        "write the module's own text instead");
  }
  if (!graph.codings.empty()) {
    throw Error(
        "the module is lowered to integers, for which TensorFlow Lite has no operators; write the "
        "quantized network that it was lowered from");
  }
  const std::string batch = batch_symbol(module);
  std::map<std::string, std::int64_t> bound;
  for (const Symbol& symbol : module.symbols)
    bound[symbol.name] = std::max<std::int64_t>(symbol.min, 1);
  Module fixed = bound.empty() ? module : specialize(module, bound);
  TfliteExporter exporter(std::move(fixed), source, rounding);
  if (!batch.empty()) exporter.leave_batch_open();
  return exporter.run();
}

}  // namespace tandem
