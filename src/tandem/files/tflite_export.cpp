#include "tandem/files/tflite_export.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

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

const TfliteWriterEntry* tflite_writer_of(const Node& node) {
  const auto found = tflite_writers().find(node.op->name());
  return found == tflite_writers().end() ? nullptr : &found->second;
}

bool is_limit(const Node& node) { return node.op->name() == "Relu" || node.op->name() == "Clip"; }

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
      const int copy = file_.like(tensor, shape(output), name(output));
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
  const bool decodes = node->op->name() == "Dequantize";
  const auto found = decoded_.find(value);
  const auto codes = decodes                   ? decoded(value)
                     : found == decoded_.end() ? std::nullopt
                                               : found->second;
  if (codes) {
    const int tensor = file_.tensor(file_.shape(codes->placed.tensor), Format(), {}, sink.name);
    file_.add("DEQUANTIZE", {codes->placed.tensor}, {tensor}, 2);
    return {tensor, codes->placed.is_channels_last};
  }
  if (decodes) {
    refuse_decoding(*node);
    return placeholder(sink);
  }
  if (is_limit(*node)) return activated(*node);
  return guarded(*node, sink);
}

void TfliteExporter::refuse_decoding(const Node& node) {
  const Node* quantize = producer(node.inputs[0]);
  if (quantize != nullptr && quantize->op->name() == "Quantize") judge_operands(*quantize);
  RefusedNode refused{node.name, "Dequantize",
                      "the integers that it decodes are no activation of TensorFlow Lite",
                      "quantize to int8 or int16 with one fixed scale"};
  try {
    coding_of(node, node.inputs[0]);
  } catch (const Refusal& refusal) {
    refused.reason = refusal.what();
    refused.remedy = refusal.remedy();
  }
  refused_.push_back(std::move(refused));
}

// Behind an operator that nobody else reads, an activation function is part of it.
Placed TfliteExporter::activated(const Node& node) {
  const Sink sink{name(node.outputs[0]), node.outputs[0]};
  try {
    const RealRange range = range_of(node);
    const auto activation = activation_of(range.low, range.high);
    const ValueId input = node.inputs[0];
    const Node* before = producer(input);
    const TfliteWriterEntry* entry = before == nullptr ? nullptr : tflite_writer_of(*before);
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

// ---- Operands and results ----------------------------------------------------------------------

PlacedCodes TfliteExporter::operand(ValueId value, const Sink& sink) {
  if (!sink.is_coded()) return {real(value), {}};
  if (!type(value).format.is_float()) return codes(value);
  if (const auto codes = decoded(value)) return *codes;
  const Node* node = producer(value);
  if (node != nullptr && node->op->name() == "Dequantize") coding_of(*node, node->inputs[0]);
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
    judge_operands(node);
    refused_.push_back({node.name, std::string(node.op->name()), error.what(), std::move(remedy)});
    return placeholder(sink);
  };
  try {
    const TfliteWriterEntry* entry = tflite_writer_of(node);
    if (entry == nullptr) {
      refuse("the writer knows no operator of TensorFlow Lite for it",
             std::string(kTfliteWriteRemedy));
    }
    const bool is_real = node.op->traits().domain == Domain::kReal;
    for (const ValueId input : node.inputs) {
      if (input == kNone) continue;
      if (is_real && !type(input).format.is_float())
        refuse("it computes with integers", "write the network as ONNX, or compute with reals");
      if (std::ranges::count(type(input).shape, Dim(0)) != 0)
        refuse("it reads a tensor without elements", "leave the node out");
    }
    return entry->write(*this, node, sink);
  } catch (const Refusal& refusal) {
    return refused(refusal, refusal.remedy());
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    return refused(error, std::string(kTfliteWriteRemedy));
  }
}

// What stands before a refused node may be refused too, which is said in the same breath.
void TfliteExporter::judge_operands(const Node& node) {
  for (const ValueId input : node.inputs) {
    const bool is_computed = input != kNone && producer(input) != nullptr;
    if (!is_computed || !type(input).format.is_float() || known(input)) continue;
    if (!decoded(input)) real(input);
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
