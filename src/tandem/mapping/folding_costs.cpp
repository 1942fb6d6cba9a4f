#include "tandem/mapping/folding_costs.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/cost/dataflow_simulation.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"

namespace tandem {

IsolatedNode FoldingCosts::isolate(const Module& network, NodeId id) {
  const Graph& graph = network.main();
  const Node& node = graph.nodes[id];
  IsolatedNode alone;
  alone.id = id;
  Builder builder(alone.module, Builder::add_graph(alone.module, "main"));
  std::vector<ValueId> inputs;
  std::map<ValueId, ValueId> known;
  for (const ValueId value : node.inputs) {
    if (value == kNone) {
      inputs.push_back(kNone);
    } else if (const Tensor* constant = constant_of(network, graph, value)) {
      inputs.push_back(builder.constant(*constant));
    } else {
      if (!known.contains(value))
        known[value] = builder.input(concat("x", known.size()), graph.values[value].type);
      inputs.push_back(known[value]);
    }
  }
  for (const ValueId output : builder.add_node(node.op->name(), inputs, node.attributes, "node"))
    builder.output(output);
  alone.space = folding_space(alone.module, 0);
  alone.kind = kinds_.emplace(print_module(alone.module), kinds_.size()).first->second;
  return alone;
}

ResourcePrices::ResourcePrices(const Unit& unit)
    : flip_flop_(0.25 * unit.number("luts") / unit.number("flip_flops")),
      block_ram_(unit.number("luts") / unit.number("block_rams")),
      dsp_(unit.number("luts") / unit.number("dsps")) {}

double ResourcePrices::of(const Area& area) const {
  return area.luts + area.flip_flops * flip_flop_ + area.block_rams * block_ram_ + area.dsps * dsp_;
}

const FoldingCost& FoldingCosts::of(const IsolatedNode& node, const Folding& folding,
                                    const std::vector<std::int64_t>& lanes) {
  std::string key = concat(node.kind, " ", folding.pe, " ", folding.simd, folding.dsp ? " dsp" : "",
                           folding.block_weights ? " block" : "");
  for (const std::int64_t count : lanes) key += concat(" ", count);
  const auto known = known_.find(key);
  if (known != known_.end()) return known->second;
  return known_[key] = find(node, folding, lanes);
}

FoldingCost FoldingCosts::find(const IsolatedNode& node, const Folding& folding,
                               const std::vector<std::int64_t>& lanes) const {
  if (dataflow_nodes(node.module).empty()) return {};
  DataflowChoices choices;
  choices.foldings[0] = folding;
  for (std::size_t i = 0; i < lanes.size(); ++i) choices.input_lanes[i] = lanes[i];
  for (std::size_t i = 0; i < node.module.main().outputs.size(); ++i)
    choices.output_lanes[i] = folding.pe;
  const Pipeline pipeline =
      build_pipeline(node.module, plan_dataflow(node.module, device_.name, choices));
  FoldingCost cost;
  bool joins = false;
  for (StageId s = 0; s < pipeline.stages.size(); ++s) {
    cost.cycles = std::max(cost.cycles, least_cycles(pipeline, s));
    const auto* compute = std::get_if<ComputeStage>(&pipeline.stages[s].body);
    joins = joins || (compute != nullptr && compute->head == HeadKind::kMaps);
  }
  for (const AreaPart& part : area_parts(pipeline)) {
    if (part.form == "top") continue;
    // The FIFO to the sink stands for the one to the next node; a map of the same width as the node
    // before it needs none in front.
    const bool to_sink =
        part.stage != kNone && std::holds_alternative<SinkStage>(pipeline.stages[part.stage].body);
    const bool joined = joins && lanes.size() == 1 && lanes[0] == folding.pe;
    if (part.form.starts_with("fifo") && (to_sink || joined)) continue;
    cost.area += area_of(part, device_.unit());
  }
  return cost;
}

}  // namespace tandem
