#include "tests/verify/varied_plans.h"

#include "tandem/mapping/mcu_planner.h"
#include "tandem/plan/kernel.h"

namespace tandem {

std::vector<Plan> varied_plans(std::span<const Module> modules) {
  const Device device = find_device(default_device("mcu"));
  std::vector<Plan> plans;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const Graph& graph = modules[i].main();
    McuPlanOptions options;
    options.io = i % 3 == 0 ? IoPlace::kCaller : IoPlace::kArena;
    const McuGroups groups = group_nodes(modules[i], graph);
    for (const std::vector<NodeId>& nodes : groups.groups) {
      const std::vector<std::string> forms = kernel_forms(modules[i], graph, groups.base_of, nodes);
      options.forms[graph.nodes[nodes.front()].name] = forms[i % forms.size()];
    }
    plans.push_back(plan_mcu(modules[i], device, options));
  }
  return plans;
}

}  // namespace tandem
