#include <algorithm>
#include <memory>

#include "tandem/graph/evaluate.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/recurrent_cells.h"

namespace tandem {
namespace {

constexpr std::int64_t kMostUnrolled = 4096;  // steps
enum RecurrentInput : std::uint8_t {
  kSequence,
  kInputWeights,
  kRecurrentWeights,
  kBias,
  kLengths,
  kFirstHidden,
  kFirstCell,
  kPeepholes
};

// A whole sequence in one or two directions. Evaluation runs the graph of one step again and again;
// the body holds every step.
class Recurrent final : public Operator {
 public:
  explicit Recurrent(const Cell& cell) : cell_(cell) {}

  std::string_view name() const override { return cell_.name(); }
  std::string_view description() const override { return cell_.description(); }
  std::vector<AttributeSpec> attributes() const override;
  std::size_t min_inputs() const override { return 3; }
  std::size_t max_inputs() const override {
    return cell_.has_peepholes() ? kPeepholes + 1 : kFirstHidden + 1;
  }

  std::vector<TensorType> infer(const NodeView& node) const override;
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor> inputs) const override;
  std::vector<Form> forms(const NodeView&) const override { return {{"unrolled"}}; }
  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override;
  std::vector<SampleCase> samples() const override;

 private:
  struct Extents {
    Dim steps, batch;
    std::int64_t directions, units;
  };

  static std::size_t directions(const NodeView& node) {
    return node.string("direction") == "bidirectional" ? 2 : 1;
  }
  static bool runs_backward(const NodeView& node, std::size_t direction) {
    return direction == 1 || node.string("direction") == "reverse";
  }
  static void require_shape(const NodeView& node, std::size_t input, const std::vector<Dim>& shape);
  Extents extents(const NodeView& node) const;
  CellOptions options(const NodeView& node, std::size_t direction) const;
  // Driven gates [T,N,gates*units], parameters, first states of one direction.
  std::vector<ValueId> prologue(Body& body, const NodeView& node, std::size_t direction,
                                std::span<const ValueId> inputs) const;
  // The next states, and the output last: states stay and outputs are zero at steps from a
  // sample's length on.
  std::vector<ValueId> step(Body& body, const CellOptions& options, ValueId driven,
                            const std::vector<ValueId>& parameters,
                            const std::vector<ValueId>& states, ValueId lengths,
                            ValueId time) const;
  std::vector<Tensor> run_direction(const NodeView& node, std::size_t direction,
                                    std::span<const Tensor> inputs, Tensor& y) const;

  const Cell& cell_;
};

std::vector<AttributeSpec> Recurrent::attributes() const {
  const Attribute no_numbers = std::vector<double>{};
  std::vector<AttributeSpec> specs = {
      choice_attribute("direction", "direction in which steps are taken",
                       {"forward", "reverse", "bidirectional"}),
      {"activations",
       AttributeKind::kStrings,
       "functions of the gates for each direction",
       {cell_.functions()},
       {}},
      {"activation_alpha",
       AttributeKind::kReals,
       "first constants of the functions that have them",
       {no_numbers},
       {}},
      {"activation_beta",
       AttributeKind::kReals,
       "second constants of the functions that have them",
       {no_numbers},
       {}},
      real_attribute("clip", "limit of what functions take; 0: none", 0)};
  if (!cell_.variant().empty())
    specs.push_back(flag_attribute(std::string(cell_.variant()),
                                   std::string(cell_.variant_description()), false));
  return specs;
}

void Recurrent::require_shape(const NodeView& node, std::size_t input,
                              const std::vector<Dim>& shape) {
  if (!node.has_input(input)) return;
  const TensorType wanted{shape, node.input(input).format};
  if (node.input(input) != wanted)
    throw Error("input ", input, " is ", node.input(input).to_string(), ", not ",
                wanted.to_string());
}

Recurrent::Extents Recurrent::extents(const NodeView& node) const {
  const auto &x = node.input(kSequence).shape, &r = node.input(kRecurrentWeights).shape;
  if (x.size() != 3 || r.size() != 3)
    throw Error("x is ", node.input(kSequence).to_string(), " and R ",
                node.input(kRecurrentWeights).to_string(), "; both must have three axes");
  return {x[0], x[1], static_cast<std::int64_t>(directions(node)), r[2].constant()};
}

CellOptions Recurrent::options(const NodeView& node, std::size_t direction) const {
  CellOptions options;
  options.functions = gate_functions(node, direction, directions(node), cell_.functions().size());
  options.clip = node.real("clip");
  options.variant = !cell_.variant().empty() && flag(node, cell_.variant());
  options.units = node.input(kRecurrentWeights).shape[2].constant();
  return options;
}

std::vector<TensorType> Recurrent::infer(const NodeView& node) const {
  const Format format = require_real(node, kSequence);
  for (std::size_t i = 1; i < node.input_count(); ++i) {
    if (i != kLengths && node.has_input(i) && node.input(i).format != format)
      throw Error("input ", i, " is ", node.input(i).format.name(), ", not ", format.name(),
                  " as x is");
  }
  const auto [steps, batch, directions, units] = extents(node);
  const Dim width = node.input(kSequence).shape[2], rows = cell_.gates() * units;
  require_shape(node, kInputWeights, {directions, rows, width});
  require_shape(node, kRecurrentWeights, {directions, rows, units});
  require_shape(node, kBias, {directions, 2 * cell_.gates() * units});
  require_shape(node, kLengths, {batch});
  require_shape(node, kFirstHidden, {directions, batch, units});
  require_shape(node, kFirstCell, {directions, batch, units});
  require_shape(node, kPeepholes, {directions, 3 * units});
  if (node.has_input(kLengths) && node.input(kLengths).format != Format::integer(32, true))
    throw Error("the lengths are ", node.input(kLengths).to_string(), ", not int32");
  if (node.real("clip") < 0) throw Error("clip is negative");
  options(node, 0);
  std::vector<TensorType> types = {{{steps, directions, batch, units}, format}};
  for (std::size_t i = 0; i < cell_.states(); ++i)
    types.push_back({{directions, batch, units}, format});
  return types;
}

std::vector<ValueId> Recurrent::prologue(Body& body, const NodeView& node, std::size_t direction,
                                         std::span<const ValueId> inputs) const {
  const CellOptions options = this->options(node, direction);
  const auto one = [&](std::size_t input) {  // of this direction
    if (!node.has_input(input)) return kNone;
    const auto at = static_cast<std::int64_t>(direction);
    std::vector<Dim> shape = body.type(inputs[input]).shape;
    shape.erase(shape.begin());
    return body.reshape(body.slice(inputs[input], 0, at, at + 1), shape);
  };
  const std::int64_t rows = cell_.gates() * options.units;
  const ValueId bias = one(kBias);
  const ValueId input_bias = bias == kNone ? kNone : body.slice(bias, 0, 0, rows);
  const ValueId recurrent_bias = bias == kNone ? kNone : body.slice(bias, 0, rows, 2 * rows);
  const Cell::Prepared prepared = cell_.prepare(body, options, one(kRecurrentWeights), input_bias,
                                                recurrent_bias, one(kPeepholes));
  ValueId driven = body.matmul(inputs[kSequence], body.transpose(one(kInputWeights), {1, 0}));
  if (prepared.added != kNone) driven = body.add(driven, prepared.added);
  std::vector<ValueId> values = {driven};
  values.insert(values.end(), prepared.parameters.begin(), prepared.parameters.end());
  const TensorType& x = body.type(inputs[kSequence]);
  for (std::size_t i = 0; i < cell_.states(); ++i) {
    const ValueId given = one(kFirstHidden + i);
    if (given != kNone) {
      values.push_back(given);
      continue;
    }
    const Shape shape = TensorType{{x.shape[1], Dim(options.units)}, x.format}.static_shape();
    values.push_back(body.builder().constant(Tensor(x.format, shape), "zeros"));
  }
  return values;
}

std::vector<ValueId> Recurrent::step(Body& body, const CellOptions& options, ValueId driven,
                                     const std::vector<ValueId>& parameters,
                                     const std::vector<ValueId>& states, ValueId lengths,
                                     ValueId time) const {
  std::vector<ValueId> next = cell_.step(body, options, driven, parameters, states);
  if (lengths == kNone) {
    next.push_back(next[0]);
    return next;
  }
  const ValueId inside = body.reshape(body.builder().add("Less", {time, lengths}),
                                      {body.type(lengths).shape[0], Dim(1)});
  const ValueId output = body.where(inside, next[0], body.scalar(0, next[0]));
  for (std::size_t i = 0; i < next.size(); ++i) next[i] = body.where(inside, next[i], states[i]);
  next.push_back(output);
  return next;
}

Tensor time_tensor(std::int64_t t) {
  return Tensor::from_integers(Format::integer(32, true), {}, std::vector<std::int64_t>{t});
}

std::vector<ValueId> Recurrent::body(Builder& builder, const NodeView& node, const Form&,
                                     std::span<const ValueId> inputs) const {
  Body body(builder);
  const Dim steps = body.type(inputs[kSequence]).shape[0];
  if (steps.constant() > kMostUnrolled)
    throw Error("its ", steps.constant(), " steps are more than the ", kMostUnrolled,
                " that are unrolled; split the sequence");
  const ValueId lengths = node.has_input(kLengths) ? inputs[kLengths] : kNone;
  std::vector<ValueId> sequences;
  std::vector<std::vector<ValueId>> last(cell_.states());
  for (std::size_t d = 0; d < directions(node); ++d) {
    const CellOptions options = this->options(node, d);
    std::vector<ValueId> values = prologue(body, node, d, inputs);
    const ValueId driven = values[0];
    const std::vector<Dim> shape = body.type(driven).shape;
    const auto first_state = values.end() - static_cast<std::ptrdiff_t>(cell_.states());
    const std::vector<ValueId> parameters(values.begin() + 1, first_state);
    std::vector<ValueId> states(first_state, values.end());
    std::vector<ValueId> outputs(static_cast<std::size_t>(steps.constant()));
    for (std::int64_t i = 0; i < steps.constant(); ++i) {
      const std::int64_t t = runs_backward(node, d) ? steps.constant() - 1 - i : i;
      const ValueId time = lengths == kNone ? kNone : builder.constant(time_tensor(t), "t");
      states =
          step(body, options, body.reshape(body.slice(driven, 0, t, t + 1), {shape[1], shape[2]}),
               parameters, states, lengths, time);
      outputs[static_cast<std::size_t>(t)] =
          body.reshape(states.back(), {Dim(1), Dim(1), shape[1], Dim(options.units)});
      states.pop_back();
    }
    sequences.push_back(body.concat(outputs, 0));
    for (std::size_t i = 0; i < states.size(); ++i)
      last[i].push_back(body.reshape(states[i], {Dim(1), shape[1], Dim(options.units)}));
  }
  std::vector<ValueId> results = {body.concat(sequences, 1)};
  for (const auto& states : last) results.push_back(body.concat(states, 0));
  return results;
}

// A graph of its own while it is built.
struct Part {
  Module module;
  Builder builder{module, Builder::add_graph(module, "main")};
  Body body{builder};

  ValueId input(const TensorType& type) { return builder.input("x", type); }
  std::vector<Tensor> run(std::span<const Tensor> tensors) {
    return tandem::evaluate(module, module.main(), tensors);
  }
};

std::vector<Tensor> Recurrent::run_direction(const NodeView& node, std::size_t direction,
                                             std::span<const Tensor> inputs, Tensor& y) const {
  Part before;
  std::vector<ValueId> values;
  std::vector<Tensor> given;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    values.push_back(node.has_input(i) ? before.input(type_of(inputs[i])) : kNone);
    if (node.has_input(i)) given.push_back(inputs[i]);
  }
  for (const ValueId value : prologue(before.body, node, direction, values))
    before.builder.output(value);
  std::vector<Tensor> operands = before.run(given);
  const Tensor driven = operands[0];
  const Shape& shape = driven.shape();

  Part once;
  const bool has_lengths = node.has_input(kLengths);
  const CellOptions options = this->options(node, direction);
  operands[0] = driven.rows(0, 1).reshaped({shape[1], shape[2]});
  values.clear();
  for (const Tensor& operand : operands) values.push_back(once.input(type_of(operand)));
  const ValueId lengths = has_lengths ? once.input(type_of(inputs[kLengths])) : kNone;
  const ValueId time = has_lengths ? once.input(type_of(time_tensor(0))) : kNone;
  const auto first_state = values.end() - static_cast<std::ptrdiff_t>(cell_.states());
  for (const ValueId value : step(once.body, options, values[0], {values.begin() + 1, first_state},
                                  {first_state, values.end()}, lengths, time))
    once.builder.output(value);

  const std::size_t states = cell_.states(), first = operands.size() - states;
  if (has_lengths) operands.push_back(inputs[kLengths]);
  if (has_lengths) operands.push_back(time_tensor(0));
  for (std::int64_t i = 0; i < shape[0]; ++i) {
    const std::int64_t t = runs_backward(node, direction) ? shape[0] - 1 - i : i;
    operands[0] = driven.rows(t, t + 1).reshaped({shape[1], shape[2]});
    if (has_lengths) operands.back() = time_tensor(t);
    std::vector<Tensor> next = once.run(operands);
    const auto block = next.back().bytes();
    const auto place = static_cast<std::size_t>(t) * directions(node) + direction;
    std::copy(block.begin(), block.end(),
              y.mutable_bytes().begin() + static_cast<std::ptrdiff_t>(place * block.size()));
    for (std::size_t s = 0; s < states; ++s) operands[first + s] = std::move(next[s]);
  }
  return {operands.begin() + static_cast<std::ptrdiff_t>(first),
          operands.begin() + static_cast<std::ptrdiff_t>(first + states)};
}

std::vector<Tensor> Recurrent::evaluate(const NodeView& node,
                                        std::span<const Tensor> inputs) const {
  const auto count = static_cast<std::int64_t>(directions(node));
  const Format format = inputs[kSequence].format();
  const std::int64_t batch = inputs[kSequence].shape()[1];
  const std::int64_t units = inputs[kRecurrentWeights].shape()[2];
  Tensor y(format, {inputs[kSequence].shape()[0], count, batch, units});
  std::vector<Tensor> last(cell_.states(), Tensor(format, {count, batch, units}));
  for (std::size_t d = 0; d < directions(node); ++d) {
    const std::vector<Tensor> states = run_direction(node, d, inputs, y);
    for (std::size_t i = 0; i < states.size(); ++i) {
      const auto block = states[i].bytes();
      std::copy(block.begin(), block.end(),
                last[i].mutable_bytes().begin() + static_cast<std::ptrdiff_t>(d * block.size()));
    }
  }
  last.insert(last.begin(), std::move(y));
  return last;
}

std::vector<SampleCase> Recurrent::samples() const {
  const std::int64_t gates = cell_.gates();
  const bool is_lstm = cell_.has_peepholes();
  const auto text = [&](std::string_view format, int directions, bool full,
                        std::string_view attributes) {
    const auto type = [&](std::string_view dims) {
      return concat(format, "[", directions, ",", dims, "]");
    };
    std::string inputs = concat("%x : ", format, "[4,N,3], %w : ", type(concat(2 * gates, ",3")),
                                ", %r : ", type(concat(2 * gates, ",2")));
    std::string names = "%x, %w, %r";
    if (full) {
      inputs += concat(", %b : ", type(concat(4 * gates)), ", %l : int32[N], %h : ", type("N,2"));
      names += ", %b, %l, %h";
    }
    if (full && is_lstm) {
      inputs += concat(", %c : ", type("N,2"), ", %p : ", type("6"));
      names += ", %c, %p";
    }
    std::string made = concat("%y : ", format, "[4,", directions, ",N,2], %a : ", type("N,2"));
    if (is_lstm) made += concat(", %e : ", type("N,2"));
    return sample_text("symbol N in [1,4]", inputs,
                       concat(made, " = ", name(), "(", names, ") ", attributes),
                       is_lstm ? "%y, %a, %e" : "%y, %a");
  };
  std::string functions;
  for (int i = 0; i < 2; ++i)
    for (const std::string& function : cell_.functions())
      functions += concat(functions.empty() ? "" : ",", "\"",
                          function == "Sigmoid" ? "HardSigmoid" : "ScaledTanh", "\"");
  const std::size_t count = 2 * cell_.functions().size();
  std::string ones;
  for (std::size_t i = 0; i < count; ++i) ones += i == 0 ? "0.5" : ",0.5";
  const std::string both =
      concat("{direction = \"bidirectional\", clip = 0.75, activations = [", functions,
             "], activation_alpha = [", ones, "], activation_beta = [", ones, "]",
             cell_.variant().empty() ? "" : concat(", ", cell_.variant(), " = 1"), "}");
  return {{text("f32", 1, false, ""), ""},
          {text("f64", 1, true, "{direction = \"reverse\"}"), ""},
          {text("f32", 2, true, both), ""},
          {text("f32", 1, false, "{activations = [\"Tanh\",\"Tanh\",\"Tanh\",\"Tanh\"]}"),
           "activations has 4 entries, not"},
          {text("f32", 2, false, ""), "input 1 is"}};
}

}  // namespace

void register_recurrent_operators() {
  operators().add(std::make_unique<Recurrent>(lstm_cell()));
  operators().add(std::make_unique<Recurrent>(gru_cell()));
  operators().add(std::make_unique<Recurrent>(rnn_cell()));
}

}  // namespace tandem
