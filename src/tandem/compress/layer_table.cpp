#include "tandem/compress/layer_table.h"

#include "tandem/graph/operator.h"

namespace tandem {

std::vector<RecodedLayer> recoded_layers(const Recoder& recoder, const CompressRecipe& recipe) {
  const Graph& graph = recoder.network().main();
  const QuantizationSites& sites = recoder.sites();
  const auto set_result = [&](RecodedLayer& layer, ValueId value) {
    for (const ActivationSite& site : sites.activations) {
      if (site.value != value) continue;
      const UniformQuantizer quantizer = recoder.quantizer(site, recipe);
      layer.result_format = quantizer.format.name();
      layer.scale = quantizer.scale;
      layer.zero = quantizer.zero;
    }
  };
  std::vector<RecodedLayer> layers;
  for (const ValueId input : graph.inputs) {
    RecodedLayer layer{graph.values[input].name, "input", "", 0, "", 0, 0};
    if (const auto codes = sites.inputs.find(input); codes != sites.inputs.end()) {
      layer.result_format = codes->second.format.name();
      layer.scale = codes->second.scale.real(0);
    }
    set_result(layer, input);
    layers.push_back(layer);
  }
  for (NodeId id = 0; id < graph.nodes.size(); ++id) {
    const Node& node = graph.nodes[id];
    RecodedLayer layer{node.name, std::string(node.op->name()), "", 0, "", 0, 0};
    for (const WeightSite& site : sites.weights) {
      if (site.node != id) continue;
      layer.weight_format = Format::integer(recipe.bits_of(site), true).name();
      layer.weight_bytes = (site.elements * recipe.bits_of(site) + 7) / 8;
    }
    for (const ValueId output : node.outputs)
      if (output != kNone) set_result(layer, output);
    if (!layer.weight_format.empty() || !layer.result_format.empty()) layers.push_back(layer);
  }
  return layers;
}

}  // namespace tandem
