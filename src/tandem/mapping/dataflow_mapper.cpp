#include "tandem/mapping/dataflow_mapper.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>

#include "tandem/base/error.h"
#include "tandem/cost/dataflow_area.h"
#include "tandem/cost/dataflow_cost.h"
#include "tandem/cost/dataflow_simulation.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/operator.h"
#include "tandem/mapping/dataflow_buffers.h"
#include "tandem/plan/dataflow.h"

namespace tandem {
namespace {

// One node alone: its computed operands are inputs.
Module isolated(const Module& module, NodeId id) {
  const Graph& graph = module.main();
  const Node& node = graph.nodes[id];
  Module alone;
  Builder builder(alone, Builder::add_graph(alone, "main"));
  std::vector<ValueId> inputs;
  std::map<ValueId, ValueId> known;
  for (const ValueId value : node.inputs) {
    if (value == kNone) {
      inputs.push_back(kNone);
      continue;
    }
    if (const Tensor* constant = constant_of(module, graph, value)) {
      inputs.push_back(builder.constant(*constant));
      continue;
    }
    if (!known.contains(value))
      known[value] = builder.input(concat("x", known.size()), graph.values[value].type);
    inputs.push_back(known[value]);
  }
  for (const ValueId output : builder.add_node(node.op->name(), inputs, node.attributes, node.name))
    builder.output(output);
  return alone;
}

class FoldingSearch {
 public:
  FoldingSearch(const Module& module, const Device& device) : module_(module), device_(device) {
    throw_issues(check_dataflow(module), "circuit");
    const Unit& unit = device.unit();
    price_ = {1, 0.25 * unit.number("luts") / unit.number("flip_flops"),
              unit.number("luts") / unit.number("block_rams"),
              unit.number("luts") / unit.number("dsps")};
    for (const NodeId node : dataflow_nodes(module)) {
      Unfolded unfolded{node, isolated(module, node), {}};
      unfolded.space = folding_space(unfolded.alone, 0);
      nodes_.push_back(std::move(unfolded));
    }
  }

  // Cycles of the slowest node when nothing is folded out.
  std::int64_t slowest() {
    std::int64_t cycles = 1;
    for (Unfolded& node : nodes_)
      cycles = std::max(cycles, evaluate(node, {}, lanes_before(node, {})).cycles);
    return cycles;
  }

  DataflowChoices choose(std::int64_t interval) {
    const Graph& graph = module_.main();
    DataflowChoices choices;
    std::map<ValueId, std::int64_t> lanes;
    for (std::size_t port = 0; port < graph.inputs.size(); ++port) {
      choices.input_lanes[port] = lanes[graph.inputs[port]] =
          port_lanes(graph.inputs[port], interval);
    }
    for (Unfolded& node : nodes_) {
      const Folding folding = cheapest(node, interval, lanes);
      choices.foldings[node.id] = folding;
      for (const ValueId output : graph.nodes[node.id].outputs) lanes[output] = folding.pe;
    }
    for (std::size_t port = 0; port < graph.outputs.size(); ++port)
      choices.output_lanes[port] = port_lanes(graph.outputs[port], interval);
    return choices;
  }

 private:
  struct Unfolded {
    NodeId id;
    Module alone;
    FoldingSpace space;
  };
  struct Choice {
    std::int64_t cycles;
    double cost;
  };
  struct Prices {
    double lut, flip_flop, block_ram, dsp;
  };
  using Lanes = std::vector<std::int64_t>;
  using Key = std::tuple<NodeId, std::int64_t, std::int64_t, bool, bool, Lanes>;

  // Lanes with which a port keeps up, of at most so many bits per beat.
  std::int64_t port_lanes(ValueId value, std::int64_t interval) const {
    constexpr std::int64_t kMostBits = 512;
    const TensorType& type = module_.main().values[value].type;
    const std::int64_t elements = element_count(type.static_shape());
    std::int64_t best = 1;
    for (std::int64_t lanes = 1; lanes <= elements; ++lanes) {
      if (elements % lanes != 0 || (lanes > 1 && lanes * type.format.bits() > kMostBits)) continue;
      best = lanes;
      if (elements / lanes <= interval) break;
    }
    return best;
  }

  // Lanes of the streams that feed a node, by input of the isolated module.
  Lanes lanes_before(const Unfolded& node, const std::map<ValueId, std::int64_t>& lanes) const {
    const Graph& graph = module_.main();
    Lanes before;
    std::vector<ValueId> seen;
    for (const ValueId value : graph.nodes[node.id].inputs) {
      if (value == kNone || constant_of(module_, graph, value) != nullptr) continue;
      if (std::find(seen.begin(), seen.end(), value) != seen.end()) continue;
      seen.push_back(value);
      before.push_back(lanes_of(value, lanes));
    }
    return before;
  }

  // Renamed values (Reshape) have the lanes of what they rename.
  std::int64_t lanes_of(ValueId value, const std::map<ValueId, std::int64_t>& lanes) const {
    const Graph& graph = module_.main();
    for (;;) {
      const auto found = lanes.find(value);
      if (found != lanes.end()) return found->second;
      const NodeId producer = graph.values[value].producer;
      if (producer == kNone) return 1;
      value = graph.nodes[producer].inputs[0];
    }
  }

  const Choice& evaluate(Unfolded& node, const Folding& folding, const Lanes& before) {
    const Key key{node.id, folding.pe, folding.simd, folding.dsp, folding.block_weights, before};
    const auto known = choices_.find(key);
    if (known != choices_.end()) return known->second;
    DataflowChoices choices;
    choices.foldings[0] = folding;
    const std::vector<NodeId> stages = dataflow_nodes(node.alone);
    if (stages.empty()) return choices_[key] = {1, 0};
    for (std::size_t i = 0; i < before.size(); ++i) choices.input_lanes[i] = before[i];
    for (std::size_t i = 0; i < node.alone.main().outputs.size(); ++i)
      choices.output_lanes[i] = folding.pe;
    const Plan plan = plan_dataflow(node.alone, device_.name, choices);
    const Pipeline pipeline = build_pipeline(node.alone, plan);
    Choice choice{1, 0};
    bool joins = false;
    for (StageId s = 0; s < pipeline.stages.size(); ++s) {
      choice.cycles = std::max(choice.cycles, least_cycles(pipeline, s));
      const auto* compute = std::get_if<ComputeStage>(&pipeline.stages[s].body);
      joins = joins || (compute != nullptr && compute->head == HeadKind::kMaps);
    }
    for (const AreaPart& part : area_parts(pipeline)) {
      if (part.form == "top") continue;
      const bool fifo = part.form.starts_with("fifo");
      // The FIFO to the sink stands for the one to the next node; a map of the same width as the
      // node before it needs none in front.
      if (fifo && part.stage != kNone &&
          (std::holds_alternative<SinkStage>(pipeline.stages[part.stage].body) ||
           (joins && before.size() == 1 && before[0] == folding.pe)))
        continue;
      const Area area = area_of(part, device_.unit());
      choice.cost += area.luts * price_.lut + area.flip_flops * price_.flip_flop +
                     area.block_rams * price_.block_ram + area.dsps * price_.dsp;
    }
    return choices_[key] = choice;
  }

  Folding cheapest(Unfolded& node, std::int64_t interval,
                   const std::map<ValueId, std::int64_t>& lanes) {
    const Lanes before = lanes_before(node, lanes);
    Folding best;
    std::optional<Choice> chosen;
    const auto better = [&](const Choice& a, const Choice& b) {
      const bool a_keeps = a.cycles <= interval, b_keeps = b.cycles <= interval;
      if (a_keeps != b_keeps) return a_keeps;
      if (!a_keeps && a.cycles != b.cycles) return a.cycles < b.cycles;
      return a.cost < b.cost;
    };
    const auto consider = [&](const Folding& folding) {
      const Choice choice = evaluate(node, folding, before);
      if (!chosen || better(choice, *chosen)) {
        chosen = choice;
        best = folding;
      }
      return choice;
    };
    for (const std::int64_t pe : node.space.pe) {
      for (const std::int64_t simd : node.space.simd) {
        // More operands per cycle than the interval asks for only cost more.
        if (consider({pe, simd, false, false}).cycles <= interval) break;
      }
    }
    const Folding plain = best;
    if (multiplies(node)) consider({plain.pe, plain.simd, true, false});
    if (has_weights(node)) {
      consider({plain.pe, plain.simd, false, true});
      if (multiplies(node)) consider({plain.pe, plain.simd, true, true});
    }
    return best;
  }

  static bool multiplies(const Unfolded& node) {
    const std::string_view op = node.alone.main().nodes[0].op->name();
    return op == "IntMatMul" || op == "IntConv" || op == "IntMul" || op == "Rescale";
  }
  static bool has_weights(const Unfolded& node) {
    const std::string_view op = node.alone.main().nodes[0].op->name();
    return op == "IntMatMul" || op == "IntConv";
  }

  const Module& module_;
  const Device& device_;
  Prices price_{};
  std::vector<Unfolded> nodes_;
  std::map<Key, Choice> choices_;
};

bool fits(const Estimate& estimate, const Unit& unit) {
  const double share = unit.number("usable_share");
  const auto within = [&](const char* figure, const char* resource) {
    return estimate.total.at(figure).value <= share * unit.number(resource);
  };
  return within("luts", "luts") && within("flip_flops", "flip_flops") &&
         within("brams", "block_rams") && within("dsps", "dsps");
}

MappedDataflow mapped(const Module& module, const Device& device, FoldingSearch& search,
                      std::int64_t interval, const DataflowMapOptions& options) {
  MappedDataflow result;
  result.wanted_interval = interval;
  result.plan = plan_dataflow(module, device.name, search.choose(interval));
  size_buffers(module, result.plan,
               {.interval = static_cast<double>(interval), .work = options.buffer_work});
  result.estimate = estimate_dataflow(module, result.plan, device);
  result.fits = fits(result.estimate, device.unit());
  return result;
}

}  // namespace

MappedDataflow map_for_interval(const Module& module, const Device& device, std::int64_t interval,
                                const DataflowMapOptions& options) {
  FoldingSearch search(module, device);
  return mapped(module, device, search, interval, options);
}

std::vector<MappedDataflow> dataflow_candidates(const Module& module, const Device& device,
                                                const DataflowMapOptions& options) {
  ensure(options.step > 1, "intervals must become shorter");
  FoldingSearch search(module, device);
  std::vector<MappedDataflow> candidates;
  double interval = static_cast<double>(search.slowest());
  for (std::size_t i = 0; i < 4 * options.most && candidates.size() < options.most && interval >= 1;
       ++i, interval /= options.step) {
    MappedDataflow next =
        mapped(module, device, search, static_cast<std::int64_t>(std::ceil(interval)), options);
    const bool faster =
        candidates.empty() || next.estimate.total.at("interval_cycles").value <
                                  candidates.back().estimate.total.at("interval_cycles").value;
    if (!candidates.empty() && !next.fits && candidates.back().fits) break;
    if (faster) candidates.push_back(std::move(next));
  }
  return candidates;
}

MappedDataflow map_dataflow(const Module& module, const Device& device,
                            const DataflowMapOptions& options) {
  auto candidates = dataflow_candidates(module, device, options);
  for (std::size_t i = candidates.size(); i-- > 0;)
    if (candidates[i].fits) return std::move(candidates[i]);
  return std::move(candidates.front());
}

}  // namespace tandem
