#include "tandem/transform/lower.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/coded.h"
#include "tandem/transform/code_states.h"
#include "tandem/transform/common_subexpressions.h"
#include "tandem/transform/constant_fold.h"
#include "tandem/transform/pass_log.h"
#include "tandem/transform/sink_transposes.h"

namespace tandem {
namespace {

bool is_coded(const Format& format) { return format.is_uniform() && !format.is_boolean(); }

// The integers that stand for the codes of a uniform format.
Format integer_twin(const Format& format) {
  return format.is_integer() ? format : Format::integer(format.bits(), format.is_signed());
}

// The one way in which an input is quantized, if every reader quantizes it alike with constants.
std::optional<InputCoding> coding_of_quantize(const Module& module, const Graph& graph,
                                              ValueId input) {
  const Node* quantize = only_quantize(module, graph, input);
  if (quantize == nullptr) return std::nullopt;
  const NodeView view{module, graph, *quantize};
  const Format format = view.format("format");
  const Tensor scale = map(*view.constant(1), [](double v) { return v; });
  const Tensor* zero = view.constant(2);
  InputCoding coding;
  coding.format = integer_twin(format);
  coding.scale = map(scale, [&](double s) { return std::ldexp(s, format.exponent()); });
  if (zero != nullptr)
    coding.offset = combine(negated(*zero), scale, [](double z, double s) { return z * s; });
  return coding;
}

// The ends of "main" that stand for its states while it is lowered: an input behind its own inputs
// for each, and an output behind its own outputs for each that is not updated with a constant.
struct StateEnds {
  std::size_t inputs = 0, outputs = 0;  // how many are its own
  std::vector<StateUpdate> updates;     // of each state
};

// Takes what code_states() leaves: each state is read by one value, and updated.
StateEnds open_states(Module& network) {
  Graph& graph = network.main();
  StateEnds ends{graph.inputs.size(), graph.outputs.size(), {}};
  for (ValueId id = 0; id < graph.values.size(); ++id) {
    Value& value = graph.values[id];
    if (value.state == kNone) continue;
    ends.updates.push_back(*std::ranges::find(graph.updates, value.state, &StateUpdate::state));
    value.state = kNone;
    graph.inputs.push_back(id);
    const ValueId next = ends.updates.back().value;
    if (graph.values[next].constant == kNone) graph.outputs.push_back(next);
  }
  graph.updates.clear();
  return ends;
}

class Lowerer {
 public:
  Lowerer(const Module& network, const StateEnds& ends, const LowerRequest& request)
      : network_(network), source_(network.main()), ends_(ends), request_(request) {
    lowered_.symbols = network.symbols;
    lowered_.metadata = network.metadata;
    graph_ = Builder::add_graph(lowered_, "main");
  }

  Module run() {
    check_request();
    Builder builder(lowered_, graph_);
    std::vector<std::optional<CodedValue>> inputs;
    for (std::size_t i = 0; i < ends_.inputs; ++i)
      inputs.push_back(coded_input(builder, source_.inputs[i]));
    for (const StateUpdate& update : ends_.updates)
      inputs.push_back(coded_state(builder, network_.states[update.state]));
    const auto outputs = lowered_nodes(builder, inputs);
    if (!problems_.empty()) throw LoweringError(std::move(problems_));
    for (std::size_t i = 0; i < ends_.outputs; ++i)
      add_output(builder, source_.outputs[i], outputs[i]);
    add_updates(builder, std::span(outputs).subspan(ends_.outputs));
    run_pass("merge_common_subexpressions", lowered_, merge_common_subexpressions);
    run_pass("sink_transposes", lowered_, sink_transposes);
    run_pass("remove_unused", lowered_, remove_unused);
    verify(lowered_);
    return std::move(lowered_);
  }

 private:
  void check_request() const {
    for (const Value& value : source_.values) {
      if (std::ranges::count(value.type.shape, Dim(0)) != 0)
        throw Error("'", value.name, "' is ", value.type.to_string(),
                    ", a tensor without elements; leave it out of the network");
    }
    std::vector<std::string> names;
    for (std::size_t i = 0; i < ends_.inputs; ++i)
      names.push_back(source_.values[source_.inputs[i]].name);
    for (const auto& [name, coding] : request_.inputs) {
      if (std::find(names.begin(), names.end(), name) == names.end())
        throw Error("the network has no input '", name, "'", suggestion(name, names));
      const bool scales = all_of(coding.scale, [](double v) { return v > 0 && std::isfinite(v); });
      const bool finite = all_of(coding.offset, [](double v) { return std::isfinite(v); });
      if (!coding.format.is_integer() || !scales || !finite) {
        throw Error("the coding of input '", name,
                    "' needs an integer format and a positive scale");
      }
    }
  }

  void set_coding(ValueId value, const Tensor& scale, const Tensor& offset) {
    const std::string& name = lowered_.graphs[graph_].values[value].name;
    const ConstantId scale_id = lowered_.add_constant(scale, name + ".scale");
    const ConstantId offset_id = lowered_.add_constant(offset, name + ".offset");
    lowered_.graphs[graph_].codings[value] = {scale_id, offset_id};
  }

  // Inputs without coding are a problem like nodes without integer form: all are named at once.
  std::vector<CodedValue> lowered_nodes(Builder& builder,
                                        std::span<const std::optional<CodedValue>> inputs) {
    try {
      return lower_graph(network_, network_.functions.at("main"), builder, request_.options,
                         inputs);
    } catch (const LoweringError& error) {
      problems_.insert(problems_.end(), error.problems().begin(), error.problems().end());
      return {};
    }
  }

  CodedValue coded_input(Builder& builder, ValueId input) {
    const Value& value = source_.values[input];
    const Format format = value.type.format;
    const std::size_t rank = value.type.shape.size();
    if (is_coded(format)) {
      return input_as(
          builder, value,
          {integer_twin(format), Tensor::scalar(std::ldexp(1.0, format.exponent()), f64())}, rank);
    }
    const auto requested = request_.inputs.find(value.name);
    if (requested != request_.inputs.end())
      return input_as(builder, value, requested->second, rank);
    if (const auto coding = coding_of_quantize(network_, source_, input))
      return input_as(builder, value, *coding, rank);
    problems_.push_back(
        {value.name, "input",
         concat("it is real (", value.type.to_string(), ") and is not quantized where it is read"),
         concat("say how it arrives as codes (a data set with codes, or "
                "--input-coding ",
                value.name, "=uint8,SCALE,OFFSET), or run `tandem compress` first")});
    return input_as(builder, value, {Format::integer(8, false)}, rank);
  }

  CodedValue input_as(Builder& builder, const Value& value, const InputCoding& coding,
                      std::size_t rank) {
    const ValueId input = builder.input(value.name, {value.type.shape, coding.format});
    for (const Tensor* parameter : {&coding.scale, &coding.offset}) {
      if (!broadcasts_to({parameter->shape().begin(), parameter->shape().end()}, value.type.shape))
        throw Error("the coding of input '", value.name, "' has the shape ",
                    to_string(parameter->shape()), ", which does not broadcast to ",
                    value.type.to_string());
    }
    const Tensor scale = with_rank(coding.scale, rank), offset = with_rank(coding.offset, rank);
    set_coding(input, scale, offset);
    return affine(input, scale, offset);
  }

  CodedValue coded_state(Builder& builder, const State& state) {
    Tensor initial = network_.constants[state.initial].tensor;
    if (!is_coded(state.type.format)) {
      problems_.push_back(
          {state.name, "state",
           concat("it keeps reals (", state.type.to_string(), ") and nothing says as which codes"),
           "quantize it alike wherever it is read, or update it with codes made "
           "real (Dequantize) that hold its initial value"});
      initial = Tensor(Format::integer(8, true), initial.shape());
    }
    const Format twin = integer_twin(initial.format());
    lowered_.states.push_back({state.name, {state.type.shape, twin}, kNone, state.lifetime});
    lowered_.states.back().initial =
        lowered_.add_constant(Tensor::from_integers(twin, initial.shape(), initial.to_integers()),
                              state.name + ".initial");
    const ValueId read = builder.read_state(lowered_.states.size() - 1);
    const std::size_t rank = state.type.shape.size();
    const double unit =
        std::ldexp(1.0, state.type.format.is_uniform() ? state.type.format.exponent() : 0);
    return affine(read, with_rank(Tensor::scalar(unit, f64()), rank),
                  with_rank(Tensor::scalar(0, f64()), rank));
  }

  // What updates states, in their formats. Codes are integers already, so nothing is rounded.
  void add_updates(Builder& builder, std::span<const CodedValue> computed) {
    std::size_t next = 0;
    for (StateId state = 0; state < ends_.updates.size(); ++state) {
      const ValueId update = ends_.updates[state].value;
      const Format format = lowered_.states[state].type.format;
      ValueId integer = kNone;
      if (const Tensor* constant = constant_of(network_, source_, update))
        integer = builder.constant(
            Tensor::from_integers(format, constant->shape(), constant->to_integers()));
      else
        integer = in_format(builder, update, computed[next++], format);
      builder.graph().updates.push_back({state, integer});
    }
  }

  ValueId in_format(Builder& builder, ValueId update, const CodedValue& coded, Format format) {
    const Value& value = source_.values[update];
    ensure(!coded.table && !is_clamped(coded) && is_uniform(coded.scale) &&
               coded.scale.real(0) == std::ldexp(1.0, value.type.format.exponent()) &&
               all_of(coded.offset, [](double v) { return v == 0; }),
           concat("the codes '", value.name, "' were lowered to other integers"));
    if (builder.type(coded.integer).format == format) return coded.integer;
    const IntegerRange range = format.integer_range();
    return builder.add("Clamp", {coded.integer},
                       {{"format", format}, {"min", range.min}, {"max", range.max}}, value.name);
  }

  // The output as plain integers with a positive scale.
  void add_output(Builder& builder, ValueId output, const CodedValue& coded) {
    const Value& value = source_.values[output];
    Node place;
    place.name = value.name;
    if (value.producer != kNone) place = source_.nodes[value.producer];
    const NodeView view{network_, source_, place};
    LoweringSite site(view, builder, request_.options, {});
    CodedValue result = coded;
    if (coded.table) result = tabulated_output(site, coded);
    result = with_positive_scale(site, materialized(site, result));
    ValueId integer = result.integer;
    Graph& graph = builder.graph();
    const bool taken =
        std::find(graph.outputs.begin(), graph.outputs.end(), integer) != graph.outputs.end();
    if (graph.values[integer].producer == kNone || taken)
      integer = builder.add("Identity", {integer}, {}, value.name);
    builder.output(integer);
    rename(graph, integer, value.name);
    set_coding(integer, result.scale, result.offset);
  }

  CodedValue tabulated_output(LoweringSite& site, const CodedValue& coded) const {
    const auto reals = coded.table->to_reals();
    const auto [least, most] = std::minmax_element(reals.begin(), reals.end());
    const bool is_signed = *least < 0;
    const double reach = std::max(std::abs(*least), std::abs(*most));
    const Format format = Format::integer(request_.output_bits, is_signed);
    const double unit = reach > 0 ? reach / static_cast<double>(format.integer_range().max) : 1.0;
    QuantizeTarget target;
    target.format = format;
    target.scale = Tensor::scalar(unit, f64());
    target.zero = Tensor::scalar(0, f64());
    return multiplied(requantize(site, coded, target), Tensor::scalar(unit, f64()));
  }

  // An output keeps its name; an inner value that has it takes the output's instead.
  static void rename(Graph& graph, ValueId id, const std::string& wanted) {
    const auto other = std::ranges::find(graph.values, wanted, &Value::name);
    if (other == graph.values.end()) {
      graph.values[id].name = wanted;
      return;
    }
    const auto taken = static_cast<ValueId>(other - graph.values.begin());
    const auto holds = [&](const std::vector<ValueId>& list) {
      return std::ranges::find(list, taken) != list.end();
    };
    if (!holds(graph.inputs) && !holds(graph.outputs))
      std::swap(other->name, graph.values[id].name);
  }

  const Module& network_;
  const Graph& source_;
  const StateEnds& ends_;
  const LowerRequest& request_;
  std::vector<LoweringProblem> problems_;
  Module lowered_;
  GraphId graph_ = 0;
};

}  // namespace

Module lower(const Module& network, const LowerRequest& request) {
  Module coded = network;
  fold_scales(coded);
  code_states(coded);
  const StateEnds ends = open_states(coded);
  return Lowerer(coded, ends, request).run();
}

std::vector<std::string> uncoded_inputs(const Module& network) {
  const Graph& graph = network.main();
  std::vector<std::string> names;
  for (const ValueId input : graph.inputs) {
    const Value& value = graph.values[input];
    if (value.type.format.is_float() && !coding_of_quantize(network, graph, input))
      names.push_back(value.name);
  }
  return names;
}

bool is_quantized(const Module& network) {
  const Graph& graph = network.main();
  const auto is_computed = [&](ValueId value) {
    return value != kNone && constant_of(network, graph, value) == nullptr;
  };
  const auto readers = consumers(graph);
  const auto is_scale = [&](ValueId value) {
    return !readers[value].empty() && std::ranges::all_of(readers[value], [&](NodeId reader) {
      const Node& node = graph.nodes[reader];
      return node.op->traits().domain == Domain::kBorder && node.inputs[0] != value;
    });
  };
  // Constants may be stored as codes, and samples and scales coded as they come, in a network of
  // reals.
  const auto is_dynamic = [&](const Node& node) {
    return node.op->name() == "Dequantize" &&
           (!is_computed(node.inputs[0]) || is_computed(node.inputs[1]) ||
            is_scale(node.outputs[0]));
  };
  return std::ranges::any_of(graph.nodes, [&](const Node& node) {
    const Domain domain = node.op->traits().domain;
    if (domain != Domain::kBorder || is_dynamic(node)) return domain == Domain::kInteger;
    const auto& read = readers[node.outputs[0]];
    return read.empty() || !std::ranges::all_of(read, [&](NodeId reader) {
             return is_dynamic(graph.nodes[reader]);
           });
  });
}

bool is_lowered(const Module& module) {
  const Graph& graph = module.main();
  const auto coded = [&](ValueId id) {
    const Format format = graph.values[id].type.format;
    return format.is_uniform() && !format.is_boolean();
  };
  return std::all_of(graph.inputs.begin(), graph.inputs.end(), coded) &&
         std::all_of(graph.outputs.begin(), graph.outputs.end(), coded) &&
         std::all_of(graph.nodes.begin(), graph.nodes.end(), [](const Node& node) {
           const Domain domain = node.op->traits().domain;
           return domain == Domain::kInteger || domain == Domain::kMovement;
         });
}

}  // namespace tandem
