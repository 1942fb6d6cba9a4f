#include "tandem/mapping/mcu_planner.h"

#include <algorithm>
#include <array>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/cost/mcu_cost.h"
#include "tandem/plan/mcu_plan.h"

namespace tandem {
namespace {

// What a form is judged by: the objective first, then what the others ask for.
std::array<double, 3> judged(const LoopProgram& program, const McuCosts& costs,
                             McuObjective objective) {
  const LoopCost cost = costs.of(program);
  double flash = cost.code_bytes, scratch = 0;
  for (const Array& array : program.arrays) {
    if (array.is_constant()) flash += static_cast<double>(array.bytes());
    if (array.role == ArrayRole::kScratch) scratch += static_cast<double>(array.bytes());
  }
  switch (objective) {
    case McuObjective::kLatency: return {cost.cycles, flash, scratch};
    case McuObjective::kFlash: return {flash, cost.cycles, scratch};
    case McuObjective::kSram: return {scratch, cost.cycles, flash};
  }
  throw InternalError("unknown objective");
}

std::string best_form(const Module& module, const McuGroups& groups,
                      const std::vector<NodeId>& nodes, const std::vector<std::string>& forms,
                      const McuCosts& costs, McuObjective objective) {
  if (forms.size() == 1) return forms.front();
  std::string best;
  std::array<double, 3> least{};
  for (const std::string& form : forms) {
    const LoopProgram program = build_kernel(module, module.main(), groups.base_of, nodes, form);
    const std::array<double, 3> judgement = judged(program, costs, objective);
    if (!best.empty() && judgement >= least) continue;
    best = form;
    least = judgement;
  }
  return best;
}

void check_names(const Graph& graph, const McuGroups& groups, const McuPlanOptions& options) {
  std::vector<std::string> names;
  for (const std::vector<NodeId>& nodes : groups.groups)
    names.push_back(graph.nodes[nodes.front()].name);
  for (const auto& [name, form] : options.forms)
    if (std::ranges::find(names, name) == names.end())
      throw Error("no step begins with a node '", name, "'", suggestion(name, names));
}

}  // namespace

Plan plan_mcu(const Module& module, const Device& device, const McuPlanOptions& options) {
  if (device.kind() != "mcu")
    throw Error("device '", device.name, "' is of kind '", device.kind(),
                "', not 'mcu'; choose one of ", join(device_names("mcu"), ", "));
  const Graph& graph = module.main();
  throw_issues(sequential_issues(module, graph), device.name);
  const McuGroups groups = group_nodes(module, graph);
  check_names(graph, groups, options);
  const McuCosts costs(device);
  std::vector<std::string> forms;
  for (const std::vector<NodeId>& nodes : groups.groups) {
    const std::vector<std::string> known = kernel_forms(module, graph, groups.base_of, nodes);
    const auto wanted = options.forms.find(graph.nodes[nodes.front()].name);
    if (wanted == options.forms.end()) {
      forms.push_back(best_form(module, groups, nodes, known, costs, options.objective));
      continue;
    }
    if (std::ranges::find(known, wanted->second) == known.end())
      throw Error("node '", wanted->first, "' cannot take form '", wanted->second, "'",
                  suggestion(wanted->second, known));
    forms.push_back(wanted->second);
  }
  return assemble_mcu_plan(module, device.name, device.unit().name, groups, forms, options.io);
}

}  // namespace tandem
