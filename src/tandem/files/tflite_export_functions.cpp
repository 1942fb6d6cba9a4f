// Integer primitives that are what one of TensorFlow Lite's kernels computes: each operator that
// they could be is written, read again and compared with them.
#include <algorithm>
#include <cmath>
#include <functional>

#include "tandem/base/text.h"
#include "tandem/files/tflite_export.h"
#include "tandem/files/tflite_reader.h"
#include "tandem/graph/bodies.h"
#include "tandem/graph/equality.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

constexpr std::size_t kMostNodes = 64;  // of one kernel

// One operator: appends it with the given inputs and its result.
struct Candidate {
  std::function<void(TfliteFile&, const std::vector<int>& inputs, int output)> write;
};

// ---- The part of a graph -----------------------------------------------------------------------

// What is computed from other codes: their values, and the nodes in between.
struct Region {
  std::vector<ValueId> sources;
  std::vector<const Node*> nodes;

  const Node* find(std::string_view op) const {
    const auto found =
        std::ranges::find_if(nodes, [&](const Node* node) { return node->op->name() == op; });
    return found == nodes.end() ? nullptr : *found;
  }
};

class RegionFinder {
 public:
  RegionFinder(const TfliteExporter& exporter, const std::map<ValueId, TfliteCoding>& codings)
      : exporter_(exporter), codings_(codings) {}

  // nullopt where it reads reals, or more than codes.
  std::optional<Region> find(ValueId codes) {
    if (!visit(codes, true) || region_.sources.empty()) return std::nullopt;
    return region_;
  }

 private:
  bool visit(ValueId value, bool is_root) {
    if (!seen_.insert(value).second) return true;
    if (constant_of(exporter_.module(), exporter_.graph(), value) != nullptr) return true;
    if (!is_root && codings_.contains(value)) {
      region_.sources.push_back(value);
      return true;
    }
    const Node* node = exporter_.producer(value);
    if (node == nullptr || region_.nodes.size() == kMostNodes) return false;
    region_.nodes.push_back(node);
    return std::ranges::all_of(
        node->inputs, [&](ValueId input) { return input == kNone || visit(input, false); });
  }

  const TfliteExporter& exporter_;
  const std::map<ValueId, TfliteCoding>& codings_;
  std::set<ValueId> seen_;
  Region region_;
};

// A module that computes `result` from the sources.
class Extraction {
 public:
  Extraction(const Module& source, const Graph& graph)
      : source_(source), graph_(graph), builder_(module_, Builder::add_graph(module_, "main")) {}

  Module run(ValueId result, const std::vector<ValueId>& sources) {
    for (const ValueId value : sources)
      copies_[value] = builder_.input(graph_.values[value].name, graph_.values[value].type);
    builder_.output(copy(result));
    return std::move(module_);
  }

 private:
  ValueId copy(ValueId value) {
    if (value == kNone) return kNone;
    const auto known = copies_.find(value);
    if (known != copies_.end()) return known->second;
    const Value& old = graph_.values[value];
    if (const Tensor* constant = constant_of(source_, graph_, value))
      return copies_[value] = builder_.constant(*constant, old.name);
    const Node& node = graph_.nodes[old.producer];
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) inputs.push_back(copy(input));
    const auto outputs = copy_node(builder_, source_, node, inputs);
    for (std::size_t i = 0; i < outputs.size(); ++i) copies_[node.outputs[i]] = outputs[i];
    return copies_.at(value);
  }

  const Module& source_;
  const Graph& graph_;
  Module module_;
  Builder builder_;
  std::map<ValueId, ValueId> copies_;
};

// ---- Comparing ---------------------------------------------------------------------------------

struct CodedType {
  Shape shape;
  TfliteCoding coding;
};

// The part between codes of what the reader makes of an operator; nullopt where it refuses.
std::optional<Module> read_again(const Candidate& candidate, const std::vector<CodedType>& inputs,
                                 const CodedType& output) {
  TfliteFile file;
  const auto tensor = [&](const CodedType& type, const std::string& name) {
    return file.tensor(type.shape, type.coding.format, type.coding.quantization(), name);
  };
  std::vector<int> tensors;
  for (const CodedType& input : inputs) tensors.push_back(tensor(input, "x"));
  const int result = tensor(output, "y");
  file.set_inputs(tensors);
  candidate.write(file, tensors, result);
  file.set_outputs({result});
  try {
    const std::string bytes = file.bytes("");
    const Module module = read_tflite(std::as_bytes(std::span(bytes)), "candidate");
    const Graph& graph = module.main();
    std::vector<ValueId> sources;
    const auto readers = consumers(graph);
    for (const ValueId input : graph.inputs) {
      if (readers[input].size() != 1) return std::nullopt;
      sources.push_back(graph.nodes[readers[input][0]].outputs[0]);
    }
    const Node& decoder = graph.nodes[graph.values[graph.outputs[0]].producer];
    if (decoder.op->name() != "Dequantize") return std::nullopt;
    return Extraction(module, graph).run(decoder.inputs[0], sources);
  } catch (const RefusedModel&) {
    return std::nullopt;
  }
}

// ---- What they could be ------------------------------------------------------------------------

template <typename Options>
Candidate with_options(std::string op, Options options) {
  return {
      [op = std::move(op), options](TfliteFile& file, const std::vector<int>& inputs, int output) {
        file.add(op, inputs, {output}, 2, options);
      }};
}

Candidate plain_operator(std::string op) {
  return {[op = std::move(op)](TfliteFile& file, const std::vector<int>& inputs, int output) {
    file.add(op, inputs, {output}, 2);
  }};
}

int positions(TfliteFile& file, const Integers& values, const std::string& name) {
  const Shape shape = {static_cast<std::int64_t>(values.size())};
  return file.constant(Tensor::from_integers(Format::integer(32, true), shape, values), {}, name);
}

// A number as training programs write it: with few decimals, else as it is.
std::vector<float> likely(double estimate) {
  std::vector<float> numbers;
  for (const double unit : {1e1, 1e2, 1e3, 1e4, 1e6})
    numbers.push_back(static_cast<float>(std::round(estimate * unit) / unit));
  numbers.push_back(static_cast<float>(estimate));
  return numbers;
}

class Candidates {
 public:
  Candidates(TfliteExporter& exporter, const Region& region, std::vector<CodedType> inputs,
             CodedType output)
      : exporter_(exporter),
        region_(region),
        inputs_(std::move(inputs)),
        output_(std::move(output)) {}

  std::vector<Candidate> list() {
    const bool is_function = region_.find("Table") != nullptr;
    if (is_function && inputs_.size() == 1) {
      for (const char* op : {"LOGISTIC", "TANH", "HARD_SWISH"}) add(plain_operator(op));
      add_softmax();
    }
    if (inputs_.size() == 1) {
      add_leaky_relu();
      add_reductions();
      add_average_pool();
      add_resizing();
    }
    add_product();
    for (const auto& [primitive, op] : {std::pair("IntMax", "MAXIMUM"), {"IntMin", "MINIMUM"}})
      if (region_.find(primitive) != nullptr) add(plain_operator(op));
    return std::move(list_);
  }

 private:
  void add(Candidate candidate) { list_.push_back(std::move(candidate)); }
  NodeView view(const Node* node) const { return exporter_.view_of(*node); }

  // The factor of the exponent is in the first table, or in front of it.
  void add_softmax() {
    if (region_.find("IntReduceMax") == nullptr) return;
    const auto scale = static_cast<double>(inputs_[0].coding.scale);
    double beta = 1;
    if (const Node* decoder = region_.find("Dequantize")) {
      if (const Tensor* ratio = view(decoder).constant(1))
        beta = ratio->real(0) * 10.0 / 65535.0 / scale;
    } else {
      for (const Node* node : region_.nodes) {
        const Tensor* table = node->op->name() == "Table" ? view(node).constant(1) : nullptr;
        const bool of_distances = table != nullptr && table->size() == 256 &&
                                  table->integer(0) > (std::int64_t{1} << 30) &&
                                  table->integer(1) > 0;
        if (of_distances) beta = -std::log(std::ldexp(table->real(1), -31)) / scale;
      }
    }
    for (const float likely_beta : likely(beta)) {
      tflite::SoftmaxOptionsT options;
      options.beta = likely_beta;
      add(with_options("SOFTMAX", options));
    }
  }

  // The slope below zero is in the table, or in the lesser of two ratios.
  void add_leaky_relu() {
    const auto x = static_cast<double>(inputs_[0].coding.scale),
               y = static_cast<double>(output_.coding.scale);
    double slope = 0;
    if (const Node* node = region_.find("Table"); node != nullptr && region_.nodes.size() == 1) {
      const Tensor& table = *view(node).constant(1);
      const IntegerRange codes = inputs_[0].coding.format.integer_range();
      if (table.rank() != 1) return;
      for (std::int64_t q = codes.min; q < inputs_[0].coding.zero; ++q) {
        const std::int64_t code = table.integer(q - codes.min);
        if (code == codes.min || code == codes.max) continue;
        slope = static_cast<double>(code - output_.coding.zero) * y /
                (static_cast<double>(q - inputs_[0].coding.zero) * x);
        break;
      }
    } else {
      for (const Node* decoder : region_.nodes) {
        if (decoder->op->name() != "Dequantize") continue;
        const Tensor* ratio = view(decoder).constant(1);
        const double found = ratio == nullptr ? 0 : ratio->real(0) * y / x;
        slope = slope == 0 ? found : std::min(slope, found);
      }
    }
    if (!(slope >= 0)) return;
    for (const float alpha : likely(slope)) {
      tflite::LeakyReluOptionsT options;
      options.alpha = alpha;
      add(with_options("LEAKY_RELU", options));
    }
  }

  void add_reductions() {
    for (const auto& [primitive, op] :
         {std::pair("IntSum", "MEAN"), {"IntReduceMax", "REDUCE_MAX"}}) {
      const Node* node = region_.find(primitive);
      if (node == nullptr) continue;
      const Integers axes = view(node).integers("axes");
      const bool keeps = output_.shape.size() == inputs_[0].shape.size();
      add({[axes, keeps, name = std::string(op)](TfliteFile& file, const std::vector<int>& inputs,
                                                 int output) {
        tflite::ReducerOptionsT options;
        options.keep_dims = keeps;
        file.add(name, {inputs[0], positions(file, axes, name + ".axes")}, {output}, 2, options);
      }});
    }
  }

  void add_average_pool() {
    const Node* node = region_.find("IntSumPool");
    if (node == nullptr) return;
    const Integers &kernel = view(node).integers("kernel"),
                   &strides = view(node).integers("strides");
    if (kernel.size() != 2 || strides.size() != 2) return;
    using enum tflite::Activation;
    for (const tflite::Padding padding : {tflite::Padding::SAME, tflite::Padding::VALID}) {
      for (const tflite::Activation activation : {NONE, RELU, RELU6, RELU_N1_TO_1}) {
        tflite::Pool2DOptionsT options;
        options.padding = padding;
        options.activation = activation;
        options.stride_h = static_cast<std::int32_t>(strides[0]);
        options.stride_w = static_cast<std::int32_t>(strides[1]);
        options.filter_height = static_cast<std::int32_t>(kernel[0]);
        options.filter_width = static_cast<std::int32_t>(kernel[1]);
        add(with_options("AVERAGE_POOL_2D", options));
      }
    }
  }

  void add_resizing() {
    if (region_.find("MatMul") == nullptr || output_.shape.size() != 4) return;
    const Integers size = {output_.shape[1], output_.shape[2]};
    for (const auto& [align, half] : {std::pair(false, false), {true, false}, {false, true}}) {
      add({[size, align = align, half = half](TfliteFile& file, const std::vector<int>& inputs,
                                              int output) {
        tflite::ResizeBilinearOptionsT options;
        options.align_corners = align;
        options.half_pixel_centers = half;
        file.add("RESIZE_BILINEAR", {inputs[0], positions(file, size, "size")}, {output}, 3,
                 options);
      }});
    }
  }

  // Two sources, or one and a constant whose scale is what the product's leaves of it.
  void add_product() {
    const Node* node = region_.find("IntMul");
    const Node* decoder = region_.find("Dequantize");
    if (node == nullptr || decoder == nullptr) return;
    using enum tflite::Activation;
    for (const tflite::Activation activation : {NONE, RELU, RELU6, RELU_N1_TO_1}) {
      tflite::MulOptionsT options;
      options.activation = activation;
      if (inputs_.size() == 2) add(with_options("MUL", options));
      if (inputs_.size() == 1) add_constant_product(*node, *decoder, options);
    }
  }

  void add_constant_product(const Node& node, const Node& decoder,
                            const tflite::MulOptionsT& options) {
    const Tensor* unit = view(&decoder).constant(1);
    if (unit == nullptr || unit->size() != 1) return;
    for (std::size_t i = 0; i < 2; ++i) {
      auto codes = exporter_.known(node.inputs[i]);
      if (!codes) continue;
      TfliteCoding coding{inputs_[0].coding.format};
      coding.scale =
          static_cast<float>(unit->real(0) / static_cast<double>(inputs_[0].coding.scale));
      const Node* centring = exporter_.producer(node.inputs[i]);
      if (centring != nullptr && centring->op->name() == "IntSub") {
        codes = exporter_.known(centring->inputs[0]);
        coding.zero = exporter_.known(centring->inputs[1])->integer(0);
      }
      if (codes->format() != coding.format) continue;
      add({[i, codes = *codes, coding, options](TfliteFile& file, const std::vector<int>& inputs,
                                                int output) {
        const int constant = file.constant(codes, coding.quantization(), "factor");
        std::vector<int> operands = {inputs[0], constant};
        if (i == 0) std::swap(operands[0], operands[1]);
        file.add("MUL", operands, {output}, 2, options);
      }});
    }
  }

  TfliteExporter& exporter_;
  const Region& region_;
  std::vector<CodedType> inputs_;
  CodedType output_;
  std::vector<Candidate> list_;
};

// Whether codes come from primitives, or from products with constant weights of a resizing, rather
// than from the operator of reals that stands before a Quantize.
bool may_be_kernel(TfliteExporter& exporter, ValueId codes) {
  const Node* node = exporter.producer(codes);
  if (node->op->name() != "Quantize") return true;
  const Node* before = exporter.producer(node->inputs[0]);
  if (before == nullptr) return false;
  if (before->op->name() == "Dequantize") {
    const Tensor* scale = exporter.view_of(*before).constant(1);
    return scale != nullptr && scale->format() != Format();
  }
  if (before->op->name() != "Transpose") return false;
  const Node* product = exporter.producer(before->inputs[0]);
  return product != nullptr && product->op->name() == "MatMul";
}

// A layer with coded weights on reals: its kernel codes them for each sample.
Module hybrid_layer(const Shape& shape, bool is_asymmetric) {
  TfliteFile file;
  const int x = file.tensor(shape, Format(), {}, "x");
  const bool is_matrix = shape.size() == 2;
  const std::int64_t outputs = is_asymmetric && !is_matrix ? 2 : 1;
  const Shape weights = is_matrix ? Shape{1, shape[1]} : Shape{outputs, 1, 1, shape[3]};
  TfliteQuantization quantization{std::vector<float>(static_cast<std::size_t>(outputs), 1),
                                  Integers(static_cast<std::size_t>(outputs), 0), 0};
  const int w = file.constant(Tensor(Format::integer(8, true), weights), quantization, "w");
  Shape to = shape;
  to.back() = outputs;
  const int y = file.tensor(to, Format(), {}, "y");
  if (is_matrix) {
    tflite::FullyConnectedOptionsT options;
    options.asymmetric_quantize_inputs = is_asymmetric;
    file.add("FULLY_CONNECTED", {x, w}, {y}, 1, options);
  } else {
    tflite::Conv2DOptionsT options;
    options.stride_h = options.stride_w = 1;
    file.add("CONV_2D", {x, w}, {y}, 1, options);
  }
  file.set_inputs({x});
  file.set_outputs({y});
  const std::string bytes = file.bytes("");
  return read_tflite(std::as_bytes(std::span(bytes)), "hybrid layer");
}

}  // namespace

std::optional<DynamicCoding> dynamic_coding(TfliteExporter& exporter, ValueId value) {
  const auto node_of = [&](ValueId v, std::string_view op) {
    const Node* node = v == kNone ? nullptr : exporter.producer(v);
    return node == nullptr || node->op->name() != op ? nullptr : node;
  };
  const Node* decoder = node_of(value, "Dequantize");
  const Node* quantize = decoder == nullptr ? nullptr : node_of(decoder->inputs[0], "Quantize");
  const Node* scaled = quantize == nullptr ? nullptr : node_of(quantize->inputs[0], "Mul");
  if (scaled == nullptr || exporter.known(decoder->inputs[1])) return std::nullopt;
  const ValueId source = scaled->inputs[0];
  const Shape shape = exporter.shape(source);
  if (shape.size() != 2 && shape.size() != 4) return std::nullopt;
  const Module wanted = Extraction(exporter.module(), exporter.graph()).run(value, {source});
  for (const bool is_asymmetric : {false, true}) {
    const Module layer = hybrid_layer(shape, is_asymmetric);
    const Graph& graph = layer.main();
    for (const Node& node : graph.nodes) {
      const bool decodes =
          node.op->name() == "Dequantize" && constant_of(layer, graph, node.inputs[0]) == nullptr;
      if (!decodes) continue;
      const Module coded = Extraction(layer, graph).run(node.outputs[0], {graph.inputs[0]});
      if (!difference(wanted, coded)) return DynamicCoding{source, is_asymmetric};
    }
  }
  return std::nullopt;
}

std::optional<Placed> write_function_of_codes(TfliteExporter& exporter, ValueId codes,
                                              const TfliteCoding& coding, const std::string& name,
                                              const std::map<ValueId, TfliteCoding>& known) {
  if (!may_be_kernel(exporter, codes) || coding.shift != 0) return std::nullopt;
  const auto region = RegionFinder(exporter, known).find(codes);
  if (!region) return std::nullopt;
  std::vector<CodedType> inputs;
  for (const ValueId source : region->sources) {
    const TfliteCoding& source_coding = known.at(source);
    if (source_coding.shift != 0) return std::nullopt;
    inputs.push_back({exporter.shape(source), source_coding});
  }
  const CodedType output{exporter.shape(codes), coding};
  const Module wanted = Extraction(exporter.module(), exporter.graph()).run(codes, region->sources);
  for (const Candidate& candidate : Candidates(exporter, *region, inputs, output).list()) {
    const auto found = read_again(candidate, inputs, output);
    if (!found || difference(wanted, *found)) continue;
    std::vector<int> tensors;
    for (const ValueId source : region->sources)
      tensors.push_back(exporter.plain(exporter.codes(source).placed));
    const int tensor =
        exporter.file().tensor(output.shape, coding.format, coding.quantization(), name);
    candidate.write(exporter.file(), tensors, tensor);
    return Placed{tensor, false};
  }
  return std::nullopt;
}

}  // namespace tandem
