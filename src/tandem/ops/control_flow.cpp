// Nodes with graphs inside: If, Loop, Scan. What a body reads of the graph around it stands among
// the node's inputs, behind the others, and among the body's.
#include <algorithm>
#include <limits>
#include <memory>

#include "tandem/base/interrupt.h"
#include "tandem/graph/bodies.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/body.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

using Types = std::vector<TensorType>;

constexpr std::int64_t kMostUnrolledSteps = 4096;

const Graph& body_graph(const NodeView& node, std::size_t index = 0) {
  return node.module.graphs[node.node.bodies[index]];
}

void require_bodies(const NodeView& node, std::size_t count) {
  if (node.node.bodies.size() != count)
    throw Error("it has ", node.node.bodies.size(), " bodies, not ", count);
  for (std::size_t i = 0; i < count; ++i) {
    const Graph& body = body_graph(node, i);
    const bool reads_state =
        std::ranges::any_of(body.values, [](const Value& value) { return value.state != kNone; });
    if (reads_state || !body.updates.empty())
      throw Error("its body '", body.name, "' has states; pass them in and out of it instead");
  }
}

void require_types(const NodeView& node, const Graph& body, const std::vector<ValueId>& ids,
                   const Types& wanted, std::string_view what) {
  if (ids.size() != wanted.size())
    throw Error("its body '", body.name, "' has ", ids.size(), " ", what, "s, not ", wanted.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Value& value = body.values[ids[i]];
    if (value.type != wanted[i]) {
      throw Error(what, " '", value.name, "' of its body '", body.name, "' is ",
                  value.type.to_string(), ", not ", wanted[i].to_string(), " as ", node.node.name,
                  " needs");
    }
  }
}

Types types_of(const Graph& graph, std::span<const ValueId> ids) {
  Types types;
  for (const ValueId id : ids) types.push_back(graph.values[id].type);
  return types;
}

// The types of a node's inputs from `first` on, all of which must be present.
Types input_types(const NodeView& node, std::size_t first, std::size_t end = kNone) {
  Types types;
  for (std::size_t i = first; i < std::min(end, node.input_count()); ++i) {
    if (!node.has_input(i)) throw Error("input ", i, " is absent");
    types.push_back(node.input(i));
  }
  return types;
}

TensorType index_type() { return {{}, index_format()}; }
TensorType truth_type() { return {{}, boolean_format()}; }

void require_scalar(const NodeView& node, std::size_t input, const TensorType& wanted,
                    std::string_view what) {
  if (node.has_input(input) && node.input(input) != wanted)
    throw Error(what, " is ", node.input(input).to_string(), ", not ", wanted.to_string());
}

TensorType stacked_type(const Dim& steps, TensorType type) {
  type.shape.insert(type.shape.begin(), steps);
  return type;
}

std::int64_t operation_count(const std::vector<OperationCount>& operations) {
  std::int64_t sum = 0;
  for (const OperationCount& operation : operations) sum += operation.count;
  return sum;
}

// What `steps` runs of a body do.
std::vector<OperationCount> body_operations(const NodeView& node, const Graph& body,
                                            std::int64_t steps = 1) {
  std::vector<OperationCount> operations;
  for (const Node& inner : body.nodes) {
    for (OperationCount count : inner.op->work({node.module, body, inner}).operations) {
      if (__builtin_mul_overflow(count.count, steps, &count.count))
        throw Error("its steps make more operations than 64 bits count");
      operations.push_back(count);
    }
  }
  return operations;
}

// Tensors of one type along a new first axis; of `type` where there are none.
Tensor stacked(const std::vector<Tensor>& parts, const TensorType& type) {
  Shape shape = parts.empty() ? type.static_shape() : parts.front().shape();
  shape.insert(shape.begin(), static_cast<std::int64_t>(parts.size()));
  Tensor result(type.format, shape);
  auto to = result.mutable_bytes().begin();
  for (const Tensor& part : parts) {
    if (part.shape() != parts.front().shape())
      throw Error("its steps make results of different shapes, ", to_string(part.shape()), " and ",
                  to_string(parts.front().shape()));
    to = std::copy(part.bytes().begin(), part.bytes().end(), to);
  }
  return result;
}

ValueId stacked(Body& body, const std::vector<ValueId>& parts, const TensorType& type) {
  if (parts.empty()) return body.builder().constant(stacked(std::vector<Tensor>{}, type), "none");
  std::vector<ValueId> rows;
  for (const ValueId part : parts)
    rows.push_back(body.reshape(part, stacked_type(1, body.type(part)).shape));
  return body.concat(rows, 0);
}

void require_unrollable(std::int64_t steps) {
  if (steps > kMostUnrolledSteps)
    throw Error("its ", steps, " steps are more than the ", kMostUnrolledSteps,
                " that are unrolled; run it as it is, or split it");
}

// ---- If
// ------------------------------------------------------------------------------------------

class If final : public Operator {
 public:
  std::string_view name() const override { return "If"; }
  std::string_view description() const override {
    return "The results of its first body over the inputs behind the condition (bool) where that "
           "holds, else those of its second; both have results of the same types.";
  }
  Traits traits() const override { return {.domain = Domain::kIndex}; }
  std::size_t max_inputs() const override { return kNone; }

  Types infer(const NodeView& node) const override {
    require_scalar(node, 0, truth_type(), "the condition");
    require_bodies(node, 2);
    const Graph &first = body_graph(node, 0), &second = body_graph(node, 1);
    Types results = types_of(first, first.outputs);
    require_types(node, first, first.inputs, input_types(node, 1), "input");
    require_types(node, second, second.inputs, input_types(node, 1), "input");
    require_types(node, second, second.outputs, results, "output");
    return results;
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const Graph& body = body_graph(node, inputs[0].integer(0) != 0 ? 0 : 1);
    return tandem::evaluate(node.module, body, inputs.subspan(1));
  }

  // Of the longer body.
  Work work(const NodeView& node) const override {
    auto first = body_operations(node, body_graph(node, 0));
    auto second = body_operations(node, body_graph(node, 1));
    const bool is_second = operation_count(second) > operation_count(first);
    return work_of(node, is_second ? std::move(second) : std::move(first));
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view second) {
      return sample_text(concat("symbol N in [1,4]\nconstant @one : f32[] = [1]\n"
                                "body @more(%x : f32[N,3]) -> (%y) {\n  %one = constant @one\n"
                                "  %y : f32[N,3] = Add(%x, %one)\n}\n",
                                second),
                         "%c : bool[], %x : f32[N,3]",
                         "%y : f32[N,3] = If(%c, %x) body @more body @less");
    };
    return {{text("body @less(%x : f32[N,3]) -> (%y) {\n  %y : f32[N,3] = Neg(%x)\n}"), ""},
            {text("body @less(%x : f32[N,3]) -> (%y) {\n  %y : bool[N,3] = Equal(%x, %x)\n}"),
             "output 'y' of its body 'less' is bool[N,3], not f32[N,3]"},
            {text("body @less(%x : f32[N]) -> (%y) {\n  %y : f32[N] = Neg(%x)\n}"),
             "input 'x' of its body 'less' is f32[N], not f32[N,3]"}};
  }
};

// ---- Loop
// ----------------------------------------------------------------------------------------

enum LoopInput : std::uint8_t { kTrips, kCondition, kCarried };

class Loop final : public Operator {
 public:
  std::string_view name() const override { return "Loop"; }
  std::string_view description() const override {
    return "Runs its body at most `trips` times while the condition holds (either may be absent). "
           "The body takes the step (int64), the condition, the carried values and the other "
           "inputs, and gives the next condition, the next carried values, and results that are "
           "stacked along a new first axis where the number of steps is constant.";
  }
  Traits traits() const override { return {.domain = Domain::kIndex}; }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("carried", "number of values that a step hands to the next")};
  }
  std::size_t min_inputs() const override { return 0; }
  std::size_t max_inputs() const override { return kNone; }

  Types infer(const NodeView& node) const override {
    require_scalar(node, kTrips, index_type(), "the number of trips");
    require_scalar(node, kCondition, truth_type(), "the condition");
    require_bodies(node, 1);
    const std::int64_t count = node.integer("carried");
    const Types rest = input_types(node, kCarried);
    if (count < 0 || static_cast<std::size_t>(count) > rest.size())
      throw Error("it carries ", count, " of ", rest.size(), " inputs");
    const Graph& body = body_graph(node);
    Types taken = {index_type(), truth_type()};
    taken.insert(taken.end(), rest.begin(), rest.end());
    require_types(node, body, body.inputs, taken, "input");
    Types results(rest.begin(), rest.begin() + count);
    const std::size_t kept = 1 + results.size();
    if (body.outputs.size() < kept)
      throw Error("its body has ", body.outputs.size(), " outputs, not at least ", kept);
    Types next = results;
    next.insert(next.begin(), truth_type());
    require_types(node, body, {body.outputs.begin(), first_stacked(body, kept)}, next, "output");
    if (body.outputs.size() == kept) return results;
    const auto steps = known_steps(node);
    if (!steps) {
      throw Error(
          "data decide how often it runs, and so how long its stacked outputs are; give it "
          "a constant number of trips");
    }
    for (std::size_t i = kept; i < body.outputs.size(); ++i)
      results.push_back(stacked_type(*steps, body.values[body.outputs[i]].type));
    return results;
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const Graph& body = body_graph(node);
    const auto count = static_cast<std::size_t>(node.integer("carried"));
    const std::int64_t trips = node.has_input(kTrips) ? inputs[kTrips].integer(0)
                                                      : std::numeric_limits<std::int64_t>::max();
    std::vector<Tensor> operands = {step_tensor(0), truth_tensor(true)};
    if (node.has_input(kCondition)) operands[1] = inputs[kCondition];
    if (inputs.size() > kCarried)
      operands.insert(operands.end(), inputs.begin() + kCarried, inputs.end());
    std::vector<std::vector<Tensor>> rows(body.outputs.size() - 1 - count);
    for (std::int64_t step = 0; step < trips && operands[1].integer(0) != 0; ++step) {
      throw_if_interrupted();
      operands[0] = step_tensor(step);
      std::vector<Tensor> results = tandem::evaluate(node.module, body, operands);
      for (std::size_t i = 0; i <= count; ++i) operands[1 + i] = std::move(results[i]);
      for (std::size_t i = 0; i < rows.size(); ++i)
        rows[i].push_back(std::move(results[1 + count + i]));
    }
    const auto first = operands.begin() + kCarried;
    std::vector<Tensor> outputs(first, first + static_cast<std::ptrdiff_t>(count));
    for (std::size_t i = 0; i < rows.size(); ++i)
      outputs.push_back(stacked(rows[i], body.values[body.outputs[1 + count + i]].type));
    return outputs;
  }

  std::vector<Form> forms(const NodeView& node) const override {
    if (!known_steps(node)) return {};
    return {{"unrolled"}};
  }

  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override {
    const Graph& graph = body_graph(node);
    const std::int64_t steps = known_steps(node).value();
    require_unrollable(steps);
    Body body(builder);
    const auto count = static_cast<std::size_t>(node.integer("carried"));
    std::vector<ValueId> operands = {kNone, builder.constant(truth_tensor(true), "true")};
    if (inputs.size() > kCarried)
      operands.insert(operands.end(), inputs.begin() + kCarried, inputs.end());
    std::vector<std::vector<ValueId>> rows(graph.outputs.size() - 1 - count);
    for (std::int64_t step = 0; step < steps; ++step) {
      operands[0] = builder.constant(step_tensor(step), "step");
      const auto results = inline_graph(builder, node.module, graph, operands);
      for (std::size_t i = 0; i < count; ++i) operands[kCarried + i] = results[1 + i];
      for (std::size_t i = 0; i < rows.size(); ++i) rows[i].push_back(results[1 + count + i]);
    }
    std::vector<ValueId> outputs;
    for (std::size_t i = 0; i < count; ++i)
      outputs.push_back(body.call("Identity", operands[kCarried + i]));
    for (std::size_t i = 0; i < rows.size(); ++i)
      outputs.push_back(stacked(body, rows[i], graph.values[graph.outputs[1 + count + i]].type));
    return outputs;
  }

  // Of as many steps as it may take; of one where data alone decide.
  Work work(const NodeView& node) const override {
    const Tensor* trips = node.constant(kTrips);
    const std::int64_t most = trips == nullptr ? 1 : std::max<std::int64_t>(trips->integer(0), 0);
    return work_of(node, body_operations(node, body_graph(node), known_steps(node).value_or(most)));
  }

  std::vector<SampleCase> samples() const override;

 private:
  static std::vector<ValueId>::const_iterator first_stacked(const Graph& body, std::size_t kept) {
    return body.outputs.begin() + static_cast<std::ptrdiff_t>(kept);
  }

  static Tensor step_tensor(std::int64_t step) {
    return Tensor::from_integers(index_format(), {}, std::vector<std::int64_t>{step});
  }
  static Tensor truth_tensor(bool truth) {
    return Tensor::from_integers(boolean_format(), {}, std::vector<std::int64_t>{truth ? 1 : 0});
  }

  // Whether the body hands on the condition, or makes it true.
  static bool goes_on(const Module& module, const Graph& body) {
    ValueId value = body.outputs.front();
    while (body.values[value].producer != kNone) {
      const Node& node = body.nodes[body.values[value].producer];
      if (node.op->name() != "Identity") return false;
      value = node.inputs.front();
    }
    const Tensor* constant = constant_of(module, body, value);
    return constant != nullptr ? constant->integer(0) != 0 : value == body.inputs[1];
  }

  // The number of steps where it is constant.
  static std::optional<std::int64_t> known_steps(const NodeView& node) {
    const Tensor* condition = node.constant(kCondition);
    if (condition != nullptr && condition->integer(0) == 0) return 0;
    const Tensor* trips = node.constant(kTrips);
    const bool is_true = condition != nullptr || !node.has_input(kCondition);
    if (trips == nullptr || !is_true || !goes_on(node.module, body_graph(node)))
      return std::nullopt;
    return std::max<std::int64_t>(trips->integer(0), 0);
  }
};

std::vector<SampleCase> Loop::samples() const {
  const std::string constants =
      "symbol N in [1,4]\nconstant @three : int64[] = [3]\nconstant @half : f32[] = [0.5]\n";
  const std::string counted =
      "body @step(%i : int64[], %c : bool[], %x : f32[N,2], %w : f32[2]) -> (%d, %y, %z) {\n"
      "  %d : bool[] = Identity(%c)\n  %y : f32[N,2] = Add(%x, %w)\n"
      "  %z : f32[N,2] = Mul(%x, %y)\n}";
  const std::string shrinking =
      "body @step(%i : int64[], %c : bool[], %x : f32[]) -> (%d, %y) {\n"
      "  %half = constant @half\n  %y : f32[] = Mul(%x, %half)\n"
      "  %d : bool[] = Greater(%y, %half)\n}";
  const auto text = [&](std::string_view body, std::string_view inputs, std::string_view node,
                        std::string_view outputs) {
    return sample_text(constants + std::string(body), inputs,
                       concat("%three = constant @three\n  ", node, " body @step"), outputs);
  };
  return {{text(counted, "%x : f32[N,2], %w : f32[2]",
                "%y : f32[N,2], %z : f32[3,N,2] = Loop(%three, _, %x, %w) {carried = 1}", "%y, %z"),
           ""},
          {text(shrinking, "%c : bool[], %x : f32[]",
                "%y : f32[] = Loop(%three, %c, %x) {carried = 1}", "%y"),
           ""},
          {text(counted, "%n : int64[], %x : f32[N,2], %w : f32[2]",
                "%y : f32[N,2], %z : f32[3,N,2] = Loop(%n, _, %x, %w) {carried = 1}", "%y, %z"),
           "data decide how often it runs"},
          {text(counted, "%x : f32[N,2], %w : f32[2]",
                "%y : f32[N,2] = Loop(%three, _, %x, %w) {carried = 2}", "%y"),
           "output 'z' of its body 'step' is f32[N,2], not f32[2]"}};
}

// ---- Scan
// ----------------------------------------------------------------------------------------

class Scan final : public Operator {
 public:
  std::string_view name() const override { return "Scan"; }
  std::string_view description() const override {
    return "Runs its body for each row of the scanned inputs [T,...], which stand behind the "
           "states. The body takes the states, a row of each, and the other inputs, and gives the "
           "next states and rows of results [T,...].";
  }
  Traits traits() const override { return {.domain = Domain::kIndex}; }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("states", "number of values that a step hands to the next"),
            integer_attribute("scanned", "number of inputs that are taken row by row"),
            integers_attribute("input_reversed", "1 for scanned inputs taken from the last row on"),
            integers_attribute("output_reversed", "1 for results whose last row comes first")};
  }
  std::size_t max_inputs() const override { return kNone; }

  Types infer(const NodeView& node) const override {
    require_bodies(node, 1);
    const Graph& body = body_graph(node);
    const auto [states, scanned] = counts(node);
    Types taken = input_types(node, 0);
    const Dim steps = taken[states].shape.empty() ? Dim(0) : taken[states].shape.front();
    for (std::size_t i = states; i < states + scanned; ++i) {
      if (taken[i].shape.empty() || taken[i].shape.front() != steps)
        throw Error("scanned input ", i, " is ", taken[i].to_string(), ", not [", steps.to_string(),
                    ",...]");
      taken[i].shape.erase(taken[i].shape.begin());
    }
    require_types(node, body, body.inputs, taken, "input");
    if (body.outputs.size() < states)
      throw Error("its body has ", body.outputs.size(), " outputs, not at least ", states);
    Types results(taken.begin(), taken.begin() + static_cast<std::ptrdiff_t>(states));
    const auto middle = body.outputs.begin() + static_cast<std::ptrdiff_t>(states);
    require_types(node, body, {body.outputs.begin(), middle}, results, "output");
    for (std::size_t i = states; i < body.outputs.size(); ++i)
      results.push_back(stacked_type(steps, body.values[body.outputs[i]].type));
    check_flags(node, "input_reversed", scanned);
    check_flags(node, "output_reversed", body.outputs.size() - states);
    return results;
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const Graph& body = body_graph(node);
    const auto [states, scanned] = counts(node);
    const std::int64_t steps = inputs[states].shape()[0];
    std::vector<Tensor> operands(inputs.begin(), inputs.end());
    std::vector<std::vector<Tensor>> rows(body.outputs.size() - states);
    for (std::int64_t step = 0; step < steps; ++step) {
      throw_if_interrupted();
      for (std::size_t i = 0; i < scanned; ++i) {
        const std::int64_t at = reversed(node, "input_reversed", i) ? steps - 1 - step : step;
        const Tensor& from = inputs[states + i];
        operands[states + i] =
            from.rows(at, at + 1).reshaped(Shape(from.shape().begin() + 1, from.shape().end()));
      }
      std::vector<Tensor> results = tandem::evaluate(node.module, body, operands);
      for (std::size_t i = 0; i < states; ++i) operands[i] = std::move(results[i]);
      for (std::size_t i = 0; i < rows.size(); ++i)
        rows[i].push_back(std::move(results[states + i]));
    }
    std::vector<Tensor> outputs(operands.begin(),
                                operands.begin() + static_cast<std::ptrdiff_t>(states));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (reversed(node, "output_reversed", i)) std::ranges::reverse(rows[i]);
      outputs.push_back(stacked(rows[i], body.values[body.outputs[states + i]].type));
    }
    return outputs;
  }

  std::vector<Form> forms(const NodeView& node) const override {
    if (!steps_of(node).is_constant()) return {};
    return {{"unrolled"}};
  }

  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override {
    const Graph& graph = body_graph(node);
    const auto [states, scanned] = counts(node);
    const std::int64_t steps = builder.type(inputs[states]).shape[0].constant();
    require_unrollable(steps);
    Body body(builder);
    std::vector<ValueId> operands(inputs.begin(), inputs.end());
    std::vector<std::vector<ValueId>> rows(graph.outputs.size() - states);
    for (std::int64_t step = 0; step < steps; ++step) {
      for (std::size_t i = 0; i < scanned; ++i) {
        const std::int64_t at = reversed(node, "input_reversed", i) ? steps - 1 - step : step;
        const auto shape = body.type(inputs[states + i]).shape;
        operands[states + i] = body.reshape(body.slice(inputs[states + i], 0, at, at + 1),
                                            {shape.begin() + 1, shape.end()});
      }
      const auto results = inline_graph(builder, node.module, graph, operands);
      for (std::size_t i = 0; i < states; ++i) operands[i] = results[i];
      for (std::size_t i = 0; i < rows.size(); ++i) rows[i].push_back(results[states + i]);
    }
    std::vector<ValueId> outputs;
    for (std::size_t i = 0; i < states; ++i) outputs.push_back(body.call("Identity", operands[i]));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (reversed(node, "output_reversed", i)) std::ranges::reverse(rows[i]);
      outputs.push_back(stacked(body, rows[i], graph.values[graph.outputs[states + i]].type));
    }
    return outputs;
  }

  Work work(const NodeView& node) const override {
    return work_of(node, body_operations(node, body_graph(node), steps_of(node).constant()));
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view inputs, std::string_view node) {
      return sample_text(
          "symbol N in [1,4]\n"
          "body @step(%s : f32[2], %x : f32[2], %w : f32[2]) -> (%t, %y) {\n"
          "  %t : f32[2] = Add(%s, %x)\n  %y : f32[2] = Mul(%t, %w)\n}",
          inputs, concat(node, " body @step"), "%t, %y");
    };
    return {{text("%s : f32[2], %x : f32[N,2], %w : f32[2]",
                  "%t : f32[2], %y : f32[N,2] = Scan(%s, %x, %w) {states = 1, scanned = 1}"),
             ""},
            {text("%s : f32[2], %x : f32[4,2], %w : f32[4,2]",
                  "%t : f32[2], %y : f32[4,2] = Scan(%s, %x, %w) {states = 1, scanned = 2, "
                  "input_reversed = [1,0], output_reversed = [1]}"),
             ""},
            {text("%s : f32[2], %x : f32[N,2], %w : f32[4,2]",
                  "%t : f32[2], %y : f32[N,2] = Scan(%s, %x, %w) {states = 1, scanned = 2}"),
             "scanned input 2 is f32[4,2], not [N,...]"},
            {text("%s : f32[2], %x : f32[N,2], %w : f32[2]",
                  "%t : f32[2], %y : f32[N,2] = Scan(%s, %x, %w) {states = 1, scanned = 0}"),
             "it scans 0 of its inputs"}};
  }

 private:
  struct Counts {
    std::size_t states, scanned;
  };

  static Counts counts(const NodeView& node) {
    const std::int64_t states = node.integer("states"), scanned = node.integer("scanned");
    const auto inputs = static_cast<std::int64_t>(node.input_count());
    if (states < 0 || states > inputs) throw Error("it has ", states, " states of its inputs");
    if (scanned < 1 || scanned > inputs - states)
      throw Error("it scans ", scanned, " of its inputs; it must scan one at least");
    return {static_cast<std::size_t>(states), static_cast<std::size_t>(scanned)};
  }

  static Dim steps_of(const NodeView& node) {
    return node.input(counts(node).states).shape.front();
  }

  static void check_flags(const NodeView& node, std::string_view name, std::size_t count) {
    const std::vector<std::int64_t>& flags = node.integers(name);
    if (!flags.empty() && flags.size() != count)
      throw Error(name, " has ", flags.size(), " entries, not ", count);
    for (const std::int64_t flag : flags)
      if (flag != 0 && flag != 1) throw Error(name, " contains ", flag, "; its entries are 0 or 1");
  }

  static bool reversed(const NodeView& node, std::string_view name, std::size_t index) {
    const std::vector<std::int64_t>& flags = node.integers(name);
    return !flags.empty() && flags[index] != 0;
  }
};

}  // namespace

void register_control_flow_operators() {
  operators().add(std::make_unique<If>());
  operators().add(std::make_unique<Loop>());
  operators().add(std::make_unique<Scan>());
}

}  // namespace tandem
