#include "tandem/graph/evaluate.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/interrupt.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/symbolic.h"

namespace tandem {

std::vector<Tensor> initial_states(const Module& module) {
  std::vector<Tensor> states;
  for (const State& state : module.states) states.push_back(module.constants[state.initial].tensor);
  return states;
}

namespace {

// Checks one actual input against its declared type and binds the symbols that stand alone.
void bind_input(const Value& value, const Tensor& tensor,
                std::map<std::string, std::int64_t>& symbols) {
  const auto mismatch = [&] {
    return Error("input '", value.name, "' is ", value.type.to_string(), ", not ",
                 tensor.format().name(), to_string(tensor.shape()));
  };
  if (tensor.format() != value.type.format || tensor.shape().size() != value.type.shape.size())
    throw mismatch();
  for (std::size_t i = 0; i < tensor.shape().size(); ++i) {
    Dim dim = value.type.shape[i].bind(symbols);
    if (dim.is_constant()) {
      if (dim.constant() != tensor.shape()[i]) throw mismatch();
    } else if (const auto names = dim.symbols(); dim == Dim::symbol(names.front())) {
      symbols[names.front()] = tensor.shape()[i];
    }
  }
}

}  // namespace

std::map<std::string, std::int64_t> symbols_of(const Graph& graph, std::span<const Tensor> inputs) {
  if (inputs.size() != graph.inputs.size()) {
    throw Error("function '", graph.name, "' takes ", graph.inputs.size(), " inputs, not ",
                inputs.size());
  }
  std::map<std::string, std::int64_t> symbols;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    bind_input(graph.values[graph.inputs[i]], inputs[i], symbols);
  return symbols;
}

std::vector<Tensor> evaluate_node(const Module& module, const Graph& graph, const Node& node,
                                  std::span<const Tensor> inputs) {
  try {
    auto outputs = node.op->evaluate({module, graph, node}, inputs);
    ensure(outputs.size() == node.outputs.size(),
           concat(node.op->name(), " returned a wrong number of outputs"));
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const TensorType& type = graph.values[node.outputs[i]].type;
      bool same =
          outputs[i].format() == type.format && outputs[i].shape().size() == type.shape.size();
      for (std::size_t d = 0; same && d < type.shape.size(); ++d)
        same = !type.shape[d].is_constant() || type.shape[d].constant() == outputs[i].shape()[d];
      ensure(same,
             concat(node.op->name(), " '", node.name, "' declared ", type.to_string(),
                    " but computed ", outputs[i].format().name(), to_string(outputs[i].shape())));
    }
    return outputs;
  } catch (const Error& error) {
    throw error.at(concat(node.op->name(), " '", node.name, "'"));
  }
}

namespace {

bool has_expressions(const Module& module) {
  if (module.symbols.empty()) return false;
  for (const Graph& graph : module.graphs)
    for (const Node& node : graph.nodes)
      if (!symbols_in(node.attributes).empty()) return true;
  return false;
}

// A node whose expressions name sizes that earlier nodes of the graph decided.
std::vector<Tensor> evaluate_bound(const Module& module, const Graph& graph, const Node& node,
                                   std::span<const Tensor> inputs,
                                   const std::map<std::string, std::int64_t>& symbols) {
  Node bound = node;
  bind_symbols(bound.attributes, symbols);
  return evaluate_node(module, graph, bound, inputs);
}

// Binds the symbols that stand alone in a type.
void bind_type(const TensorType& type, const Shape& shape,
               std::map<std::string, std::int64_t>& symbols) {
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (type.shape[d].is_constant()) continue;
    const std::string name = type.shape[d].symbols().front();
    if (type.shape[d] == Dim::symbol(name)) symbols.emplace(name, shape[d]);
  }
}

}  // namespace

std::vector<Tensor> evaluate(const Module& module, const Graph& graph,
                             std::span<const Tensor> inputs, std::vector<Tensor>* states,
                             const std::function<void(ValueId, const Tensor&)>& observe) {
  std::map<std::string, std::int64_t> symbols = symbols_of(graph, inputs);
  const bool is_bound = !has_expressions(module);
  if (!is_bound && !symbols.empty()) {
    const auto place = std::ranges::find(module.graphs, &graph, [](const Graph& g) { return &g; });
    ensure(place != module.graphs.end(), "a graph of another module was evaluated");
    const Module bound = specialize(module, symbols);
    const auto index = static_cast<std::size_t>(place - module.graphs.begin());
    return evaluate(bound, bound.graphs[index], inputs, states, observe);
  }
  std::vector<Tensor> fresh;
  if (states == nullptr) {
    fresh = initial_states(module);
    states = &fresh;
  }
  std::vector<Tensor> values(graph.values.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) values[graph.inputs[i]] = inputs[i];
  std::vector<std::size_t> uses(graph.values.size());
  for (const Node& node : graph.nodes)
    for (const ValueId v : node.inputs)
      if (v != kNone) ++uses[v];
  for (const ValueId v : graph.outputs) ++uses[v];
  for (const StateUpdate& update : graph.updates) ++uses[update.value];
  for (ValueId v = 0; v < values.size(); ++v) {
    if (graph.values[v].constant != kNone)
      values[v] = module.constants[graph.values[v].constant].tensor;
    if (graph.values[v].state != kNone) values[v] = (*states)[graph.values[v].state];
  }
  for (const Node& node : graph.nodes) {
    throw_if_interrupted();
    std::vector<Tensor> arguments;
    for (const ValueId v : node.inputs) {
      arguments.push_back(v == kNone ? Tensor() : values[v]);
      if (v != kNone && --uses[v] == 0) values[v] = Tensor();  // free what nobody needs any more
    }
    auto outputs = is_bound ? evaluate_node(module, graph, node, arguments)
                            : evaluate_bound(module, graph, node, arguments, symbols);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (!is_bound) bind_type(graph.values[node.outputs[i]].type, outputs[i].shape(), symbols);
      if (observe) observe(node.outputs[i], outputs[i]);
      if (uses[node.outputs[i]] > 0) values[node.outputs[i]] = std::move(outputs[i]);
    }
  }
  std::vector<Tensor> results;
  for (const ValueId v : graph.outputs) results.push_back(values[v]);
  std::vector<Tensor> written;
  for (const StateUpdate& update : graph.updates) written.push_back(values[update.value]);
  for (std::size_t i = 0; i < written.size(); ++i)
    (*states)[graph.updates[i].state] = std::move(written[i]);
  return results;
}

}  // namespace tandem
