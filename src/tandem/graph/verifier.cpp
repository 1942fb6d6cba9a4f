#include "tandem/graph/verifier.h"

#include <set>

#include "tandem/base/error.h"
#include "tandem/graph/bodies.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/symbolic.h"

namespace tandem {
namespace {

class Verifier {
 public:
  Verifier(const Module& module, const Graph& graph) : module_(module), graph_(graph) {}

  void run() {
    check_values();
    check_nodes();
    check_ends();
  }

 private:
  template <typename... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    throw Error("graph '", graph_.name, "': ", parts...);
  }

  void check_values() {
    std::set<std::string> names;
    const std::set<ValueId> inputs(graph_.inputs.begin(), graph_.inputs.end());
    if (inputs.size() != graph_.inputs.size()) fail("an input is listed twice");
    for (ValueId id = 0; id < graph_.values.size(); ++id) {
      const Value& value = graph_.values[id];
      if (!names.insert(value.name).second) fail("two values are named '", value.name, "'");
      const int origins = int{value.producer != kNone} + int{value.constant != kNone} +
                          int{value.state != kNone} + int{inputs.contains(id)};
      if (origins != 1) {
        fail("value '", value.name, "' has ", origins,
             " origins; exactly one of node, constant, state, input is right");
      }
      if (value.constant != kNone) check_constant(value);
      if (value.state != kNone) {
        if (value.state >= module_.states.size()) fail("'", value.name, "' reads no known state");
        if (value.type != module_.states[value.state].type)
          fail("'", value.name, "' differs in type from its state");
      }
    }
  }

  void check_constant(const Value& value) const {
    if (value.constant >= module_.constants.size()) fail("'", value.name, "' is no known constant");
    if (value.type != type_of(module_.constants[value.constant].tensor)) {
      fail("constant '", value.name, "' is ",
           type_of(module_.constants[value.constant].tensor).to_string(), ", declared ",
           value.type.to_string());
    }
  }

  void check_nodes() {
    std::set<std::string> names;
    std::vector<bool> ready(graph_.values.size());
    for (ValueId id = 0; id < graph_.values.size(); ++id)
      ready[id] = graph_.values[id].producer == kNone;
    for (NodeId id = 0; id < graph_.nodes.size(); ++id) {
      const Node& node = graph_.nodes[id];
      if (node.op == nullptr) fail("node '", node.name, "' has no operator");
      if (!names.insert(node.name).second) fail("two nodes are named '", node.name, "'");
      for (const ValueId input : node.inputs) {
        if (input == kNone) continue;
        if (input >= ready.size()) fail("node '", node.name, "' reads an unknown value");
        if (!ready[input]) {
          fail("node '", node.name, "' reads '", graph_.values[input].name,
               "' before it is computed; the graph has a cycle or its nodes are out of order");
        }
      }
      for (const GraphId body : node.bodies)
        if (body >= module_.graphs.size()) fail("node '", node.name, "' has an unknown body");
      check_types(node);
      for (const ValueId output : node.outputs) {
        if (output >= ready.size() || graph_.values[output].producer != id)
          fail("node '", node.name, "' does not own its outputs");
        ready[output] = true;
      }
    }
  }

  void check_types(const Node& node) const {
    const Attributes complete =
        complete_attributes(node.op->attributes(), node.attributes, node.op->name());
    if (complete != node.attributes) fail("node '", node.name, "' lacks attributes");
    const auto types = infer_checked(module_, graph_, node);
    if (types.size() != node.outputs.size())
      fail("node '", node.name, "' has ", node.outputs.size(), " outputs, not ", types.size());
    for (std::size_t i = 0; i < types.size(); ++i) {
      const Value& value = graph_.values.at(node.outputs[i]);
      if (value.type != types[i]) {
        fail("value '", value.name, "' is declared ", value.type.to_string(), " but ",
             node.op->name(), " '", node.name, "' makes ", types[i].to_string());
      }
    }
  }

  void check_ends() const {
    for (const ValueId output : graph_.outputs)
      if (output >= graph_.values.size()) fail("an output is no known value");
    for (const StateUpdate& update : graph_.updates) {
      if (update.state >= module_.states.size() || update.value >= graph_.values.size())
        fail("a state update refers to nothing known");
      if (graph_.values[update.value].type != module_.states[update.state].type)
        fail("state '", module_.states[update.state].name, "' is updated with another type");
    }
    for (const auto& [value, coding] : graph_.codings) {
      if (value >= graph_.values.size() || coding.scale >= module_.constants.size() ||
          coding.offset >= module_.constants.size()) {
        fail("a coding refers to nothing known");
      }
      if (!graph_.values[value].type.format.is_uniform())
        fail("'", graph_.values[value].name, "' has a coding but no integer format");
    }
  }

  const Module& module_;
  const Graph& graph_;
};

}  // namespace

void verify(const Module& module) {
  std::set<std::string> names;
  for (const Constant& constant : module.constants) {
    if (!names.insert(constant.name).second)
      throw Error("two constants are named '", constant.name, "'");
  }
  names.clear();
  for (const Symbol& symbol : module.symbols) {
    if (!names.insert(symbol.name).second) throw Error("two symbols are named ", symbol.name);
    if (symbol.min < 0 || symbol.min > symbol.max)
      throw Error("symbol ", symbol.name, " has empty bounds [", symbol.min, ",", symbol.max, "]");
  }
  for (const State& state : module.states) {
    if (state.initial >= module.constants.size() ||
        type_of(module.constants[state.initial].tensor) != state.type) {
      throw Error("state '", state.name, "' has no initial value of its type");
    }
  }
  for (const auto& [name, id] : module.functions)
    if (id >= module.graphs.size()) throw Error("function '", name, "' has no graph");
  bodies_first(module);  // throws on a body inside itself
  for (const Graph& graph : module.graphs) {
    for (const Value& value : graph.values) {
      for (const Dim& dim : value.type.shape) {
        for (const std::string& symbol : dim.symbols()) {
          if (!names.contains(symbol)) {
            throw Error("graph '", graph.name, "': value '", value.name,
                        "' uses the undeclared symbol ", symbol);
          }
        }
      }
    }
    for (const Node& node : graph.nodes) {
      if (node.op == nullptr) continue;  // found below
      for (const std::string& symbol : symbols_in(node.attributes)) {
        if (!names.contains(symbol)) {
          throw Error("graph '", graph.name, "': ", node.op->name(), " '", node.name,
                      "' uses the undeclared symbol ", symbol);
        }
      }
    }
    Verifier(module, graph).run();
  }
}

}  // namespace tandem
