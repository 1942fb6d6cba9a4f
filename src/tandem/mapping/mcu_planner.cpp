#include "tandem/mapping/mcu_planner.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/plan/mcu_plan.h"

namespace tandem {

Plan plan_mcu(const Module& module, const Device& device, const McuPlanOptions& options) {
  if (device.kind() != "mcu")
    throw Error("device '", device.name, "' is of kind '", device.kind(),
                "', not 'mcu'; choose one of ", join(device_names("mcu"), ", "));
  const Graph& graph = module.main();
  throw_issues(sequential_issues(module, graph), device.name);
  const McuGroups groups = group_nodes(module, graph);
  std::vector<std::string> forms;
  for (const std::vector<NodeId>& nodes : groups.groups) {
    const std::vector<std::string> known = kernel_forms(module, graph, nodes);
    const auto wanted = options.forms.find(graph.nodes[nodes.front()].name);
    if (wanted == options.forms.end()) {
      forms.push_back(known.back());
      continue;
    }
    if (std::ranges::find(known, wanted->second) == known.end())
      throw Error("node '", wanted->first, "' cannot take form '", wanted->second, "'",
                  suggestion(wanted->second, known));
    forms.push_back(wanted->second);
  }
  return assemble_mcu_plan(module, device.name, device.unit().name, groups, forms);
}

}  // namespace tandem
