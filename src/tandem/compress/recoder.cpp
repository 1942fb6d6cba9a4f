#include "tandem/compress/recoder.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/base/progress.h"
#include "tandem/compress/hybrid.h"
#include "tandem/compress/measure.h"
#include "tandem/data/batch.h"
#include "tandem/transform/common_subexpressions.h"
#include "tandem/transform/constant_fold.h"
#include "tandem/transform/fold_batch_norm.h"
#include "tandem/transform/hoist_clamps.h"
#include "tandem/transform/pass_log.h"
#include "tandem/transform/recognize.h"

namespace tandem {

void prepare_for_quantization(Module& network) {
  make_real(network);
  run_pass("fold_constants", network, fold_constants);
  run_pass("merge_common_subexpressions", network, merge_common_subexpressions);
  run_pass("recognize_gelu", network, recognize_gelu);
  run_pass("fold_batch_norm", network, fold_batch_norm);
  run_pass("hoist_clamps", network, hoist_clamps);
  run_pass("remove_unused", network, remove_unused);
}

std::map<std::string, InputCoding> codings_of_samples(const Module& network, const DataSet& data) {
  const Graph& graph = network.main();
  if (graph.inputs.size() != 1) {
    throw Error("the network has ", graph.inputs.size(),
                " inputs; a data set serves networks with one");
  }
  const Value& input = graph.values[graph.inputs[0]];
  const BatchLayout layout(data, input.type);
  if (!data.samples.format().is_integer() || !input.type.format.is_float()) return {};
  return {{input.name, {data.samples.format(), layout.scale(), layout.offset()}}};
}

namespace {

// Before calibration, which would only see what comes of them.
const Module& with_finite_weights(const Module& network, const QuantizationSites& sites) {
  const Graph& graph = network.main();
  for (const WeightSite& site : sites.weights) {
    const Node& node = graph.nodes[site.node];
    for (std::size_t i = 1; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == kNone) continue;
      const Tensor* constant = constant_of(network, graph, node.inputs[i]);
      if (constant == nullptr || constant->format().is_uniform()) continue;
      const std::vector<float> values = constant->to_floats();
      const auto bad = std::ranges::find_if(values, [](float v) { return !std::isfinite(v); });
      if (bad == values.end()) continue;
      std::int64_t channel = bad - values.begin();
      if (i == 1) {
        const auto axis = static_cast<std::size_t>(site.axis);
        channel = channel / row_major_strides(constant->shape())[axis] % constant->shape()[axis];
      }
      throw Error("the ", i == 1 ? "weights" : "biases", " of '", site.layer, "': output channel ",
                  channel, " (from 0) holds ", *bad,
                  "; the network's file is damaged, or its training diverged");
    }
  }
  return network;
}

SiteRules with_codings(const Module& network, const DataSet& data, SiteRules rules) {
  rules.inputs.merge(codings_of_samples(network, data));
  return rules;
}

}  // namespace

Recoder::Recoder(Module prepared, const SiteRules& rules)
    : network_(std::move(prepared)),
      sites_(find_sites(network_, rules)),
      calibration_(with_finite_weights(network_, sites_), sites_) {
  constexpr std::array<double, 3> kRange = {-1, 0, 1};
  calibration_.assume(kRange);
}

Recoder::Recoder(Module prepared, const DataSet& calibration, SiteRules rules,
                 MomentsWanted moments, bool importance)
    : network_(std::move(prepared)),
      sites_(find_sites(network_, with_codings(network_, calibration, std::move(rules)))),
      calibration_(with_finite_weights(network_, sites_), sites_, moments, importance) {
  // Weights alone, each to its nearest code, ask for no values.
  if (sites_.activations.empty() && moments == MomentsWanted::kNothing) return;
  Progress progress("calibrating", calibration.count());
  for_each_batch(network_, calibration, [&](std::span<const Tensor> inputs) {
    calibration_.add(inputs);
    progress.advance(inputs.front().shape().empty() ? 1 : inputs.front().shape()[0]);
  });
}

}  // namespace tandem
