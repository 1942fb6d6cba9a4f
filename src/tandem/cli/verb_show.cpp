#include <algorithm>
#include <filesystem>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/text.h"
#include "tandem/cli/plan_options.h"
#include "tandem/cli/table.h"
#include "tandem/cli/verbs.h"
#include "tandem/files/onnx_writer.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/plan/plan.h"

namespace tandem {
namespace {

// Work needs numbers: symbols that are not bound stand at their least value.
Module with_least_symbols(const Module& module) {
  std::map<std::string, std::int64_t> values;
  for (const Symbol& symbol : module.symbols) values[symbol.name] = symbol.min;
  return values.empty() ? module : specialize(module, values);
}

std::string symbols_text(const Module& module) {
  std::vector<std::string> texts;
  for (const Symbol& symbol : module.symbols)
    texts.push_back(concat(symbol.name, " = ", symbol.min));
  return join(texts, ", ");
}

Json json_of(const Work& work) {
  std::map<std::string, std::int64_t> counts;
  for (const OperationCount& operation : work.operations)
    counts[std::string(name(operation.kind))] += operation.count;
  return {{"operations", counts},
          {"input_bits", work.input_bits},
          {"constant_bits", work.constant_bits},
          {"output_bits", work.output_bits}};
}

std::int64_t operations_of(const Work& work) {
  std::int64_t total = 0;
  for (const OperationCount& operation : work.operations) total += operation.count;
  return total;
}

std::string input_text(const Module& module, const Graph& graph, const Node& node) {
  std::vector<std::string> texts;
  for (const ValueId input : node.inputs) {
    if (input == kNone || constant_of(module, graph, input) != nullptr) continue;
    texts.push_back(graph.values[input].type.to_string());
  }
  return join(texts, " ");
}

Json json_of_ends(const Module& module, const Graph& graph, const std::vector<ValueId>& ends) {
  Json list = Json::array();
  for (const ValueId id : ends) {
    const Value& value = graph.values[id];
    Json entry{{"name", value.name}, {"type", value.type.to_string()}};
    if (const auto coding = graph.codings.find(id); coding != graph.codings.end()) {
      entry["scale"] = module.constants[coding->second.scale].tensor.to_reals();
      entry["offset"] = module.constants[coding->second.offset].tensor.to_reals();
    }
    list.push_back(entry);
  }
  return list;
}

Json json_of_nodes(const Module& module, const Graph& graph) {
  Json list = Json::array();
  for (const Node& node : graph.nodes) {
    Json entry{{"name", node.name}, {"op", node.op->name()}, {"scope", node.scope}};
    Json inputs = Json::array(), outputs = Json::array(), attributes = Json::object();
    for (const ValueId id : node.inputs)
      inputs.push_back(id == kNone ? Json() : Json(graph.values[id].name));
    for (const ValueId id : node.outputs) {
      outputs.push_back(
          {{"name", graph.values[id].name}, {"type", graph.values[id].type.to_string()}});
    }
    for (const auto& [key, attribute] : node.attributes) attributes[key] = to_string(attribute);
    entry["inputs"] = inputs;
    entry["outputs"] = outputs;
    entry["attributes"] = attributes;
    entry["work"] = json_of(node.op->work({module, graph, node}));
    list.push_back(entry);
  }
  return list;
}

class ShowVerb final : public Verb {
 public:
  std::string name() const override { return "show"; }
  std::string summary() const override {
    return "Show a network: its text, and its nodes with shapes, formats and work";
  }
  std::string examples() const override {
    return "  tandem show examples/digits/digits.onnx\n"
           "  tandem show pretrained.tflite -o pretrained.onnx\n"
           "  tandem show lowered.tandem --plan --device stm32f746 --json";
  }
  void add_options(OptionTable& options) override {
    flags_.add_to(options, false);
    options.flag("--plan", plan_, "Show how the network, as integers, runs on the device");
    options.text("-o,--output", "FILE", output_,
                 "Write the network to this file too: .onnx or .tandem");
  }

  VerbResult run(const CommonOptions&) override {
    if (!plan_ && !flags_.device.empty())
      throw Error("--device says for what --plan is made; give both or neither");
    const Module module = flags_.model.load();
    write(module);
    const Module bound = with_least_symbols(module);
    VerbResult result;
    result.json = {{"schema", "tandem-show/1"}, {"model", flags_.model.path}};
    result.json["metadata"] = module.metadata;
    Json symbols = Json::array();
    for (const Symbol& symbol : module.symbols)
      symbols.push_back({{"name", symbol.name}, {"min", symbol.min}, {"max", symbol.max}});
    result.json["symbols"] = symbols;
    result.text = print_module(module, true);
    Json functions = Json::array();
    for (const auto& [function, id] : bound.functions) {
      const Graph& graph = bound.graphs[id];
      functions.push_back({{"name", function},
                           {"inputs", json_of_ends(bound, graph, graph.inputs)},
                           {"outputs", json_of_ends(bound, graph, graph.outputs)},
                           {"nodes", json_of_nodes(bound, graph)}});
      result.text += "\n" + node_table(bound, function, graph);
    }
    if (!module.symbols.empty()) result.text += "counted for " + symbols_text(module) + "\n";
    result.json["functions"] = functions;
    result.json["text"] = print_module(module, true);
    if (plan_) add_plan(result);
    return result;
  }

 private:
  static std::string node_table(const Module& module, const std::string& function,
                                const Graph& graph) {
    TextTable table({"node of " + function, "operator", "from", "to", "multiply-adds", "operations",
                     "constant bytes"});
    std::int64_t macs = 0, operations = 0, bits = 0;
    for (const Node& node : graph.nodes) {
      const Work work = node.op->work({module, graph, node});
      std::vector<std::string> types;
      for (const ValueId output : node.outputs)
        types.push_back(graph.values[output].type.to_string());
      const std::int64_t node_macs = work.total(OperationKind::kMultiplyAccumulate);
      table.add({node.name, std::string(node.op->name()), input_text(module, graph, node),
                 join(types, " "), grouped(node_macs), grouped(operations_of(work)),
                 grouped((work.constant_bits + 7) / 8)});
      macs += node_macs;
      operations += operations_of(work);
      bits += work.constant_bits;
    }
    table.add({"total", "", "", "", grouped(macs), grouped(operations), grouped((bits + 7) / 8)});
    return table.text();
  }

  void add_plan(VerbResult& result) {
    if (flags_.device.empty()) flags_.device = default_device("mcu");
    const PlannedModel model = plan_model(flags_.request(), OnTrial::kAssume);
    const Plan& plan = model.planned.plan;
    std::string text;
    for (const std::string& note : model.notes) text += concat("note: ", note, "\n");
    text += print_plan(model.lowered, plan) + model.misfit;
    result.json["plan"] = {{"device", model.device.name},
                           {"choices", model.planned.choices},
                           {"fits", model.fits},
                           {"peak_bytes", plan.peak_bytes},
                           {"bound_bytes", plan.bound_bytes},
                           {"state_bytes", state_bytes(plan)},
                           {"steps", plan.steps.size()},
                           {"buffers", plan.buffers.size()},
                           {"text", text}};
    result.text += "\n" + text;
  }

  void write(const Module& module) const {
    if (output_.empty()) return;
    const std::string suffix = std::filesystem::path(output_).extension().string();
    if (suffix != ".onnx" && suffix != ".tandem")
      throw Error("--output ", output_, ": a network is written as .onnx or .tandem");
    write_file_atomic(output_,
                      suffix == ".onnx" ? write_onnx(module, output_).bytes : print_module(module));
  }

  PlanFlags flags_;
  bool plan_ = false;
  std::string output_;
};

}  // namespace

std::unique_ptr<Verb> make_show_verb() { return std::make_unique<ShowVerb>(); }

}  // namespace tandem
