#include "tandem/transform/common_subexpressions.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tandem/base/text.h"
#include "tandem/graph/operator.h"

namespace tandem {
namespace {

// One number for all constants of equal bits.
std::vector<ConstantId> first_equal_constants(const Module& module) {
  std::map<std::pair<std::string, std::string_view>, ConstantId> firsts;
  std::vector<ConstantId> first(module.constants.size());
  for (ConstantId id = 0; id < first.size(); ++id) {
    const Tensor& tensor = module.constants[id].tensor;
    const std::span<const std::byte> bytes = tensor.bytes();
    const std::string_view bits(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    first[id] = firsts.emplace(std::pair(type_of(tensor).to_string(), bits), id).first->second;
  }
  return first;
}

class Merging {
 public:
  Merging(Graph& graph, const std::vector<ConstantId>& first_equal)
      : graph_(graph), first_equal_(first_equal), readers_see_(graph.values.size()) {
    std::iota(readers_see_.begin(), readers_see_.end(), ValueId{0});
    results_.insert(graph.outputs.begin(), graph.outputs.end());
    for (const StateUpdate& update : graph.updates) results_.insert(update.value);
  }

  void run() {
    std::map<std::string, NodeId> firsts;
    for (NodeId id = 0; id < graph_.nodes.size(); ++id) {
      Node& node = graph_.nodes[id];
      for (ValueId& input : node.inputs)
        if (input != kNone) input = readers_see_[input];
      if (!node.bodies.empty()) continue;
      const auto [first, is_new] = firsts.emplace(meaning(node), id);
      if (is_new) continue;
      for (std::size_t i = 0; i < node.outputs.size(); ++i)
        if (node.outputs[i] != kNone)
          merge(node.outputs[i], graph_.nodes[first->second].outputs[i]);
    }
  }

 private:
  // A text that two nodes share exactly when they compute the same results.
  std::string meaning(const Node& node) const {
    std::vector<std::string> inputs;
    for (const ValueId input : node.inputs) {
      const ConstantId constant = input == kNone ? kNone : graph_.values[input].constant;
      inputs.push_back(input == kNone      ? "absent"
                       : constant != kNone ? concat("constant ", first_equal_[constant])
                                           : concat("value ", input));
    }
    // A real minimum of -0 and 0 is the second of them, so order tells there.
    const Traits traits = node.op->traits();
    if (traits.commutative && traits.domain != Domain::kReal)
      std::sort(inputs.begin(), inputs.end());
    std::string text(node.op->name());
    for (const std::string& input : inputs) text += concat("\n", input);
    for (const auto& [name, value] : node.attributes)
      text += concat("\n", name, " = ", to_string(value));
    for (const ValueId output : node.outputs) text += output == kNone ? "\nunused" : "\nused";
    return text;
  }

  // Where both are outputs or updates of states, each stays what it is; else the first takes over
  // the name and the coding that an output has.
  void merge(ValueId value, ValueId first) {
    readers_see_[value] = first;
    if (!results_.contains(value) || results_.contains(first)) return;
    std::swap(graph_.values[value].name, graph_.values[first].name);
    std::replace(graph_.outputs.begin(), graph_.outputs.end(), value, first);
    for (StateUpdate& update : graph_.updates)
      if (update.value == value) update.value = first;
    if (auto coding = graph_.codings.extract(value)) {
      coding.key() = first;
      graph_.codings.insert(std::move(coding));
    }
    results_.insert(first);
  }

  Graph& graph_;
  const std::vector<ConstantId>& first_equal_;
  std::vector<ValueId> readers_see_;  // the value that stands for each
  std::set<ValueId> results_;         // outputs and updates of states
};

}  // namespace

void merge_common_subexpressions(Module& module) {
  const std::vector<ConstantId> first_equal = first_equal_constants(module);
  for (Graph& graph : module.graphs) Merging(graph, first_equal).run();
  remove_unused(module);
}

}  // namespace tandem
