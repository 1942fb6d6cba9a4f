#include "tandem/transform/code_states.h"

#include <algorithm>
#include <utility>

#include "tandem/base/error.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/registry.h"

namespace tandem {
namespace {

bool has_constant_parameters(const NodeView& node) {
  return node.constant(1) != nullptr && (!node.has_input(2) || node.constant(2) != nullptr);
}

// What one operator makes of constants; the attributes of the node that it stands for.
Tensor computed(std::string_view op, const std::vector<Tensor>& inputs, const Attributes& given) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  std::vector<ValueId> values;
  for (const Tensor& input : inputs) values.push_back(builder.constant(input));
  builder.output(builder.add(op, values, given));
  return evaluate(module, module.main(), {}).front();
}

class StateCoder {
 public:
  explicit StateCoder(Module& module)
      : module_(module), id_(module.functions.at("main")), builder_(module, id_) {}

  void run() {
    for (StateId state = 0; state < module_.states.size(); ++state) {
      const ValueId read = only_read(state);
      const auto update = update_of(state);
      if (read == kNone) {
        if (update != graph().updates.end()) graph().updates.erase(update);
      } else if (update == graph().updates.end()) {
        graph().values[read].state = kNone;
        graph().values[read].constant = module_.states[state].initial;
      } else if (module_.states[state].type.format.is_float()) {
        if (!code_as_read(state, read)) code_as_written(state, read);
      }
    }
    remove_unused(module_);
  }

 private:
  Graph& graph() { return module_.graphs[id_]; }

  std::vector<StateUpdate>::iterator update_of(StateId state) {
    return std::ranges::find(graph().updates, state, &StateUpdate::state);
  }

  // Makes everything that reads a state read it through one value; kNone where nothing does.
  ValueId only_read(StateId state) {
    ValueId first = kNone;
    for (ValueId id = 0; id < graph().values.size(); ++id) {
      if (graph().values[id].state != state || !is_used(id)) continue;
      if (first == kNone)
        first = id;
      else
        replace(id, first);
    }
    return first;
  }

  bool is_used(ValueId value) {
    const auto reads = [&](const Node& node) { return std::ranges::count(node.inputs, value) > 0; };
    return std::ranges::any_of(graph().nodes, reads) ||
           std::ranges::count(graph().outputs, value) > 0 ||
           std::ranges::count(graph().updates, value, &StateUpdate::value) > 0;
  }

  void replace(ValueId value, ValueId other) {
    for (Node& node : graph().nodes) std::ranges::replace(node.inputs, value, other);
    std::ranges::replace(graph().outputs, value, other);
    for (StateUpdate& update : graph().updates)
      if (update.value == value) update.value = other;
  }

  void set_codes(StateId state, Tensor initial) {
    State& record = module_.states[state];
    record.type.format = initial.format();
    record.initial = module_.add_constant(std::move(initial), record.name + ".codes");
  }

  bool code_as_read(StateId state, ValueId read) {
    const Node* reader = only_quantize(module_, graph(), read);
    if (reader == nullptr) return false;
    const Node quantize = *reader;
    std::vector<Tensor> parameters{module_.constants[module_.states[state].initial].tensor};
    std::vector<ValueId> inputs{update_of(state)->value};
    for (std::size_t i = 1; i < quantize.inputs.size(); ++i) {
      parameters.push_back(*constant_of(module_, graph(), quantize.inputs[i]));
      inputs.push_back(quantize.inputs[i]);
    }
    set_codes(state, computed("Quantize", parameters, quantize.attributes));
    for (Node& node : graph().nodes) {
      if (std::ranges::count(node.inputs, read) == 0) continue;
      node.op = &operators().find("Identity");
      node.inputs = {read};
      node.attributes = {};
    }
    graph().values[read].type = module_.states[state].type;
    const ValueId codes =
        builder_.add("Quantize", inputs, quantize.attributes, module_.states[state].name + ".next");
    update_of(state)->value = codes;
    return true;
  }

  void code_as_written(StateId state, ValueId read) {
    const NodeId producer = graph().values[update_of(state)->value].producer;
    if (producer == kNone || graph().nodes[producer].op->name() != "Dequantize") return;
    const Node dequantize = graph().nodes[producer];
    const Format format = graph().values[dequantize.inputs[0]].type.format;
    if (!has_constant_parameters({module_, graph(), dequantize}) || !format.is_uniform()) return;
    std::vector<Tensor> parameters{module_.constants[module_.states[state].initial].tensor};
    for (std::size_t i = 1; i < dequantize.inputs.size(); ++i)
      parameters.push_back(*constant_of(module_, graph(), dequantize.inputs[i]));
    const Tensor initial = computed("Quantize", parameters, {{"format", format}});
    const Tensor reals = std::exchange(parameters[0], initial);
    if (computed("Dequantize", parameters, {}) != reals) return;
    set_codes(state, initial);
    update_of(state)->value = dequantize.inputs[0];
    dequantize_first(state, read, dequantize);
  }

  // Makes `read` the reals of the state's codes, before all other nodes.
  void dequantize_first(StateId state, ValueId read, Node dequantize) {
    Graph& main = graph();
    dequantize.name = module_.states[state].name + ".real";
    while (std::ranges::find(main.nodes, dequantize.name, &Node::name) != main.nodes.end())
      dequantize.name += "_";
    dequantize.inputs[0] = builder_.read_state(state);
    dequantize.outputs = {read};
    for (Value& value : main.values)
      if (value.producer != kNone) ++value.producer;
    main.values[read].state = kNone;
    main.values[read].producer = 0;
    main.nodes.insert(main.nodes.begin(), std::move(dequantize));
  }

  Module& module_;
  GraphId id_;
  Builder builder_;
};

}  // namespace

void code_states(Module& network) { StateCoder(network).run(); }

const Node* only_quantize(const Module& module, const Graph& graph, ValueId value) {
  const auto ends = [&](const std::vector<ValueId>& list) {
    return std::ranges::count(list, value) > 0;
  };
  if (ends(graph.outputs) || std::ranges::count(graph.updates, value, &StateUpdate::value) > 0)
    return nullptr;
  const Node* first = nullptr;
  for (const Node& node : graph.nodes) {
    if (!ends(node.inputs)) continue;
    const NodeView view{module, graph, node};
    if (node.op->name() != "Quantize" || !has_constant_parameters(view) ||
        !view.format("format").is_uniform()) {
      return nullptr;
    }
    if (first == nullptr) {
      first = &node;
      continue;
    }
    const NodeView other{module, graph, *first};
    const Tensor *zero = view.constant(2), *first_zero = other.constant(2);
    const bool same_zero =
        (zero == nullptr) == (first_zero == nullptr) && (zero == nullptr || *zero == *first_zero);
    if (!same_zero || *view.constant(1) != *other.constant(1) ||
        node.attributes != first->attributes) {
      return nullptr;
    }
  }
  return first;
}

}  // namespace tandem
