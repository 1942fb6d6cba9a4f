#include "tandem/mapping/mcu_planner.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/mapping/patch_search.h"
#include "tandem/plan/mcu_plan.h"

namespace tandem {
namespace {

FormGoal goal_of(McuObjective objective) {
  switch (objective) {
    case McuObjective::kLatency: return FormGoal::kLatency;
    case McuObjective::kFlash: return FormGoal::kFlash;
    case McuObjective::kSram: return FormGoal::kSram;
  }
  throw InternalError("unknown objective");
}

void check_names(const Graph& graph, const McuGroups& groups, const McuPlanOptions& options) {
  std::vector<std::string> names;
  for (const std::vector<NodeId>& nodes : groups.groups)
    names.push_back(graph.nodes[nodes.front()].name);
  for (const auto& [name, form] : options.forms)
    if (std::ranges::find(names, name) == names.end())
      throw Error("no step begins with a node '", name, "'", suggestion(name, names));
}

// Finds one plan of a network.
class PlanSearch {
 public:
  PlanSearch(const Module& module, const Device& device, FormChoice& choice,
             const McuPlanOptions& options)
      : module_(module),
        graph_(module.main()),
        device_(device),
        choice_(choice),
        groups_(choice.groups()),
        options_(options) {
    check_names(graph_, groups_, options);
  }

  Plan run() {
    const std::vector<std::string> fast = forms_for(goal_of(options_.objective));
    PatchStage stage;
    if (options_.patches.value_or(1) > 1)
      stage = best_stage(request(fast, fast), options_.sram_bytes.value_or(0), options_.patches);
    Plan plan = assembled(fast, stage);
    if (!options_.sram_bytes || sram_bytes(plan) <= *options_.sram_bytes) return plan;
    const std::vector<std::string> lean = forms_for(FormGoal::kSram),
                                   reading = forms_for(FormGoal::kScratch);
    const PatchRequest lean_request = request(lean, reading);
    if (!options_.patches && sram_bytes(assembled(lean, stage)) > *options_.sram_bytes)
      stage = best_stage(lean_request, *options_.sram_bytes);
    return within_limit(std::move(plan), fast, forms_with(lean_request, stage), stage);
  }

 private:
  PatchRequest request(const std::vector<std::string>& forms,
                       const std::vector<std::string>& reading) const {
    return {module_, device_, groups_, forms, reading, options_.io};
  }

  Plan assembled(const std::vector<std::string>& forms, const PatchStage& stage) const {
    return assemble_mcu_plan(module_, device_.name, device_.unit().name, groups_, forms,
                             options_.io, stage);
  }

  std::vector<std::string> forms_for(FormGoal goal) {
    std::vector<std::string> forms;
    for (std::size_t group = 0; group < groups_.groups.size(); ++group) {
      const auto wanted = options_.forms.find(graph_.nodes[groups_.groups[group].front()].name);
      if (wanted == options_.forms.end()) {
        forms.push_back(choice_.best(group, goal));
        continue;
      }
      const std::vector<std::string>& known = choice_.forms(group);
      if (std::ranges::find(known, wanted->second) == known.end())
        throw Error("node '", wanted->first, "' cannot take form '", wanted->second, "'",
                    suggestion(wanted->second, known));
      forms.push_back(wanted->second);
    }
    return forms;
  }

  // Gives up fast forms for lean ones where the peak is, until the plan fits; the least of all, and
  // of a plan that did not fit, where none does.
  Plan within_limit(Plan least, std::vector<std::string> forms,
                    const std::vector<std::string>& lean, const PatchStage& stage) const {
    while (true) {
      const bool is_last = forms == lean;
      Plan plan = assembled(forms, stage);
      bool changed = false;
      for (const std::size_t group : groups_at_peak(plan)) {
        changed = changed || forms[group] != lean[group];
        forms[group] = lean[group];
      }
      if (!changed) forms = lean;
      if (sram_bytes(plan) < sram_bytes(least)) least = std::move(plan);
      if (is_last || sram_bytes(least) <= *options_.sram_bytes) return least;
    }
  }

  std::vector<std::size_t> groups_at_peak(const Plan& plan) const {
    std::int64_t peak = 0;
    for (const Buffer& buffer : plan.buffers)
      if (in_arena(plan, buffer)) peak = std::max(peak, buffer.offset + buffer.bytes);
    std::vector<std::size_t> found;
    for (std::size_t step = 0; step < plan.steps.size(); ++step) {
      const bool at_peak = std::ranges::any_of(plan.buffers, [&](const Buffer& buffer) {
        return in_arena(plan, buffer) && buffer.offset + buffer.bytes == peak &&
               buffer.first_step <= step && step <= buffer.last_step;
      });
      const auto group = std::ranges::find(groups_.groups, plan.steps[step].nodes);
      if (at_peak && group != groups_.groups.end())
        found.push_back(static_cast<std::size_t>(group - groups_.groups.begin()));
    }
    return found;
  }

  const Module& module_;
  const Graph& graph_;
  const Device& device_;
  FormChoice& choice_;
  const McuGroups& groups_;
  const McuPlanOptions& options_;
};

// Throws Error where the device cannot run the module.
const Module& checked(const Module& module, const Device& device) {
  if (device.kind() != "mcu")
    throw Error("device '", device.name, "' is of kind '", device.kind(),
                "', not 'mcu'; choose one of ", join(device_names("mcu"), ", "));
  throw_issues(sequential_issues(module, module.main()), device.name);
  return module;
}

}  // namespace

McuPlanner::McuPlanner(const Module& module, const Device& device)
    : module_(checked(module, device)), device_(device), choice_(module, device) {}

Plan McuPlanner::plan(const McuPlanOptions& options) {
  return PlanSearch(module_, device_, choice_, options).run();
}

Plan plan_mcu(const Module& module, const Device& device, const McuPlanOptions& options) {
  return McuPlanner(module, device).plan(options);
}

}  // namespace tandem
