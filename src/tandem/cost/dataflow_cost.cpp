#include "tandem/cost/dataflow_cost.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/cost/dataflow_area.h"
#include "tandem/cost/dataflow_features.h"
#include "tandem/cost/dataflow_simulation.h"
#include "tandem/graph/operator.h"
#include "tandem/plan/dataflow.h"

namespace tandem {
namespace {

Figure simulated(double value) { return {value, Source::kSimulated, 0}; }

double weight_bits(const Pipeline& pipeline) {
  double bits = 0;
  for (const Stage& stage : pipeline.stages) {
    const auto* compute = std::get_if<ComputeStage>(&stage.body);
    if (compute == nullptr || !compute->weights) continue;
    bits +=
        static_cast<double>(compute->weights->integers.size()) * compute->weights->format.bits();
  }
  return bits;
}

double rom_bits(const RomShape& rom) {
  return rom.words > 1 ? static_cast<double>(rom.words * rom.bits) : 0;
}

double table_bits(const Pipeline& pipeline) {
  double bits = 0;
  for (const Stage& stage : pipeline.stages) {
    if (const auto* constant = std::get_if<ConstantStage>(&stage.body))
      bits += rom_bits(constant_rom(*constant, pipeline.streams[stage.outputs[0]]));
    const auto* compute = std::get_if<ComputeStage>(&stage.body);
    if (compute == nullptr) continue;
    if (compute->weights && !compute->dsp) bits += rom_bits(starts_rom(*compute));
    for (const MapOp& map : compute->maps)
      bits += map_table_bits(map) + rom_bits(map_constants_rom(map, compute->pe));
  }
  return bits;
}

double io_bytes(const Pipeline& pipeline) {
  double bytes = 0;
  for (const Stage& stage : pipeline.stages) {
    const bool source = std::holds_alternative<SourceStage>(stage.body);
    if (!source && !std::holds_alternative<SinkStage>(stage.body)) continue;
    const Stream& stream = pipeline.streams[source ? stage.outputs[0] : stage.inputs[0]];
    const std::int64_t lanes = source ? stream.lanes : stream.read_lanes();
    const std::int64_t beats = source ? stream.beats : stream.read_beats();
    const std::int64_t bytes_of_beat = (lanes * stream.format.bits() + 7) / 8;
    bytes += static_cast<double>(beats * bytes_of_beat);
  }
  return bytes;
}

void add_area(Figures& figures, const Area& area, const Unit& unit) {
  const auto add = [&](const char* key, double value, Source source, double uncertainty) {
    Figure& figure = figures[key];
    figure.value += value;
    figure.source = source;
    figure.relative_uncertainty = uncertainty;
  };
  add("luts", area.luts, unit.costs_provenance.source, kLutUncertainty);
  add("flip_flops", area.flip_flops, unit.costs_provenance.source, kLutUncertainty);
  add("brams", area.block_rams, Source::kAnalytic, 0.1);
  add("dsps", area.dsps, Source::kAnalytic, 0.1);
}

double multiply_accumulates(const Module& module, const Plan& plan) {
  const Graph& graph = module.function(plan.function);
  double count = 0;
  for (const Step& step : plan.steps)
    for (const NodeId id : step.nodes)
      count += static_cast<double>(graph.nodes[id]
                                       .op->work({module, graph, graph.nodes[id]})
                                       .total(OperationKind::kMultiplyAccumulate));
  return count;
}

std::string step_name(const Module& module, const Plan& plan, const Step& step) {
  const Graph& graph = module.function(plan.function);
  if (!step.nodes.empty()) return graph.nodes[step.nodes.front()].name;
  const auto port = static_cast<std::size_t>(step.tile.at("port"));
  return graph.values[(step.form == "source" ? graph.inputs : graph.outputs)[port]].name;
}

}  // namespace

Estimate estimate_dataflow(const Module& module, const Plan& plan, const Device& device) {
  if (device.kind() != "dataflow_fpga")
    throw Error("device ", device.name, " is of kind ", device.kind(),
                ", not dataflow_fpga; choose another device");
  const Pipeline pipeline = build_pipeline(module, plan);
  return estimate_dataflow(module, plan, device, pipeline, simulate(pipeline));
}

Estimate estimate_dataflow(const Module& module, const Plan& plan, const Device& device,
                           const Pipeline& pipeline, const SimulationResult& cycles) {
  const Unit& unit = device.unit();
  if (!cycles.deadlock.empty())
    throw Error("the plan's FIFOs are too small: ", cycles.deadlock, "; size them again");
  Estimate estimate;
  estimate.device = device.name;
  for (const Step& step : plan.steps) estimate.steps.push_back({step_name(module, plan, step), {}});
  const auto areas = area_by_stage(pipeline, unit);
  Area whole;
  for (StageId s = 0; s < areas.size(); ++s) {
    whole += areas[s];
    if (s == pipeline.stages.size()) break;
    Figures& figures = estimate.steps[pipeline.stages[s].step].figures;
    add_area(figures, areas[s], unit);
    Figure& busy = figures["busy_cycles"];
    busy = simulated(std::max(busy.value, static_cast<double>(least_cycles(pipeline, s))));
  }
  Figures& total = estimate.total;
  add_area(total, whole, unit);
  const double hertz = device.clock.hertz;
  total["latency_cycles"] = simulated(static_cast<double>(cycles.latency));
  total["interval_cycles"] = simulated(cycles.interval);
  total["latency_seconds"] = simulated(static_cast<double>(cycles.latency) / hertz);
  total["interval_seconds"] = simulated(cycles.interval / hertz);
  total["rate_per_second"] = simulated(hertz / cycles.interval);
  total["bram_bytes"] = {whole.block_rams * 4608, Source::kAnalytic, 0.1};
  total["weights_bytes"] = exact_figure(weight_bits(pipeline) / 8);
  total["tables_bytes"] = exact_figure(table_bits(pipeline) / 8);
  total["io_bytes"] = exact_figure(io_bytes(pipeline));
  total["multiply_accumulates"] = exact_figure(multiply_accumulates(module, plan));
  const double watts =
      unit.number("static_milliwatts") * 1e-3 + unit.number("lut_microwatts") * 1e-6 * whole.luts;
  total["energy_joules"] = {watts * cycles.interval / hertz, Source::kAssumed, 0.5};
  return estimate;
}

}  // namespace tandem
