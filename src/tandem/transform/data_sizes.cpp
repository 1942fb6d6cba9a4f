#include "tandem/transform/data_sizes.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "tandem/base/error.h"
#include "tandem/graph/bodies.h"
#include "tandem/graph/builder.h"

namespace tandem {
namespace {

bool has_any(const TensorType& type, const std::set<std::string>& sizes) {
  for (const Dim& dim : type.shape)
    for (const std::string& symbol : dim.symbols())
      if (sizes.contains(symbol)) return true;
  return false;
}

class Splitter {
 public:
  Splitter(const Module& module, const std::vector<std::string>& sizes)
      : module_(module),
        graph_(module.main()),
        names_(sizes.begin(), sizes.end()),
        open_(graph_.values.size()) {
    for (const Node& node : graph_.nodes) {
      const auto is_open = [&](ValueId value) { return value != kNone && open_[value]; };
      bool depends = std::ranges::any_of(node.inputs, is_open);
      for (const ValueId output : node.outputs)
        depends = depends || has_any(graph_.values[output].type, names_);
      for (const ValueId output : node.outputs) open_[output] = depends;
    }
  }

  SplitNetwork run() {
    SplitNetwork parts;
    parts.rest.symbols = module_.symbols;
    parts.rest.constants = module_.constants;
    Builder rest(parts.rest, Builder::add_graph(parts.rest, "main"));
    std::map<ValueId, ValueId> values;
    const auto read = [&](ValueId value) {
      if (value == kNone) return kNone;
      if (const auto known = values.find(value); known != values.end()) return known->second;
      const Value& old = graph_.values[value];
      ensure(!open_[value], "a size is read before data decide it");
      if (old.constant == kNone) needed_.push_back(value);
      return values[value] = old.constant != kNone ? rest.constant(old.constant)
                                                   : rest.input(old.name, TensorType(old.type));
    };
    for (const Node& node : graph_.nodes) {
      if (node.outputs.empty() || !open_[node.outputs[0]]) continue;
      std::vector<ValueId> inputs;
      for (const ValueId input : node.inputs) inputs.push_back(read(input));
      rest.set_scope(node.scope);
      const auto outputs = copy_node(rest, module_, node, inputs);
      for (std::size_t i = 0; i < outputs.size(); ++i) values[node.outputs[i]] = outputs[i];
    }
    for (const ValueId output : graph_.outputs) rest.output(read(output));
    parts.sized = sized();
    remove_unused(parts.rest);
    return parts;
  }

 private:
  Module sized() const {
    Module sized = module_;
    Builder builder(sized, sized.functions.at("main"));
    std::vector<ValueId> outputs;
    for (const ValueId value : needed_) {
      const bool is_input = graph_.values[value].producer == kNone;
      outputs.push_back(is_input ? builder.add("Identity", {value}) : value);
    }
    builder.graph().outputs = outputs;
    builder.graph().codings.clear();
    remove_unused(sized);
    std::erase_if(sized.symbols, [&](const Symbol& s) { return names_.contains(s.name); });
    return sized;
  }

  const Module& module_;
  const Graph& graph_;
  std::set<std::string> names_;  // of these sizes
  std::vector<bool> open_;       // values that depend on such a size
  std::vector<ValueId> needed_;  // values that the rest reads
};

}  // namespace

std::vector<std::string> data_sizes(const Module& module) {
  const Graph& graph = module.main();
  std::set<std::string> known, used;
  const auto add = [](const TensorType& type, std::set<std::string>& names) {
    for (const Dim& dim : type.shape)
      for (const std::string& symbol : dim.symbols()) names.insert(symbol);
  };
  for (const ValueId input : graph.inputs) add(graph.values[input].type, known);
  for (const State& state : module.states) add(state.type, known);
  for (const Value& value : graph.values) add(value.type, used);
  std::vector<std::string> sizes;
  std::ranges::set_difference(used, known, std::back_inserter(sizes));
  return sizes;
}

std::optional<SplitNetwork> split_at_data_sizes(const Module& module) {
  const auto sizes = data_sizes(module);
  if (sizes.empty()) return std::nullopt;
  if (!module.states.empty())
    throw Error("data decide the size ", sizes.front(),
                " of a network with states; only networks without them can have such sizes");
  return Splitter(module, sizes).run();
}

Module with_greatest_sizes(const Module& module) {
  const auto sizes = data_sizes(module);
  if (sizes.empty()) return module;
  std::map<std::string, std::int64_t> greatest;
  for (const Symbol& symbol : module.symbols)
    if (std::ranges::find(sizes, symbol.name) != sizes.end()) greatest[symbol.name] = symbol.max;
  return specialize(module, greatest);
}

}  // namespace tandem
