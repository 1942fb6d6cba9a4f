// If, Loop and Scan. What is constant while reading is done then: the branch taken stands in the
// node's place, and few steps stand there one after the other. The rest becomes nodes with bodies.
#include <algorithm>
#include <limits>

#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_tensor.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

constexpr std::int64_t kMostUnrolledNodes = 4096;  // of one loop

const Format& truth_format() {
  static const Format kFormat = Format::parse("bool");
  return kFormat;
}

Tensor index_tensor(std::int64_t index) {
  return Tensor::from_integers(Format::integer(64, true), {}, Integers{index});
}

Tensor truth_tensor(bool truth) {
  return Tensor::from_integers(truth_format(), {}, Integers{truth ? 1 : 0});
}

bool truth_of(const Tensor& condition) {
  if (condition.size() != 1 || !condition.format().is_boolean()) {
    OnnxNode::refuse(concat("its condition is ", type_of(condition).to_string()),
                     "give it one boolean");
  }
  return condition.integer(0) != 0;
}

// A tensor of one element as a scalar.
ValueId scalar_input(OnnxNode& node, std::size_t input) {
  if (!node.has(input)) return kNone;
  const ValueId value = node.value(input);
  return node.type(input).shape == std::vector<Dim>{1} ? node.reshape(value, {}) : value;
}

void require_outputs(OnnxNode& node, const onnx::GraphProto& graph, std::size_t least) {
  const auto given = static_cast<std::size_t>(graph.output_size());
  if (given < std::max(least, node.output_count())) {
    OnnxNode::refuse(concat("its graph '", graph.name(), "' has ", given, " outputs"),
                     concat("give it ", std::max(least, node.output_count())));
  }
}

void if_node(OnnxNode& node) {
  const onnx::GraphProto &first = node.graph("then_branch"), &second = node.graph("else_branch");
  require_outputs(node, first, 0);
  require_outputs(node, second, 0);
  if (const Tensor* condition = node.constant(0)) {
    const bool is_first = truth_of(*condition);
    const auto names = node.inline_graph(is_first ? first : second, {}, is_first ? "then" : "else");
    for (std::size_t i = 0; i < node.output_count(); ++i) node.set_named(i, names[i]);
    return;
  }
  try {
    std::vector<ValueId> inputs = {scalar_input(node, 0)};
    std::array bodies = {node.import_body(first, {}, "then"), node.import_body(second, {}, "else")};
    const auto captured = node.share_captures(bodies);
    inputs.insert(inputs.end(), captured.begin(), captured.end());
    const auto outputs = node.add_node("If", inputs, {}, {bodies[0].graph, bodies[1].graph});
    for (std::size_t i = 0; i < outputs.size(); ++i) node.set(i, outputs[i]);
  } catch (const Error&) {
    node.note_deciding(0);
    throw;
  }
}

// ---- Loop
// ----------------------------------------------------------------------------------------

class LoopReader {
 public:
  explicit LoopReader(OnnxNode& node) : node_(node), body_(node.graph("body")) {
    carried_ = std::max<std::size_t>(node.input_count(), 2) - 2;
    require_outputs(node, body_, 1 + carried_);
    stacked_ = static_cast<std::size_t>(body_.output_size()) - 1 - carried_;
    if (node.has(0)) {
      trips_ = node.constant(0);
      if (trips_ != nullptr && (trips_->size() != 1 || !trips_->format().is_integer()))
        OnnxNode::refuse("its number of trips is no scalar", "give it one integer");
    }
  }

  void read() {
    if (!unroll()) build();
  }

 private:
  // Whether the loop could be written step by step.
  bool unroll() {
    if (node_.has(0) && trips_ == nullptr) return false;
    if (node_.has(1) && node_.constant(1) == nullptr) return false;
    constexpr std::int64_t kEndless = std::numeric_limits<std::int64_t>::max();
    const std::int64_t trips = trips_ == nullptr ? kEndless : trips_->integer(0);
    const std::int64_t most = kMostUnrolledNodes / std::max(body_.node_size(), 1);
    if (trips > most && trips != kEndless) return false;
    std::string condition =
        node_.name_constant("condition", node_.has(1) ? *node_.constant(1) : truth_tensor(true));
    std::vector<std::string> carried;
    for (std::size_t i = 0; i < carried_; ++i) carried.push_back(node_.input_name(2 + i));
    std::vector<std::vector<std::string>> rows(stacked_);
    for (std::int64_t step = 0; step < trips; ++step) {
      const Tensor* known = node_.constant_named(condition);
      if (known == nullptr || step == most) return false;  // data decide
      if (!truth_of(*known)) break;
      std::vector<std::string> inputs = {node_.name_constant("step", index_tensor(step)),
                                         condition};
      inputs.insert(inputs.end(), carried.begin(), carried.end());
      const auto outputs = node_.inline_graph(body_, inputs, concat("step", step));
      condition = outputs[0];
      std::copy_n(outputs.begin() + 1, carried_, carried.begin());
      for (std::size_t i = 0; i < stacked_; ++i) rows[i].push_back(outputs[1 + carried_ + i]);
    }
    for (std::size_t i = 0; i < carried_; ++i) node_.set_named(i, carried[i]);
    for (std::size_t i = 0; i < stacked_; ++i)
      if (node_.has_output(carried_ + i)) node_.set(carried_ + i, stack(rows[i], i));
    return true;
  }

  ValueId stack(const std::vector<std::string>& rows, std::size_t index) {
    if (rows.empty()) return nothing(body_.output(static_cast<int>(1 + carried_ + index)));
    std::vector<ValueId> parts;
    for (const std::string& row : rows) {
      const ValueId value = node_.value_named(row);
      std::vector<Dim> shape = node_.type_of_value(value).shape;
      shape.insert(shape.begin(), 1);
      parts.push_back(node_.reshape(value, shape));
    }
    return parts.size() == 1 ? parts[0] : node_.add("Concat", parts, {{"axis", std::int64_t{0}}});
  }

  // Of a loop that takes no step, what its body declares.
  ValueId nothing(const onnx::ValueInfoProto& info) {
    const auto& declared = info.type().tensor_type();
    const auto format = onnx_format(declared.elem_type());
    Shape shape = {0};
    for (const auto& dim : declared.shape().dim())
      shape.push_back(dim.has_dim_value() ? dim.dim_value() : -1);
    if (!format || !declared.has_shape() || std::ranges::find(shape, -1) != shape.end())
      OnnxNode::refuse(
          concat("it takes no step, and the shape of its '", info.name(), "' is not declared"),
          "declare the shapes of its body's outputs");
    return node_.add_constant(Tensor(*format, shape));
  }

  void build() {
    try {
      std::vector<std::string> deciding;
      for (std::size_t i = 0; i < 2; ++i)
        if (node_.has(i)) deciding.push_back(node_.input_name(i));
      std::vector<OnnxBodyInput> taken = {{{{}, Format::integer(64, true)}, deciding},
                                          {{{}, truth_format()}, deciding}};
      std::vector<ValueId> inputs = {scalar_input(node_, 0), scalar_input(node_, 1)};
      for (std::size_t i = 2; i < 2 + carried_; ++i) {
        inputs.push_back(node_.value_named(node_.input_name(i)));
        taken.push_back({node_.type(i), {node_.input_name(i)}});
      }
      std::array bodies = {node_.import_body(body_, taken, "body", true)};
      const auto captured = node_.share_captures(bodies);
      inputs.insert(inputs.end(), captured.begin(), captured.end());
      const auto outputs = node_.add_node(
          "Loop", inputs, {{"carried", static_cast<std::int64_t>(carried_)}}, {bodies[0].graph});
      for (std::size_t i = 0; i < outputs.size(); ++i) node_.set(i, outputs[i]);
    } catch (const Error&) {
      for (std::size_t i = 0; i < node_.input_count(); ++i) node_.note_deciding(i);
      throw;
    }
  }

  OnnxNode& node_;
  const onnx::GraphProto& body_;
  std::size_t carried_ = 0, stacked_ = 0;
  const Tensor* trips_ = nullptr;
};

void loop(OnnxNode& node) { LoopReader(node).read(); }

// ---- Scan
// ----------------------------------------------------------------------------------------

class ScanReader {
 public:
  explicit ScanReader(OnnxNode& node) : node_(node), body_(node.graph("body")) {
    const std::int64_t scanned = node.integer("num_scan_inputs");
    const auto given =
        static_cast<std::int64_t>(node.input_count()) - static_cast<std::int64_t>(first());
    if (scanned < 1 || scanned > given)
      OnnxNode::refuse(concat("it scans ", scanned, " of ", given, " inputs"),
                       "correct num_scan_inputs");
    scanned_ = static_cast<std::size_t>(scanned);
    states_ = static_cast<std::size_t>(given - scanned);
    require_outputs(node, body_, states_);
    stacked_ = static_cast<std::size_t>(body_.output_size()) - states_;
  }

  void read() {
    const bool has_batch = node_.opset() < 9;
    if (has_batch && node_.has(0))
      OnnxNode::refuse("it has lengths of sequences", "convert it to operator set 9 or later");
    input_directions_ = list(has_batch ? "directions" : "scan_input_directions", scanned_);
    output_directions_ = list(has_batch ? "" : "scan_output_directions", stacked_);
    const Integers input_axes = list(has_batch ? "" : "scan_input_axes", scanned_);
    const Integers output_axes = list(has_batch ? "" : "scan_output_axes", stacked_);
    std::vector<ValueId> inputs;
    for (std::size_t i = 0; i < states_ + scanned_; ++i) {
      const ValueId value = node_.value_named(node_.input_name(i + first()));
      inputs.push_back(i < states_ ? value : to_front(value, input_axes[i - states_]));
    }
    if (has_batch) return read_batch(inputs);
    const auto outputs = scan(inputs);
    for (std::size_t i = 0; i < outputs.size(); ++i)
      node_.set(i, i < states_ ? outputs[i] : from_front(outputs[i], output_axes[i - states_]));
  }

 private:
  // The lengths of sequences stand before the states then.
  std::size_t first() const { return node_.opset() < 9 ? 1 : 0; }

  // An attribute with a number for each input or output; zeros where it is absent.
  Integers list(std::string_view name, std::size_t count) {
    const auto given = name.empty() ? std::nullopt : node_.integers(name);
    if (!given) return Integers(count, 0);
    if (given->size() != count)
      OnnxNode::refuse(concat(name, " has ", given->size(), " entries, not ", count),
                       "correct the attribute");
    return *given;
  }

  std::size_t checked_axis(ValueId value, std::int64_t axis) {
    const auto rank = static_cast<std::int64_t>(node_.type_of_value(value).shape.size());
    if (axis < -rank || axis >= rank)
      OnnxNode::refuse(concat("its axis ", axis, " is outside the rank ", rank),
                       "correct the attribute");
    return static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
  }

  ValueId to_front(ValueId value, std::int64_t given) {
    const std::size_t axis = checked_axis(value, given);
    Integers perm = {static_cast<std::int64_t>(axis)};
    for (std::size_t i = 0; i < node_.type_of_value(value).shape.size(); ++i)
      if (i != axis) perm.push_back(static_cast<std::int64_t>(i));
    return axis == 0 ? value : node_.add("Transpose", {value}, {{"perm", perm}});
  }

  ValueId from_front(ValueId value, std::int64_t given) {
    const std::size_t axis = checked_axis(value, given);
    Integers perm;
    for (std::size_t i = 1; i < node_.type_of_value(value).shape.size(); ++i)
      perm.push_back(static_cast<std::int64_t>(i));
    perm.insert(perm.begin() + static_cast<std::ptrdiff_t>(axis), 0);
    return axis == 0 ? value : node_.add("Transpose", {value}, {{"perm", perm}});
  }

  std::vector<ValueId> scan(std::vector<ValueId> inputs) {
    std::vector<OnnxBodyInput> taken;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      TensorType type = node_.type_of_value(inputs[i]);
      if (i >= states_) type.shape.erase(type.shape.begin());
      taken.push_back({type, {node_.input_name(i + first())}});
    }
    std::array bodies = {node_.import_body(body_, taken, "body")};
    const auto captured = node_.share_captures(bodies);
    inputs.insert(inputs.end(), captured.begin(), captured.end());
    return node_.add_node("Scan", inputs,
                          {{"states", static_cast<std::int64_t>(states_)},
                           {"scanned", static_cast<std::int64_t>(scanned_)},
                           {"input_reversed", input_directions_},
                           {"output_reversed", output_directions_}},
                          {bodies[0].graph});
  }

  // Before operator set 9 the first axis counts samples, each scanned by itself.
  void read_batch(const std::vector<ValueId>& inputs) {
    constexpr std::int64_t kMostSamples = 256;
    const Dim samples = node_.type_of_value(inputs[0]).shape.empty()
                            ? Dim(0)
                            : node_.type_of_value(inputs[0]).shape[0];
    if (!samples.is_constant() || samples.constant() < 1 || samples.constant() > kMostSamples)
      OnnxNode::refuse(concat("its number of samples is ", samples.to_string()),
                       concat("fix it to at most ", kMostSamples));
    std::vector<std::vector<ValueId>> results(states_ + stacked_);
    for (std::int64_t n = 0; n < samples.constant(); ++n) {
      std::vector<ValueId> one;
      for (const ValueId input : inputs) one.push_back(sample(input, n));
      const auto outputs = scan(one);
      for (std::size_t i = 0; i < results.size(); ++i) {
        std::vector<Dim> shape = node_.type_of_value(outputs[i]).shape;
        shape.insert(shape.begin(), 1);
        results[i].push_back(node_.reshape(outputs[i], shape));
      }
    }
    for (std::size_t i = 0; i < results.size(); ++i)
      node_.set(i, node_.add("Concat", results[i], {{"axis", std::int64_t{0}}}));
  }

  ValueId sample(ValueId value, std::int64_t index) {
    const std::vector<Dim> shape = node_.type_of_value(value).shape;
    if (shape.empty()) OnnxNode::refuse("an input has no axis of samples", "give it one");
    const ValueId row = node_.add(
        "Slice", {value},
        {{"starts", Integers{index}}, {"ends", Integers{index + 1}}, {"axes", Integers{0}}});
    return node_.reshape(row, {shape.begin() + 1, shape.end()});
  }

  OnnxNode& node_;
  const onnx::GraphProto& body_;
  std::size_t scanned_ = 0, states_ = 0, stacked_ = 0;
  Integers input_directions_, output_directions_;
};

void scan(OnnxNode& node) { ScanReader(node).read(); }

// Of tensors: one that is there, or none.
void optional_has_element(OnnxNode& node) {
  node.set(0, node.add_constant(truth_tensor(node.has(0))));
}

void optional_get_element(OnnxNode& node) {
  if (!node.has(0)) OnnxNode::refuse("its input is absent", "give it a tensor");
  node.set_named(0, node.input_name(0));
}

}  // namespace

void add_control_flow_handlers(OnnxHandlers& handlers) {
  handlers["If"] = if_node;
  handlers["Loop"] = loop;
  handlers["Scan"] = scan;
  handlers["OptionalHasElement"] = optional_has_element;
  handlers["OptionalGetElement"] = optional_get_element;
}

}  // namespace tandem
