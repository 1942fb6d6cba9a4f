#include "tandem/compress/layer_table.h"

#include <algorithm>

#include "tandem/graph/operator.h"

namespace tandem {

namespace {

// Adds what was measured for a site of the layer: the greater noise where it has two.
void add_noise(RecodedLayer& layer, const std::string& site, bool is_weights,
               const std::vector<Sensitivity>& sensitivities) {
  for (const Sensitivity& measured : sensitivities) {
    const auto& sites = measured.choice.sites;
    if (measured.choice.is_weights != is_weights ||
        std::find(sites.begin(), sites.end(), site) == sites.end())
      continue;
    for (const auto& [format, noise] : measured.noise)
      layer.noise[format.bits()] = std::max(layer.noise[format.bits()], noise);
  }
}

}  // namespace

std::vector<RecodedLayer> recoded_layers(const Recoder& recoder, const CompressRecipe& recipe,
                                         const std::vector<Sensitivity>& sensitivities) {
  const Graph& graph = recoder.network().main();
  const QuantizationSites& sites = recoder.sites();
  const auto set_result = [&](RecodedLayer& layer, ValueId value) {
    for (const ActivationSite& site : sites.activations) {
      if (site.value != value) continue;
      const Quantizer quantizer = recoder.quantizer(site, recipe);
      layer.result_format = quantizer.format.name();
      layer.scale = quantizer.scale;
      layer.zero = quantizer.zero;
      layer.token_scales =
          recipe.token_scales && takes_token_scales(recoder.network(), sites, site);
      add_noise(layer, site.name, false, sensitivities);
    }
  };
  std::vector<RecodedLayer> layers;
  for (const ValueId input : graph.inputs) {
    RecodedLayer layer{graph.values[input].name, "input", "", 0, "", 0, 0, false, {}};
    if (const auto codes = sites.inputs.find(input); codes != sites.inputs.end()) {
      layer.result_format = codes->second.format.name();
      layer.scale = codes->second.scale.real(0);
    }
    set_result(layer, input);
    layers.push_back(layer);
  }
  for (NodeId id = 0; id < graph.nodes.size(); ++id) {
    const Node& node = graph.nodes[id];
    RecodedLayer layer{node.name, std::string(node.op->name()), "", 0, "", 0, 0, false, {}};
    for (const WeightSite& site : sites.weights) {
      if (site.node != id) continue;
      layer.weight_format = recipe.format_of(site).name();
      const std::int64_t columns = site.elements / std::max<std::int64_t>(1, site.channels);
      layer.weight_bytes = (coded_bits(site.channels, columns, recipe.rules_of(site)) + 7) / 8;
      add_noise(layer, site.layer, true, sensitivities);
    }
    for (const ValueId output : node.outputs)
      if (output != kNone) set_result(layer, output);
    if (!layer.weight_format.empty() || !layer.result_format.empty()) layers.push_back(layer);
  }
  return layers;
}

}  // namespace tandem
