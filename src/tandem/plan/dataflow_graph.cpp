#include "tandem/plan/dataflow_graph.h"

#include <algorithm>
#include <numeric>

#include "tandem/base/error.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"

namespace tandem {
namespace {

bool moves(const Node& node) { return node.op->traits().domain == Domain::kMovement; }

}  // namespace

DataflowGraph::DataflowGraph(const Module& module, const std::string& function)
    : module_(&module), graph_(&module.function(function)) {
  fold_constants();
  find_aliases();
  find_live_nodes();
}

const Tensor* DataflowGraph::constant(ValueId value) const {
  const auto found = constants_.find(alias_.empty() ? value : alias_[value]);
  return found == constants_.end() ? nullptr : &found->second;
}

void DataflowGraph::fold_constants() {
  for (ValueId v = 0; v < graph_->values.size(); ++v)
    if (const Tensor* tensor = constant_of(*module_, *graph_, v)) constants_[v] = *tensor;
  for (const Node& node : graph_->nodes) {
    std::vector<Tensor> inputs;
    for (const ValueId input : node.inputs) {
      if (input == kNone) {
        inputs.emplace_back();
      } else if (const auto found = constants_.find(input); found != constants_.end()) {
        inputs.push_back(found->second);
      } else {
        break;
      }
    }
    if (inputs.size() != node.inputs.size()) continue;
    const auto outputs = evaluate_node(*module_, *graph_, node, inputs);
    for (std::size_t i = 0; i < outputs.size(); ++i) constants_[node.outputs[i]] = outputs[i];
  }
}

void DataflowGraph::find_aliases() {
  std::vector<ValueId> alias(graph_->values.size());
  std::iota(alias.begin(), alias.end(), ValueId{0});
  for (const Node& node : graph_->nodes) {
    if (!moves(node) || constants_.contains(node.outputs[0])) continue;
    for (std::size_t k = 0; k < node.outputs.size(); ++k) {
      auto map = movement_map({*module_, *graph_, node}, k);
      ensure(map.has_value(), "a movement that chooses by values was not refused");
      if (map->is_identity(static_cast<std::size_t>(elements(node.inputs[0]))))
        alias[node.outputs[k]] = alias[node.inputs[static_cast<std::size_t>(map->input[0])]];
      movements_[node.outputs[k]] = std::move(*map);
    }
  }
  alias_ = std::move(alias);
}

void DataflowGraph::find_live_nodes() {
  readers_.assign(graph_->values.size(), 0);
  std::vector<bool> wanted(graph_->values.size(), false);
  for (const ValueId output : graph_->outputs) {
    wanted[alias_[output]] = true;
    ++readers_[alias_[output]];
  }
  for (NodeId id = graph_->nodes.size(); id-- > 0;) {
    const Node& node = graph_->nodes[id];
    std::size_t uses = 0;
    for (const ValueId output : node.outputs)
      if (alias_[output] == output && wanted[output] && !constants_.contains(output)) ++uses;
    if (uses == 0) continue;
    nodes_.push_back(id);
    // A movement reads its input once for every output that is wanted.
    if (!moves(node)) uses = 1;
    for (const ValueId input : node.inputs) {
      if (input == kNone || constants_.contains(alias_[input])) continue;
      wanted[alias_[input]] = true;
      readers_[alias_[input]] += uses;
    }
  }
  std::reverse(nodes_.begin(), nodes_.end());
}

}  // namespace tandem
