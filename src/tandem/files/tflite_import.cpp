#include "tandem/files/tflite_import.h"

#include <algorithm>
#include <set>

#include "tandem/base/file.h"
#include "tandem/base/text.h"
#include "tandem/files/stand_in.h"
#include "tandem/files/tflite_reader.h"

namespace tandem {
namespace {

constexpr std::string_view kTfliteRemedy =
    "mend the operator in the program that made the model, or convert the model again";
constexpr std::string_view kCustom = "CUSTOM";

const TfliteHandlers& tflite_handlers() {
  static const TfliteHandlers kTable = [] {
    TfliteHandlers table;
    add_tflite_layer_handlers(table);
    add_tflite_elementwise_handlers(table);
    add_tflite_movement_handlers(table);
    add_tflite_reduction_handlers(table);
    add_tflite_function_handlers(table);
    add_tflite_variable_handlers(table);
    add_tflite_recurrent_handlers(table);
    return table;
  }();
  return kTable;
}

std::string label_of(const TfliteOperator& op) {
  const std::string_view name = tflite_operator_name(op.code);
  if (name == kCustom) return concat("CUSTOM ", quote(op.custom));
  return name.empty() ? concat("operator code ", op.code) : std::string(name);
}

Refusal unknown_operator(const TfliteOperator& op) {
  if (tflite_operator_name(op.code) == kCustom) {
    return {"custom operators have no meaning in the file",
            "convert the model with built-in operators only (without allow_custom_ops)"};
  }
  std::vector<std::string> names;
  for (const auto& [name, handler] : tflite_handlers()) names.push_back(name);
  return {"this operator is not read",
          concat("replace it before converting; these are read: ", join(names, ", "))};
}

// Scales or zero points beside a tensor: one number, or one along the axis of the channels.
Tensor beside(const TfliteTensor& tensor, const std::vector<double>& values) {
  Shape shape;
  if (!tensor.quantization->is_per_tensor()) {
    shape.assign(tensor.shape.size(), 1);
    shape[tensor.quantization->axis] = static_cast<std::int64_t>(values.size());
  }
  return Tensor::from_reals(Format(), shape, values);
}

Tensor scales_of(const TfliteTensor& tensor) {
  const auto& scales = tensor.quantization->scales;
  return beside(tensor, {scales.begin(), scales.end()});
}

Tensor zeros_of(const TfliteTensor& tensor) {
  const auto& zeros = tensor.quantization->zeros;
  return beside(tensor, {zeros.begin(), zeros.end()});
}

std::vector<Dim> dims_of(const TfliteTensor& tensor) {
  return {tensor.shape.begin(), tensor.shape.end()};
}

// Whether a tensor can hold what is computed at run time: reals, or codes of 8 or 16 bits.
bool is_activation(const TfliteTensor& tensor) {
  const Format& format = *tensor.format;
  if (!tensor.quantization) return format == Format();
  return format.is_signed() && (format.bits() == 8 || format.bits() == 16);
}

void require_usable(const TfliteTensor& tensor) {
  if (!tensor.obstacle.empty()) TfliteNode::refuse(tensor.obstacle, tensor.remedy);
}

}  // namespace

// ---- The graph ---------------------------------------------------------------------------------

TfliteImporter::TfliteImporter(const TfliteModel& model)
    : model_(model),
      builder_(module_, Builder::add_graph(module_, "main")),
      states_(model.tensors.size()) {}

Module TfliteImporter::run(std::string_view source) {
  module_.metadata["producer"] = "TensorFlow Lite";
  if (!model_.description.empty()) module_.metadata["tflite_description"] = model_.description;
  for (const int input : model_.inputs) read_input(input);
  for (std::size_t i = 0; i < model_.operators.size(); ++i) import_operator(i);
  if (!refused_.empty()) throw RefusedModel(source, "read", std::move(refused_), rest_of(module_));
  finish_outputs();
  variables_.finish(builder_.graph());
  remove_unused(module_);
  return std::move(module_);
}

void TfliteImporter::read_input(int index) {
  const TfliteTensor& tensor = model_.tensors[static_cast<std::size_t>(index)];
  State& state = states_[tensor.index];
  if (!tensor.obstacle.empty()) {
    refused_.push_back({tensor.name, "input", tensor.obstacle, tensor.remedy});
    state.poisoned = true;
    return;
  }
  const Format format = tensor.quantization ? Format() : *tensor.format;
  const ValueId input = builder_.input(tensor.name, {dims_of(tensor), format});
  try {
    state.value = tensor.quantization ? nearest_codes(input, tensor) : input;
  } catch (const Refusal& refusal) {
    refused_.push_back({tensor.name, "input", refusal.what(), refusal.remedy()});
    state.poisoned = true;
  }
}

bool TfliteImporter::is_poisoned(const TfliteOperator& op) const {
  return std::ranges::any_of(op.inputs, [&](int input) {
    return input >= 0 && states_[static_cast<std::size_t>(input)].poisoned;
  });
}

void TfliteImporter::refuse(std::size_t index, std::string reason, std::string remedy) {
  const TfliteOperator& op = model_.operators[index];
  std::string place = concat("subgraph 0, operator ", index);
  if (!op.outputs.empty()) {
    const auto output = static_cast<std::size_t>(op.outputs[0]);
    place += concat(", ", model_.tensors[output].name);
  }
  refused_.push_back({place, label_of(op), std::move(reason), std::move(remedy)});
  stand_in_for(op);
}

void TfliteImporter::stand_in_for(const TfliteOperator& op) {
  for (const int output : op.outputs) {
    const TfliteTensor& tensor = model_.tensors[static_cast<std::size_t>(output)];
    State& state = states_[tensor.index];
    state = {};
    if (tensor.obstacle.empty() && is_activation(tensor)) {
      for (const int input : model_.inputs) {
        const TfliteTensor& from = model_.tensors[static_cast<std::size_t>(input)];
        if (states_[from.index].poisoned || !is_activation(from)) continue;
        const auto mean = spread_mean(builder_, real_of(from), {dims_of(tensor), Format()});
        if (!mean) continue;
        state.value = tensor.quantization ? nearest_codes(*mean, tensor) : *mean;
        break;
      }
    }
    state.poisoned = state.value == kNone;
  }
}

void TfliteImporter::import_operator(std::size_t index) {
  const TfliteOperator& op = model_.operators[index];
  try {
    import_with_handler(index);
  } catch (const Refusal& refusal) {
    refuse(index, refusal.what(), refusal.remedy());
  } catch (const Error& error) {
    refuse(index, error.what(), std::string(kTfliteRemedy));
  }
  // The handler's own results come last: what it computed on the way to a refusal is unused.
  for (const int output : op.outputs) {
    State& state = states_[static_cast<std::size_t>(output)];
    if (state.value == kNone && !variables_.is_handle(static_cast<std::size_t>(output)))
      state.poisoned = true;
  }
}

void TfliteImporter::import_with_handler(std::size_t index) {
  const TfliteOperator& op = model_.operators[index];
  const auto handler = tflite_handlers().find(tflite_operator_name(op.code));
  if (handler == tflite_handlers().end()) throw unknown_operator(op);
  if (is_poisoned(op)) return;
  const std::string name = op.outputs.empty()
                               ? std::string(handler->first)
                               : model_.tensors[static_cast<std::size_t>(op.outputs[0])].name;
  TfliteNode node(*this, op, name);
  handler->second(node);
  node.check_all_read();
  for (const int output : op.outputs) {
    const TfliteTensor& tensor = model_.tensors[static_cast<std::size_t>(output)];
    if (states_[tensor.index].value == kNone && !variables_.is_handle(tensor.index)) {
      throw Refusal(concat("its result ", tensor.to_string(), " has no meaning here"),
                    std::string(kTfliteRemedy));
    }
  }
}

void TfliteImporter::finish_outputs() {
  Graph& graph = builder_.graph();
  std::set<ValueId> ends(graph.inputs.begin(), graph.inputs.end());
  for (const int output : model_.outputs) {
    const TfliteTensor& tensor = model_.tensors[static_cast<std::size_t>(output)];
    ValueId value = tensor.quantization ? real_of(tensor) : value_of(tensor);
    // An output has a producer of its own.
    if (ends.contains(value) || graph.values[value].producer == kNone)
      value = builder_.add("Identity", {value}, {}, tensor.name);
    ends.insert(value);
    builder_.output(value);
  }
  name_outputs();
}

// Outputs are named as their tensors, but for those whose name an input or an output before them
// has. Comes last, since the builder does not hear of names that change.
void TfliteImporter::name_outputs() {
  Graph& graph = builder_.graph();
  std::set<ValueId> named(graph.inputs.begin(), graph.inputs.end());
  for (std::size_t i = 0; i < graph.outputs.size(); ++i) {
    const ValueId value = graph.outputs[i];
    const auto tensor = static_cast<std::size_t>(model_.outputs[i]);
    const std::string& name = model_.tensors[tensor].name;
    const auto other = std::ranges::find(graph.values, name, &Value::name);
    if (other == graph.values.end())
      graph.values[value].name = name;
    else if (!named.contains(static_cast<ValueId>(other - graph.values.begin())))
      std::swap(other->name, graph.values[value].name);
    named.insert(value);
  }
}

ValueId TfliteImporter::quantized(ValueId real, const TfliteTensor& tensor, Attributes attributes) {
  if (!is_activation(tensor)) {
    throw Refusal(
        concat(tensor.to_string(), " is an activation of ", tensor.format->name(), " codes"),
        "convert the model with int8 or int16 activations");
  }
  const ValueId scale = builder_.constant(scales_of(tensor), tensor.name + ".scale");
  const ValueId zero = builder_.constant(zeros_of(tensor), tensor.name + ".zero");
  attributes["format"] = *tensor.format;
  return builder_.add("Quantize", {real, scale, zero}, std::move(attributes),
                      tensor.name + ".codes");
}

// What TensorFlow Lite does wherever it makes codes of reals: ties away from zero, then the zero
// point.
ValueId TfliteImporter::nearest_codes(ValueId real, const TfliteTensor& tensor) {
  return quantized(real, tensor,
                   {{"rounding", std::string(name(Rounding::kHalfAwayFromZero))},
                    {"zero_added", std::string("after_rounding")}});
}

ValueId TfliteImporter::value_of(const TfliteTensor& tensor) {
  State& state = states_[tensor.index];
  if (state.value == kNone) {
    require_usable(tensor);
    ensure(tensor.is_constant(), concat(tensor.to_string(), " was not computed"));
    state.value = builder_.constant(constant_of(tensor), tensor.name);
  }
  return state.value;
}

ValueId TfliteImporter::real_of(const TfliteTensor& tensor) {
  State& state = states_[tensor.index];
  if (state.real == kNone) state.real = dequantized(value_of(tensor), tensor);
  return state.real;
}

ValueId TfliteImporter::dequantized(ValueId value, const TfliteTensor& tensor) {
  if (tensor.quantization) {
    const ValueId scale = builder_.constant(scales_of(tensor), tensor.name + ".scale");
    const ValueId zero = builder_.constant(zeros_of(tensor), tensor.name + ".zero");
    return builder_.add("Dequantize", {value, scale, zero}, {}, tensor.name + ".real");
  }
  if (!tensor.format->is_float()) {
    throw Refusal(concat(tensor.to_string(), " is of integers without a scale"),
                  "convert the model with quantized or real tensors there");
  }
  if (*tensor.format == Format()) return value;
  if (const Tensor* constant = tandem::constant_of(module_, builder_.graph(), value))
    return builder_.constant(constant->converted(Format()), tensor.name);
  return builder_.add("Cast", {value}, {{"to", Format()}}, tensor.name + ".real");
}

Module read_tflite(ByteSpan bytes, std::string_view source) {
  try {
    return TfliteImporter(parse_tflite_model(bytes)).run(source);
  } catch (const RefusedModel&) {
    throw;
  } catch (const Error& error) {
    throw error.at(source);
  }
}

Module read_tflite(const std::filesystem::path& path) {
  return read_tflite(read_file_bytes(path), path.string());
}

}  // namespace tandem
