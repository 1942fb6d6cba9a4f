#include "tandem/cost/mcu_cost.h"

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/operator.h"
#include "tandem/plan/mcu_plan.h"

namespace tandem {
namespace {

LoopCost cost_of_entry(const Device& device, std::string_view form, std::string_view feature) {
  const Cost* cost = device.unit().find_cost(form, feature);
  const auto column = [&](const std::string& name) {
    const auto found =
        cost == nullptr ? std::map<std::string, double>::const_iterator{} : cost->per.find(name);
    if (cost == nullptr || found == cost->per.end())
      throw Error(device.path, ": unit '", device.unit().name, "' has no ", name, " for form '",
                  form, "', feature '", feature,
                  "'; give it the costs of its core (costs = \"costs/cortex-m4.toml\")");
    return found->second;
  };
  return {column("instructions"), column("cycles"), column("code_bytes")};
}

std::int64_t multiply_accumulates(const Module& module, const Graph& whole, const McuGroups& groups,
                                  const Step& step) {
  if (step.kind == StepKind::kMove) return 0;
  const std::optional<Rows> rows = rows_of(step);
  const Graph patch = rows ? patch_graph(module, whole, groups, step.nodes, *rows) : Graph();
  const Graph& graph = rows ? patch : whole;
  std::int64_t count = 0;
  for (const NodeId id : step.nodes)
    count += graph.nodes[id]
                 .op->work({module, graph, graph.nodes[id]})
                 .total(OperationKind::kMultiplyAccumulate);
  return count;
}

std::string step_name(const Graph& graph, const Plan& plan, const Step& step) {
  if (step.nodes.empty()) return plan.buffers[step.writes.front()].name;
  const std::string& node = graph.nodes[step.nodes.front()].name;
  const std::optional<Rows> rows = rows_of(step);
  if (!rows) return node;
  return concat(node, " rows ", rows->begin, " to ", rows->end - 1,
                step.kind == StepKind::kMove ? " copied" : "");
}

class McuEstimator {
 public:
  McuEstimator(const Module& module, const Plan& plan, const Device& device)
      : module_(module),
        graph_(module.function(plan.function)),
        plan_(plan),
        device_(device),
        costs_(device),
        source_(device.unit().costs_provenance.source) {}

  Estimate run() const {
    Estimate estimate;
    estimate.device = device_.name;
    LoopCost total;
    double macs = 0;
    const StepFunctions functions = step_functions(module_, plan_);
    const McuGroups groups = group_nodes(module_, graph_);
    for (std::size_t i = 0; i < functions.programs.size(); ++i) {
      const LoopCost cost = costs_.of(step_features(functions, i));
      const Step& step = plan_.steps[i];
      StepEstimate one{step_name(graph_, plan_, step), figures_of(cost)};
      const auto step_macs =
          static_cast<double>(multiply_accumulates(module_, graph_, groups, step));
      one.figures["multiply_accumulates"] = exact_figure(step_macs);
      one.figures["weights_bytes"] = exact_figure(constant_bytes(step, BufferRole::kWeights));
      one.figures["tables_bytes"] = exact_figure(constant_bytes(step, BufferRole::kTable));
      estimate.steps.push_back(std::move(one));
      total.instructions += cost.instructions;
      total.cycles += cost.cycles;
      total.code_bytes += cost.code_bytes;
      macs += step_macs;
    }
    estimate.total = figures_of(total);
    estimate.total["multiply_accumulates"] = exact_figure(macs);
    add_bytes(estimate.total, total.code_bytes);
    return estimate;
  }

 private:
  Figures figures_of(const LoopCost& cost) const {
    const LoopCost& error = costs_.relative_error();
    const double seconds = cost.cycles / device_.clock.hertz;
    const double watts = device_.unit().number("active_milliwatts") / 1000;
    return {{"instructions", {cost.instructions, source_, error.instructions}},
            {"latency_cycles", {cost.cycles, Source::kAnalytic, error.cycles}},
            {"latency_seconds", {seconds, Source::kAnalytic, error.cycles}},
            {"energy_joules", {seconds * watts, device_.unit().provenance.source, error.cycles}},
            {"code_bytes", {cost.code_bytes, source_, error.code_bytes}}};
  }

  double constant_bytes(const Step& step, BufferRole role) const {
    double bytes = 0;
    for (const std::size_t read : step.reads)
      if (plan_.buffers[read].role == role) bytes += static_cast<double>(plan_.buffers[read].bytes);
    return bytes;
  }

  void add_bytes(Figures& figures, double code) const {
    double weights = 0, tables = 0;
    for (const Buffer& buffer : plan_.buffers) {
      const auto bytes = static_cast<double>(buffer.bytes);
      if (buffer.role == BufferRole::kWeights)
        weights += bytes;
      else if (buffer.role == BufferRole::kTable)
        tables += bytes;
    }
    const auto arena = static_cast<double>(plan_.peak_bytes.at("sram"));
    figures["weights_bytes"] = exact_figure(weights);
    figures["tables_bytes"] = exact_figure(tables);
    figures["arena_bytes"] = exact_figure(arena);
    figures["arena_bound_bytes"] = exact_figure(static_cast<double>(plan_.bound_bytes.at("sram")));
    figures["io_bytes"] = exact_figure(static_cast<double>(caller_bytes(plan_)));
    const auto states = static_cast<double>(state_bytes(plan_));
    if (states > 0) figures["state_bytes"] = exact_figure(states);
    figures["sram_bytes"] = exact_figure(static_cast<double>(sram_bytes(plan_)));
    const double flash = weights + tables + code;
    const double share = flash == 0 ? 0 : code / flash;
    figures["flash_bytes"] = {flash, source_, costs_.relative_error().code_bytes * share};
  }

  const Module& module_;
  const Graph& graph_;
  const Plan& plan_;
  const Device& device_;
  McuCosts costs_;
  Source source_;
};

}  // namespace

McuCosts::McuCosts(const Device& device)
    : error_(cost_of_entry(device, "error", "relative")),
      wait_cycles_(device.unit().number("flash_wait_cycles")) {
  for (std::size_t k = 0; k < kLoopFeatures; ++k)
    per_feature_[k] = cost_of_entry(device, "loop_program", name(static_cast<LoopFeature>(k)));
}

LoopFeatures step_features(const StepFunctions& functions, std::size_t step) {
  LoopFeatures features = count_features(functions.programs[step]);
  const StepCall& call = functions.shared.calls[step];
  const auto argument = static_cast<std::size_t>(LoopFeature::kArguments);
  const auto arrays = static_cast<std::size_t>(LoopFeature::kArrays);
  // Code that a step before has written already, but for the call.
  if (functions.shared.users[call.function].front() != step) {
    features.written = {};
    features.written[arrays] = static_cast<double>(functions.shared.passed[call.function].size());
  }
  // Constants that are handed over are arguments too.
  std::size_t passed = call.arguments.size();
  for (const std::size_t array : functions.shared.passed[call.function])
    passed += functions.programs[step].arrays[array].is_constant() ? 1 : 0;
  features.executed[argument] = features.written[argument] = static_cast<double>(passed);
  return features;
}

LoopCost McuCosts::of(const LoopProgram& program) const { return of(count_features(program)); }

LoopCost McuCosts::of(const LoopFeatures& features) const {
  LoopCost cost;
  for (std::size_t k = 0; k < kLoopFeatures; ++k) {
    cost.instructions += features.executed[k] * per_feature_[k].instructions;
    cost.cycles += features.executed[k] * per_feature_[k].cycles;
    cost.code_bytes += features.written[k] * per_feature_[k].code_bytes;
  }
  cost.cycles += wait_cycles_ * cost.instructions;
  return cost;
}

Estimate estimate_mcu(const Module& module, const Plan& plan, const Device& device) {
  return McuEstimator(module, plan, device).run();
}

}  // namespace tandem
