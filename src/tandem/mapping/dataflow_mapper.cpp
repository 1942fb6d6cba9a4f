#include "tandem/mapping/dataflow_mapper.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/cost/dataflow_cost.h"
#include "tandem/cost/dataflow_simulation.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/mapping/dataflow_buffers.h"
#include "tandem/plan/dataflow.h"

namespace tandem {
namespace {

using Lanes = std::vector<std::int64_t>;
using LanesOf = std::map<ValueId, std::int64_t>;

// Renamed values (Reshape) have the lanes of what they rename.
std::int64_t lanes_of(const Graph& graph, ValueId value, const LanesOf& lanes) {
  for (;;) {
    const auto found = lanes.find(value);
    if (found != lanes.end()) return found->second;
    const NodeId producer = graph.values[value].producer;
    if (producer == kNone) return 1;
    value = graph.nodes[producer].inputs[0];
  }
}

// Lanes of the streams that feed a node, by input of the isolated module.
Lanes lanes_before(const Module& module, NodeId node, const LanesOf& lanes) {
  const Graph& graph = module.main();
  Lanes before;
  std::vector<ValueId> seen;
  for (const ValueId value : graph.nodes[node].inputs) {
    if (value == kNone || constant_of(module, graph, value) != nullptr) continue;
    if (std::find(seen.begin(), seen.end(), value) != seen.end()) continue;
    seen.push_back(value);
    before.push_back(lanes_of(graph, value, lanes));
  }
  return before;
}

// Lanes with which a port keeps up, of at most so many bits per beat.
std::int64_t port_lanes(const TensorType& type, std::int64_t interval) {
  constexpr std::int64_t kMostBits = 512;
  const std::int64_t elements = element_count(type.static_shape());
  std::int64_t best = 1;
  for (std::int64_t lanes = 1; lanes <= elements; ++lanes) {
    if (elements % lanes != 0 || (lanes > 1 && lanes * type.format.bits() > kMostBits)) continue;
    best = lanes;
    if (elements / lanes <= interval) break;
  }
  return best;
}

std::string_view op_of(const IsolatedNode& node) { return node.module.main().nodes[0].op->name(); }
bool has_weights(const IsolatedNode& node) {
  return op_of(node) == "IntMatMul" || op_of(node) == "IntConv";
}
bool multiplies(const IsolatedNode& node) {
  return has_weights(node) || op_of(node) == "IntMul" || op_of(node) == "Rescale";
}

// Words of the memory of a node's constant weights; 0 where it has none.
constexpr std::int64_t kMostLogicWords = 4096;
std::int64_t weight_words(const IsolatedNode& node, const Folding& folding) {
  if (!has_weights(node)) return 0;
  const Graph& graph = node.module.main();
  const Tensor* weights = constant_of(node.module, graph, graph.nodes[0].inputs[1]);
  return weights == nullptr ? 0 : weights->size() / (folding.pe * folding.simd);
}

bool fits(const Estimate& estimate, const Unit& unit) {
  const double share = unit.number("usable_share");
  const auto within = [&](const char* figure, const char* resource) {
    return estimate.total.at(figure).value <= share * unit.number(resource);
  };
  return within("luts", "luts") && within("flip_flops", "flip_flops") &&
         within("brams", "block_rams") && within("dsps", "dsps");
}

// Chooses the foldings of one network for one interval, node after node.
class FoldingChooser {
 public:
  FoldingChooser(const Module& module, const std::vector<IsolatedNode>& nodes, FoldingCosts& costs,
                 const ResourcePrices& prices, std::int64_t interval, bool dsp)
      : module_(module), costs_(costs), prices_(prices), interval_(interval), dsp_(dsp) {
    const Graph& graph = module.main();
    for (std::size_t port = 0; port < graph.inputs.size(); ++port) {
      choices_.input_lanes[port] = lanes_[graph.inputs[port]] =
          port_lanes(graph.values[graph.inputs[port]].type, interval);
    }
    for (const IsolatedNode& node : nodes) add(node);
    for (std::size_t port = 0; port < graph.outputs.size(); ++port)
      choices_.output_lanes[port] = port_lanes(graph.values[graph.outputs[port]].type, interval);
  }

  const DataflowChoices& choices() const { return choices_; }
  std::int64_t cycles() const { return cycles_; }  // of the slowest node
  double price() const { return price_; }

 private:
  // Keeps up first, then cheap; where nothing keeps up, fast.
  bool better(const FoldingCost& a, const FoldingCost& b) const {
    const bool a_keeps = a.cycles <= interval_, b_keeps = b.cycles <= interval_;
    if (a_keeps != b_keeps) return a_keeps;
    if (!a_keeps && a.cycles != b.cycles) return a.cycles < b.cycles;
    return prices_.of(a.area) < prices_.of(b.area);
  }

  void add(const IsolatedNode& node) {
    const Lanes before = lanes_before(module_, node.id, lanes_);
    Folding best;
    std::optional<FoldingCost> chosen;
    const auto consider = [&](const Folding& folding) {
      const FoldingCost& cost = costs_.of(node, folding, before);
      if (!chosen || better(cost, *chosen)) {
        chosen = cost;
        best = folding;
      }
      return cost.cycles;
    };
    for (const std::int64_t pe : node.space.pe) {
      for (const std::int64_t simd : node.space.simd) {
        // More operands per cycle than the interval asks for only cost more.
        if (consider({pe, simd, false, false}) <= interval_) break;
      }
    }
    const Folding plain = best;
    // Deep memories never stay in logic, whatever they cost there: tools take very long for them.
    const bool deep = weight_words(node, plain) > kMostLogicWords;
    if (deep) chosen.reset();
    if (dsp_ && multiplies(node) && !deep) consider({plain.pe, plain.simd, true, false});
    if (has_weights(node)) {
      consider({plain.pe, plain.simd, false, true});
      if (dsp_) consider({plain.pe, plain.simd, true, true});
    }
    choices_.foldings[node.id] = best;
    cycles_ = std::max(cycles_, chosen->cycles);
    price_ += prices_.of(chosen->area);
    for (const ValueId output : module_.main().nodes[node.id].outputs) lanes_[output] = best.pe;
  }

  const Module& module_;
  FoldingCosts& costs_;
  const ResourcePrices& prices_;
  std::int64_t interval_;
  bool dsp_;
  DataflowChoices choices_;
  LanesOf lanes_;
  std::int64_t cycles_ = 1;
  double price_ = 0;
};

}  // namespace

DataflowMapper::DataflowMapper(const Device& device, const DataflowMapOptions& options)
    : device_(device), options_(options), prices_(device.unit()), costs_(device) {
  ensure(options.step > 1, "intervals must become shorter");
}

const std::vector<IsolatedNode>& DataflowMapper::isolated(const Module& module) {
  std::string text = print_module(module);
  if (text == network_) return nodes_;
  throw_issues(check_dataflow(module), "circuit");
  nodes_.clear();
  for (const NodeId node : dataflow_nodes(module)) nodes_.push_back(costs_.isolate(module, node));
  network_ = std::move(text);
  return nodes_;
}

std::vector<std::int64_t> DataflowMapper::intervals(const Module& module) {
  std::int64_t slowest = 1;
  const auto& nodes = isolated(module);
  for (const IsolatedNode& node : nodes)
    slowest = std::max(slowest, costs_.of(node, {}, lanes_before(module, node.id, {})).cycles);
  const double most = options_.most_devices * device_.unit().number("luts");
  std::vector<std::int64_t> intervals;
  std::int64_t reached = INT64_MAX;
  auto wanted = static_cast<double>(slowest);
  while (wanted >= 1 && intervals.size() < options_.most) {
    const auto interval = static_cast<std::int64_t>(std::ceil(wanted));
    wanted /= options_.step;
    const FoldingChooser chooser(module, nodes, costs_, prices_, interval, true);
    const bool useful = chooser.cycles() < reached && chooser.price() <= most;
    if (!intervals.empty() && !useful) {
      // A step may be too small for the foldings that there are; the next one may do.
      if (chooser.price() > most || chooser.cycles() > interval) break;
      continue;
    }
    reached = chooser.cycles();
    intervals.push_back(interval);
  }
  return intervals;
}

DataflowChoices DataflowMapper::foldings(const Module& module, std::int64_t interval, bool dsp) {
  return FoldingChooser(module, isolated(module), costs_, prices_, interval, dsp).choices();
}

SimulationResult DataflowMapper::set_buffers(Pipeline& pipeline, std::int64_t interval) {
  std::vector<std::int64_t*> sizes;
  for (Stream& stream : pipeline.streams) sizes.push_back(&stream.capacity);
  for (Stage& stage : pipeline.stages)
    if (auto* move = std::get_if<MoveStage>(&stage.body)) sizes.push_back(&move->depth);
  const auto use = [&](const Buffers& buffers) {
    for (std::size_t i = 0; i < sizes.size(); ++i) *sizes[i] = buffers[i];
  };
  const std::string key = concat(interval, "\n", timing_of(pipeline));
  const auto known = sized_.find(key);
  if (known != sized_.end()) {
    use(known->second.buffers);
    return known->second.cycles;
  }
  const auto wanted = static_cast<double>(std::max(interval, least_interval(pipeline)));
  const std::string kin = concat(interval, "\n", timing_of(pipeline, false));
  SimulationResult cycles;
  const auto similar = similar_.find(kin);
  if (similar != similar_.end()) {
    use(similar->second);
    cycles = simulate(pipeline);
  }
  if (!cycles.periodic || cycles.interval > wanted) {
    size_buffers(pipeline,
                 {.interval = static_cast<double>(interval), .work = options_.buffer_work});
    cycles = simulate(pipeline);
  }
  Buffers& buffers = similar_[kin];
  buffers.clear();
  for (const std::int64_t* size : sizes) buffers.push_back(*size);
  sized_[key] = {buffers, cycles};
  return cycles;
}

MappedDataflow DataflowMapper::map(const Module& module, std::int64_t interval, bool dsp) {
  MappedDataflow result;
  result.wanted_interval = interval;
  result.plan = plan_dataflow(module, device_.name, foldings(module, interval, dsp));
  Pipeline pipeline = build_pipeline(module, result.plan);
  const SimulationResult cycles = set_buffers(pipeline, interval);
  set_capacities(result.plan, pipeline);
  result.estimate = estimate_dataflow(module, result.plan, device_, pipeline, cycles);
  result.fits = fits(result.estimate, device_.unit());
  return result;
}

std::vector<MappedDataflow> DataflowMapper::candidates(const Module& module) {
  std::vector<MappedDataflow> candidates;
  const auto cycles = [](const MappedDataflow& mapped) {
    return mapped.estimate.total.at("interval_cycles").value;
  };
  for (const std::int64_t interval : intervals(module)) {
    MappedDataflow next = map(module, interval);
    if (!candidates.empty() && !next.fits && candidates.back().fits) break;
    if (candidates.empty() || cycles(next) < cycles(candidates.back()))
      candidates.push_back(std::move(next));
  }
  return candidates;
}

}  // namespace tandem
