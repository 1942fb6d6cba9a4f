#include "tandem/verify/host_steps.h"

#include <algorithm>
#include <optional>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/runtime/host_plan.h"
#include "tandem/runtime/program.h"

namespace tandem {
namespace {

Plan plan_of(const HostNetwork& network) {
  return plan_host(network.module, {.keep_values = true, .layouts = network.layouts});
}

bool is_exact(const Node& node) {
  const Domain domain = node.op->traits().domain;
  if (domain == Domain::kInteger || domain == Domain::kMovement) return true;
  return domain == Domain::kBorder;
}

class StepChecker {
 public:
  StepChecker(const Module& module, std::span<const Tensor> inputs,
              const std::map<ValueId, Tensor>& stored)
      : module_(module), graph_(module.main()), stored_(stored) {
    ensure(inputs.size() == graph_.inputs.size(), "a tensor for each input");
    for (std::size_t i = 0; i < inputs.size(); ++i) given_[graph_.inputs[i]] = inputs[i];
  }

  std::optional<StepCheck> check(const Step& step) {
    const bool exact =
        std::ranges::all_of(step.nodes, [&](NodeId id) { return is_exact(graph_.nodes[id]); });
    const ValueId result = graph_.nodes[step.nodes.back()].outputs[0];
    if (!exact || !stored_.contains(result)) return std::nullopt;
    std::map<ValueId, Tensor> own;
    for (const NodeId id : step.nodes) {
      const Node& node = graph_.nodes[id];
      std::vector<Tensor> operands;
      for (const ValueId input : node.inputs) operands.push_back(operand(input, own));
      const auto outputs = evaluate_node(module_, graph_, node, operands);
      for (std::size_t i = 0; i < outputs.size(); ++i) own[node.outputs[i]] = outputs[i];
    }
    StepCheck check{graph_.nodes[step.nodes[0]].name, step.form};
    for (const ValueId value : graph_.nodes[step.nodes.back()].outputs)
      compare(stored_.at(value), own.at(value), check);
    return check;
  }

 private:
  Tensor operand(ValueId value, const std::map<ValueId, Tensor>& own) const {
    if (value == kNone) return Tensor();
    if (const Tensor* constant = constant_of(module_, graph_, value)) return *constant;
    for (const auto* source : {&own, &stored_, &given_})
      if (const auto found = source->find(value); found != source->end()) return found->second;
    throw InternalError(concat("a step reads what none stored: ", graph_.values[value].name));
  }
  static void compare(const Tensor& computed, const Tensor& expected, StepCheck& check) {
    ensure(computed.shape() == expected.shape(), "a step's result has the shape of its type");
    check.compared += expected.size();
    if (computed == expected) return;
    for (std::int64_t at = 0; at < expected.size(); ++at)
      check.differing += computed.real(at) != expected.real(at) ? 1 : 0;
  }

  const Module& module_;
  const Graph& graph_;
  const std::map<ValueId, Tensor>& stored_;
  std::map<ValueId, Tensor> given_;
};

}  // namespace

std::map<ValueId, Tensor> stored_values(const HostNetwork& network,
                                        std::span<const Tensor> inputs) {
  const Program program(network.module, plan_of(network));
  Program::Workspace workspace = program.workspace();
  const Graph& graph = network.module.main();
  std::vector<const std::byte*> from;
  for (const Tensor& input : inputs) from.push_back(input.bytes().data());
  std::vector<Tensor> outputs;
  for (const ValueId output : graph.outputs)
    outputs.emplace_back(graph.values[output].type.format,
                         graph.values[output].type.static_shape());
  std::vector<std::byte*> to;
  for (Tensor& output : outputs) to.push_back(output.mutable_bytes().data());
  program.run(from, to, workspace);
  std::map<ValueId, Tensor> values;
  for (const Step& step : program.plan().steps) {
    if (step.nodes.empty()) continue;
    for (const ValueId value : graph.nodes[step.nodes.back()].outputs)
      values.emplace(value, program.read(value, workspace));
  }
  return values;
}

std::vector<StepCheck> check_steps(const HostNetwork& network, std::span<const Tensor> inputs,
                                   const std::map<ValueId, Tensor>& stored) {
  StepChecker checker(network.module, inputs, stored);
  std::vector<StepCheck> checks;
  for (const Step& step : plan_of(network).steps)
    if (!step.nodes.empty())
      if (auto check = checker.check(step)) checks.push_back(std::move(*check));
  return checks;
}

}  // namespace tandem
