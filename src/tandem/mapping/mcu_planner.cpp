#include "tandem/mapping/mcu_planner.h"

#include <algorithm>
#include <array>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/cost/mcu_cost.h"
#include "tandem/mapping/patch_search.h"
#include "tandem/plan/lifetime_planner.h"
#include "tandem/plan/mcu_plan.h"
#include "tandem/plan/overlap_distance.h"

namespace tandem {
namespace {

// The bytes that a program's values and scratch arrays need at least, where it is the last to read
// its inputs: some forms have little scratch, others can write over what they have read.
double bytes_alone(const LoopProgram& program) {
  std::vector<LifetimeBlock> blocks;
  for (const Array& array : program.arrays)
    blocks.push_back({array.is_constant() ? 0 : array.bytes()});
  for (const OverlapDistance& overlap : overlap_distances(program))
    blocks[overlap.written].takeovers.push_back({overlap.read, overlap.bytes});
  return static_cast<double>(least_bytes(blocks, 0));
}

// What forms are chosen for: an objective, or the least scratch (where nothing is overwritten).
enum class FormGoal { kLatency, kFlash, kSram, kScratch };

FormGoal goal_of(McuObjective objective) {
  switch (objective) {
    case McuObjective::kLatency: return FormGoal::kLatency;
    case McuObjective::kFlash: return FormGoal::kFlash;
    case McuObjective::kSram: return FormGoal::kSram;
  }
  throw InternalError("unknown objective");
}

// What a form is judged by: the goal first, then what the others ask for.
std::array<double, 3> judged(const LoopProgram& program, const McuCosts& costs, FormGoal goal) {
  const LoopCost cost = costs.of(program);
  double flash = cost.code_bytes, scratch = 0;
  for (const Array& array : program.arrays) {
    if (array.is_constant()) flash += static_cast<double>(array.bytes());
    if (array.role == ArrayRole::kScratch) scratch += static_cast<double>(array.bytes());
  }
  switch (goal) {
    case FormGoal::kLatency: return {cost.cycles, flash, scratch};
    case FormGoal::kFlash: return {flash, cost.cycles, scratch};
    case FormGoal::kSram: return {bytes_alone(program), cost.cycles, flash};
    case FormGoal::kScratch: return {scratch, cost.cycles, flash};
  }
  throw InternalError("unknown goal");
}

std::string best_form(const Module& module, const McuGroups& groups,
                      const std::vector<NodeId>& nodes, const std::vector<std::string>& forms,
                      const McuCosts& costs, FormGoal goal) {
  if (forms.size() == 1) return forms.front();
  std::string best;
  std::array<double, 3> least{};
  for (const std::string& form : forms) {
    const LoopProgram program = build_kernel(module, module.main(), groups.base_of, nodes, form);
    const std::array<double, 3> judgement = judged(program, costs, goal);
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

// Finds the plan of one network.
class McuPlanner {
 public:
  McuPlanner(const Module& module, const Device& device, const McuPlanOptions& options)
      : module_(module),
        graph_(module.main()),
        device_(device),
        options_(options),
        groups_(group_nodes(module, graph_)),
        costs_(device) {
    check_names(graph_, groups_, options);
  }

  Plan run() const {
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

  std::vector<std::string> forms_for(FormGoal goal) const {
    std::vector<std::string> forms;
    for (const std::vector<NodeId>& nodes : groups_.groups) {
      const std::vector<std::string> known = kernel_forms(module_, graph_, groups_.base_of, nodes);
      const auto wanted = options_.forms.find(graph_.nodes[nodes.front()].name);
      if (wanted == options_.forms.end()) {
        forms.push_back(best_form(module_, groups_, nodes, known, costs_, goal));
        continue;
      }
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
  const McuPlanOptions& options_;
  McuGroups groups_;
  McuCosts costs_;
};

}  // namespace

Plan plan_mcu(const Module& module, const Device& device, const McuPlanOptions& options) {
  if (device.kind() != "mcu")
    throw Error("device '", device.name, "' is of kind '", device.kind(),
                "', not 'mcu'; choose one of ", join(device_names("mcu"), ", "));
  throw_issues(sequential_issues(module, module.main()), device.name);
  return McuPlanner(module, device, options).run();
}

}  // namespace tandem
