#include "tandem/mapping/dataflow_folding.h"

#include <algorithm>
#include <map>
#include <string>

#include "tandem/base/error.h"
#include "tandem/cost/dataflow_simulation.h"
#include "tandem/graph/operator.h"
#include "tandem/plan/pipeline.h"

namespace tandem {
namespace {

// One folding of a node with the cycles per frame of its slowest stage.
struct Option {
  Folding folding;
  std::int64_t cycles = 0;
};

class FoldingBalancer {
 public:
  FoldingBalancer(const Module& module, const FoldingRules& rules)
      : module_(module), rules_(rules), nodes_(dataflow_nodes(module)) {
    for (const NodeId node : nodes_) options_[node] = options_of(node);
    measure();
  }

  std::vector<DataflowChoices> run() {
    std::vector<DataflowChoices> result{choices_within(slowest())};
    std::int64_t wanted = slowest();
    while (result.size() < rules_.most) {
      const auto next = static_cast<std::int64_t>(static_cast<double>(wanted) / rules_.ratio);
      const std::int64_t interval = std::max(next, fastest());
      if (interval >= wanted) break;
      wanted = interval;
      result.push_back(choices_within(wanted));
    }
    return result;
  }

 private:
  // Foldings from few operations side by side to many; of equals the one with fewer results, whose
  // sums share an adder tree.
  std::vector<Option> options_of(NodeId node) const {
    const FoldingSpace space = folding_space(module_, node);
    std::vector<Option> options;
    for (const std::int64_t pe : space.pe) {
      for (const std::int64_t simd : space.simd) {
        if (pe * simd > rules_.lanes && pe * simd > 1) continue;
        Option option;
        option.folding.pe = pe;
        option.folding.simd = simd;
        option.folding.dsp = rules_.dsp;
        option.folding.block_weights =
            rules_.block_bits > 0 && weight_bits(node) >= rules_.block_bits;
        options.push_back(option);
      }
    }
    ensure(!options.empty(), "a node without foldings");
    std::stable_sort(options.begin(), options.end(), [](const Option& a, const Option& b) {
      const std::int64_t left = a.folding.pe * a.folding.simd,
                         right = b.folding.pe * b.folding.simd;
      return left != right ? left < right : a.folding.pe < b.folding.pe;
    });
    return options;
  }

  std::int64_t weight_bits(NodeId id) const {
    const Graph& graph = module_.main();
    const std::string_view op = graph.nodes[id].op->name();
    if (op != "IntConv" && op != "IntMatMul") return 0;
    const Tensor* weights = constant_of(module_, graph, graph.nodes[id].inputs[1]);
    return weights == nullptr ? 0 : weights->size() * weights->format().bits();
  }

  // The cycles of all options: one pipeline serves the k-th option of every node.
  void measure() {
    std::size_t most = 0;
    for (const auto& [node, options] : options_) most = std::max(most, options.size());
    for (std::size_t k = 0; k < most; ++k) {
      DataflowChoices choices;
      for (const NodeId node : nodes_) choices.foldings[node] = option(node, k).folding;
      const Pipeline pipeline = build_pipeline(module_, plan_dataflow(module_, "", choices));
      std::map<NodeId, std::int64_t> cycles;
      for (StageId stage = 0; stage < pipeline.stages.size(); ++stage) {
        const auto& nodes = pipeline.stages[stage].nodes;
        if (nodes.empty()) continue;
        std::int64_t& slowest = cycles[nodes.front()];
        slowest = std::max(slowest, least_cycles(pipeline, stage));
      }
      for (const NodeId node : nodes_) {
        if (k >= options_[node].size()) continue;
        // A node that joined the stage before it keeps up with one beat per cycle.
        const auto found = cycles.find(node);
        options_[node][k].cycles =
            found != cycles.end() ? found->second : elements(node) / option(node, k).folding.pe;
      }
    }
  }

  std::int64_t elements(NodeId node) const {
    const Graph& graph = module_.main();
    return element_count(graph.values[graph.nodes[node].outputs[0]].type.static_shape());
  }

  const Option& option(NodeId node, std::size_t k) const {
    const auto& options = options_.at(node);
    return options[std::min(k, options.size() - 1)];
  }

  std::int64_t slowest() const {
    std::int64_t cycles = 1;
    for (const NodeId node : nodes_) cycles = std::max(cycles, option(node, 0).cycles);
    return cycles;
  }

  // The interval when every node is as wide as it can be.
  std::int64_t fastest() const {
    std::int64_t interval = 1;
    for (const auto& [node, options] : options_) {
      std::int64_t least = options.front().cycles;
      for (const Option& option : options) least = std::min(least, option.cycles);
      interval = std::max(interval, least);
    }
    return interval;
  }

  DataflowChoices choices_within(std::int64_t interval) const {
    DataflowChoices choices;
    for (const NodeId node : nodes_) {
      const auto& options = options_.at(node);
      const auto found = std::find_if(options.begin(), options.end(), [&](const Option& option) {
        return option.cycles <= interval;
      });
      ensure(found != options.end(), "no folding is fast enough");
      choices.foldings[node] = found->folding;
    }
    return choices;
  }

  const Module& module_;
  const FoldingRules& rules_;
  std::vector<NodeId> nodes_;
  std::map<NodeId, std::vector<Option>> options_;
};

}  // namespace

std::vector<DataflowChoices> balanced_foldings(const Module& module, const FoldingRules& rules) {
  return FoldingBalancer(module, rules).run();
}

}  // namespace tandem
