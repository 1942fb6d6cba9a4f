#include "tandem/mapping/mcu_planner.h"

#include <algorithm>
#include <limits>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/cost/mcu_cost.h"
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
    const bool in_patches = options_.patches.value_or(1) > 1;
    const std::optional<std::int64_t>& most = options_.sram_bytes;
    if (!in_patches) {
      Plan plan = assembled(fast, {});
      if (!most || sram_bytes(plan) <= *most) return plan;
    }
    const std::vector<PatchCandidate> candidates = stages(fast);
    if (most)
      if (std::optional<Plan> plan = fastest(candidates, fast)) return std::move(*plan);
    return smallest(candidates, fast);
  }

 private:
  // What can be chosen from, by rising cycles.
  std::vector<PatchCandidate> stages(const std::vector<std::string>& fast) const {
    std::vector<PatchCandidate> found;
    if (options_.patches.value_or(1) == 1) found.emplace_back();
    if (options_.patches == 1) return found;
    const std::vector<PatchCandidate> in_patches =
        patch_candidates(module_, device_, groups_, fast, options_.io, options_.patches);
    found.insert(found.end(), in_patches.begin(), in_patches.end());
    if (found.empty())
      throw Error("no layers can be run in ", *options_.patches,
                  " patches; patches need convolutions, poolings or element-wise layers one after "
                  "the other, the last one of at least so many rows");
    return found;
  }

  // The plan that takes fewest cycles within the limit. What is compared is the same whatever the
  // limit: for each stage all forms are fast at first, then lean ones take their place where the
  // peak is; so a looser limit never finds a slower plan.
  std::optional<Plan> fastest(const std::vector<PatchCandidate>& candidates,
                              const std::vector<std::string>& fast) {
    std::optional<Plan> best;
    double least_cycles = std::numeric_limits<double>::infinity();
    for (const PatchCandidate& candidate : candidates) {
      if (candidate.bytes > *options_.sram_bytes) continue;
      std::vector<std::string> forms = fast;
      while (about_cycles(forms, candidate) < least_cycles) {
        Plan plan = assembled(forms, candidate.stage);
        if (sram_bytes(plan) > *options_.sram_bytes) {
          const bool goes_on = give_up_fast(forms, plan, candidate.stage);
          keep_least(std::move(plan));
          if (goes_on) continue;
          break;
        }
        const double cycles = estimate_mcu(module_, plan, device_).total.at("latency_cycles").value;
        if (cycles < least_cycles) {
          least_cycles = cycles;
          best = std::move(plan);
        }
        break;
      }
    }
    return best;
  }

  // Cycles that a plan takes at least, with an allowance for what only its estimate knows.
  double about_cycles(const std::vector<std::string>& forms, const PatchCandidate& candidate) {
    constexpr double kAllowance = 0.9;
    double cycles = candidate.extra_cycles;
    for (std::size_t group = 0; group < forms.size(); ++group)
      cycles += choice_.cycles(group, forms[group]);
    return kAllowance * cycles;
  }

  // Takes leaner forms where a plan has its peak, or else everywhere; false where there are none.
  bool give_up_fast(std::vector<std::string>& forms, const Plan& plan, const PatchStage& stage) {
    const std::vector<std::string> before = forms;
    for (const std::size_t group : groups_at_peak(plan)) make_leaner(forms[group], group, stage);
    if (forms != before) return true;
    for (std::size_t group = 0; group < forms.size(); ++group)
      make_leaner(forms[group], group, stage);
    return forms != before;
  }

  void make_leaner(std::string& form, std::size_t group, const PatchStage& stage) {
    if (options_.forms.contains(graph_.nodes[groups_.groups[group].front()].name)) return;
    form = choice_.less(group, form,
                        reads_what_stays(group, stage) ? FormGoal::kScratch : FormGoal::kSram);
  }

  // Whether a group of a stage reads what later patches read too: nothing can be written over it.
  bool reads_what_stays(std::size_t group, const PatchStage& stage) const {
    return stage.rows > 0 && stage.first <= group && group <= stage.last &&
           (stage.keeps_rows || reads_from_outside(module_, graph_, groups_, stage, group));
  }

  // The plan that needs least of those that fastest() compares, which has found none; without a
  // limit all forms stay fast.
  Plan smallest(std::vector<PatchCandidate> candidates, const std::vector<std::string>& fast) {
    std::ranges::stable_sort(candidates, {}, &PatchCandidate::bytes);
    for (const PatchCandidate& candidate : candidates) {
      if (candidate.bytes <= options_.sram_bytes.value_or(-1)) continue;  // seen
      std::vector<std::string> forms = fast;
      bool goes_on = true;
      while (goes_on && (!least_ || candidate.bytes < sram_bytes(*least_))) {
        Plan plan = assembled(forms, candidate.stage);
        goes_on = options_.sram_bytes && give_up_fast(forms, plan, candidate.stage);
        keep_least(std::move(plan));
      }
    }
    return std::move(*least_);
  }

  void keep_least(Plan plan) {
    if (!least_ || sram_bytes(plan) < sram_bytes(*least_)) least_ = std::move(plan);
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
  std::optional<Plan> least_;  // of those that did not fit
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
