#include "tandem/plan/dataflow.h"

#include <algorithm>
#include <set>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/operator.h"
#include "tandem/plan/recipe.h"

namespace tandem {
namespace {

std::string why_not_integer(const Graph& graph, const Node& node) {
  for (const ValueId value : node.outputs) {
    const Format format = graph.values[value].type.format;
    if (!format.is_integer()) return concat("its result is ", format.name());
  }
  for (const ValueId value : node.inputs) {
    if (value == kNone) continue;
    const Format format = graph.values[value].type.format;
    if (!format.is_integer()) return concat("it reads ", format.name());
  }
  return "";
}

const char* const kLower =
    "lower the network to integers first (quantize it with `tandem compress` if it is real-valued)";

// What is wrong with one node; no issue where it can be taken.
void check_node(const Module& module, NodeId id, std::vector<Issue>& issues) {
  const Graph& graph = module.main();
  const Node& node = graph.nodes[id];
  const auto report = [&](const std::string& reason, const std::string& remedy) {
    issues.push_back({node.name, std::string(node.op->name()), reason, remedy});
  };
  const Domain domain = node.op->traits().domain;
  if (domain != Domain::kInteger && domain != Domain::kMovement) {
    report("it is no integer primitive and no movement of elements", kLower);
    return;
  }
  for (const ValueId value : node.outputs) {
    const TensorType& type = graph.values[value].type;
    if (!type.is_static()) {
      report(concat("its result ", type.to_string(), " has an open dimension"),
             "bind the symbol to a number");
      return;
    }
    if (element_count(type.static_shape()) == 0) {
      report("its result has no elements", "remove the node");
      return;
    }
  }
  if (domain == Domain::kInteger) return;
  if (node.op->traits().elementwise && node.inputs.size() > 1) {
    report("it chooses elements by their values, which no stage does",
           "express the choice with IntMul and IntAdd, or with a Table");
    return;
  }
  if (const std::string why = why_not_integer(graph, node);
      !why.empty() && node.op->name() != "Gather") {
    report(why + ", no integer format", kLower);
    return;
  }
  const auto map = movement_map({module, graph, node}, 0);
  if (!map) {
    report("which elements it moves depends on data", "make its positions a constant");
  } else if (node.op->name() != "Concat" &&
             !is_streamed(*map, graph.values[node.outputs[0]].type.static_shape())) {
    report("it mixes several inputs, or adds elements in another form than a border",
           "express it with Slice, Pad and Concat");
  }
}

void check_interface(const Module& module, std::vector<Issue>& issues) {
  const Graph& graph = module.main();
  for (const StateUpdate& update : graph.updates) {
    issues.push_back({module.states[update.state].name, "state",
                      "the stages keep no state between frames",
                      "unroll the sequence, or run this network on another target"});
  }
  for (const ValueId input : graph.inputs) {
    const Value& value = graph.values[input];
    if (!value.type.is_static()) {
      issues.push_back({value.name, "input",
                        concat(value.type.to_string(), " has an open dimension"),
                        "bind the symbol to a number"});
    } else if (!value.type.format.is_integer()) {
      issues.push_back({value.name, "input", concat("it is ", value.type.format.name()), kLower});
    }
  }
}

bool static_nodes(const Module& module) {
  const Graph& graph = module.main();
  return std::all_of(graph.values.begin(), graph.values.end(),
                     [](const Value& value) { return value.type.is_static(); });
}

}  // namespace

std::vector<Issue> check_dataflow(const Module& module) {
  std::vector<Issue> issues;
  check_interface(module, issues);
  const Graph& graph = module.main();
  for (NodeId id = 0; id < graph.nodes.size(); ++id) check_node(module, id, issues);
  if (!issues.empty() || !static_nodes(module)) return issues;
  const DataflowGraph dataflow(module, "main");
  for (const ValueId output : graph.outputs) {
    if (dataflow.constant(output) == nullptr) continue;
    issues.push_back({graph.values[output].name, "output", "it is the same for every input",
                      "remove it from the outputs"});
  }
  return issues;
}

std::vector<NodeId> dataflow_nodes(const Module& module) {
  return DataflowGraph(module, "main").nodes();
}

FoldingSpace folding_space(const Module& module, NodeId node) {
  return foldings_of(DataflowGraph(module, "main"), node);
}

namespace {

class Planner {
 public:
  Planner(const Module& module, const std::string& device, const DataflowChoices& choices)
      : graph_(module, "main"), choices_(choices) {
    plan_.device = device;
  }

  Plan plan() {
    const Graph& graph = graph_.graph();
    for (std::size_t port = 0; port < graph.inputs.size(); ++port)
      add_port("source", port, graph.inputs[port], choices_.input_lanes);
    for (const NodeId id : graph_.nodes()) add_node(id);
    for (std::size_t port = 0; port < graph.outputs.size(); ++port)
      add_port("sink", port, graph.outputs[port], choices_.output_lanes);
    return std::move(plan_);
  }

 private:
  // The step that computes a value last, and how wide its stream is.
  struct Made {
    std::size_t step;
    std::int64_t lanes;
  };

  void add_port(const std::string& form, std::size_t port, ValueId value,
                const std::map<std::size_t, std::int64_t>& chosen) {
    const auto found = chosen.find(port);
    const std::int64_t lanes = found == chosen.end() ? 1 : found->second;
    if (lanes < 1 || graph_.elements(value) % lanes != 0) {
      throw Error(form, " ", port, " cannot take ", lanes, " of ", graph_.elements(value),
                  " elements per beat; use a divisor");
    }
    Step step;
    step.unit = "fabric";
    step.form = form;
    step.tile = {{"port", static_cast<std::int64_t>(port)}, {"pe", lanes}};
    plan_.steps.push_back(std::move(step));
    if (form == "source") made_[value] = {plan_.steps.size() - 1, lanes};
  }

  Folding folding_of(NodeId id) const {
    const auto found = choices_.foldings.find(id);
    if (found == choices_.foldings.end()) return {};
    const Folding& folding = found->second;
    const FoldingSpace space = foldings_of(graph_, id);
    const auto check = [&](const char* what, std::int64_t value,
                           const std::vector<std::int64_t>& legal) {
      if (std::find(legal.begin(), legal.end(), value) != legal.end()) return;
      std::vector<std::string> names;
      for (const std::int64_t choice : legal) names.push_back(std::to_string(choice));
      throw Error("node '", graph_.node(id).name, "': ", what, " = ", value,
                  " is not possible; choose among ", join(names, ", "));
    };
    check("pe", folding.pe, space.pe);
    check("simd", folding.simd, space.simd);
    return folding;
  }

  // Appends to the step that makes the node's operand where that step's unit can carry the map.
  bool fuse(NodeId id, const Folding& folding) {
    if (!map_of(graph_, id, 1)) return false;
    for (const ValueId input : graph_.node(id).inputs) {
      const ValueId value = graph_.resolve(input);
      if (graph_.constant(value) != nullptr) continue;
      const auto found = made_.find(value);
      if (found == made_.end() || graph_.readers(value) != 1) return false;
      Step& step = plan_.steps[found->second.step];
      static const std::set<std::string> kNoMaps = {"source", "move", "concat", "divide",
                                                    "square_root"};
      if (kNoMaps.contains(step.form) || found->second.lanes != folding.pe) return false;
      if (folding.dsp) step.tile[concat("dsp", step.nodes.size())] = 1;
      step.nodes.push_back(id);
      made_[graph_.node(id).outputs[0]] = found->second;
      return true;
    }
    return false;
  }

  void add_node(NodeId id) {
    const Folding folding = folding_of(id);
    if (fuse(id, folding)) return;
    Step step;
    step.unit = "fabric";
    step.nodes = {id};
    step.tile = {{"pe", folding.pe}, {"simd", folding.simd}};
    if (folding.dsp) step.tile["dsp0"] = 1;
    if (folding.block_weights) step.tile["block_weights"] = 1;
    const auto recipes = recipes_of(graph_, id, folding);
    Stage stage;
    stage.body = recipes.front().body.value_or(MoveStage{});
    step.form = form_of(stage);
    plan_.steps.push_back(std::move(step));
    for (const Recipe& recipe : recipes)
      made_[graph_.node(id).outputs[recipe.output]] = {plan_.steps.size() - 1, recipe.lanes};
  }

  DataflowGraph graph_;
  const DataflowChoices& choices_;
  Plan plan_;
  std::map<ValueId, Made> made_;
};

}  // namespace

Plan plan_dataflow(const Module& module, const std::string& device,
                   const DataflowChoices& choices) {
  throw_issues(check_dataflow(module), "circuit");
  const auto nodes = dataflow_nodes(module);
  for (const auto& [id, folding] : choices.foldings) {
    if (std::find(nodes.begin(), nodes.end(), id) == nodes.end())
      throw Error("a folding is given for node number ", id, ", which becomes no stage");
  }
  Plan plan = Planner(module, device, choices).plan();
  set_capacities(plan, build_pipeline(module, plan));
  return plan;
}

DataflowChoices choices_of(const Plan& plan) {
  DataflowChoices choices;
  const auto value = [](const Step& step, const std::string& key, std::int64_t otherwise) {
    const auto found = step.tile.find(key);
    return found == step.tile.end() ? otherwise : found->second;
  };
  for (const Step& step : plan.steps) {
    const std::int64_t pe = value(step, "pe", 1);
    const auto port = static_cast<std::size_t>(value(step, "port", 0));
    if (step.form == "source") choices.input_lanes[port] = pe;
    if (step.form == "sink") choices.output_lanes[port] = pe;
    for (std::size_t i = 0; i < step.nodes.size(); ++i) {
      Folding folding;
      folding.pe = pe;
      folding.simd = i == 0 ? value(step, "simd", 1) : 1;
      folding.dsp = value(step, concat("dsp", i), 0) != 0;
      folding.block_weights = i == 0 && value(step, "block_weights", 0) != 0;
      choices.foldings[step.nodes[i]] = folding;
    }
  }
  return choices;
}

}  // namespace tandem
