#include "tandem/compress/quantize_network.h"

#include <algorithm>
#include <string>

#include "tandem/base/error.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/verifier.h"

namespace tandem {

Calibration::Calibration(const Module& network, const QuantizationSites& sites)
    : network_(network), histograms_(sites.groups) {
  for (const ActivationSite& site : sites.activations) group_of_[site.value] = site.group;
  const Graph& graph = network.main();
  for (const Node& node : graph.nodes) {
    if (node.op->name() != "Concat" || sites.group_of[node.outputs[0]] == kNone) continue;
    for (const ValueId input : node.inputs) {
      if (const Tensor* constant = constant_of(network, graph, input))
        constants_.emplace_back(sites.group_of[node.outputs[0]], constant);
    }
  }
}

void Calibration::assume(std::span<const double> values) {
  for (Histogram& histogram : histograms_)
    for (const double value : values) histogram.add(value);
  ++batches_;
}

void Calibration::add(std::span<const Tensor> inputs) {
  const Graph& graph = network_.main();
  const auto observe = [&](ValueId value, const Tensor& tensor) {
    const auto group = group_of_.find(value);
    if (group == group_of_.end()) return;
    try {
      histograms_[group->second].add(tensor);
    } catch (const Error& error) {
      throw error.at(concat("value '", graph.values[value].name, "'"));
    }
  };
  for (std::size_t i = 0; i < inputs.size() && i < graph.inputs.size(); ++i)
    observe(graph.inputs[i], inputs[i]);
  evaluate(network_, graph, inputs, nullptr, observe);
  for (const auto& [group, constant] : constants_) histograms_[group].add(*constant);
  ++batches_;
  chosen_.clear();
}

const UniformQuantizer& Calibration::quantizer(std::size_t group,
                                               const QuantizerRules& rules) const {
  const auto found = chosen_.find({group, rules});
  if (found != chosen_.end()) return found->second;
  return chosen_[{group, rules}] = choose_quantizer(histograms_[group], rules);
}

UniformQuantizer quantizer_of(const ActivationSite& site, const QuantizationSites& sites,
                              const Calibration& calibration, const CompressRecipe& recipe) {
  QuantizerRules rules = recipe.activations;
  rules.bits = 0;
  for (const ActivationSite& other : sites.activations) {
    if (other.group != site.group) continue;
    rules.bits = std::max(rules.bits, recipe.bits_of(other));
    rules.symmetric |= other.centred;
  }
  return calibration.quantizer(site.group, rules);
}

namespace {

class NetworkQuantizer {
 public:
  NetworkQuantizer(const Module& network, const QuantizationSites& sites,
                   const Calibration& calibration, const CompressRecipe& recipe)
      : source_(network.main()),
        sites_(sites),
        calibration_(calibration),
        recipe_(recipe),
        module_(network),
        builder_(module_, new_main()),
        real_(source_.values.size(), kNone),
        coded_(source_.values.size(), kNone) {}

  Module run() {
    choose_quantizers();
    for (const ValueId input : source_.inputs) add_input(input);
    for (NodeId node = 0; node < source_.nodes.size(); ++node) add_node(node);
    for (const ValueId output : source_.outputs) add_output(output);
    for (const StateUpdate& update : source_.updates)
      builder_.graph().updates.push_back({update.state, mapped(update.value, false)});
    remove_unused(module_);
    verify(module_);
    return std::move(module_);
  }

 private:
  // An empty "main" beside the old one, which is unused from then on.
  GraphId new_main() { return Builder::add_graph(module_, "main"); }

  void choose_quantizers() {
    if (calibration_.batches() == 0 && !sites_.activations.empty())
      throw Error("no sample was seen for calibration");
    for (const ActivationSite& site : sites_.activations) {
      try {
        quantizers_[site.value] = quantizer_of(site, sites_, calibration_, recipe_);
      } catch (const Error& error) {
        throw error.at(concat("the activations of '", site.name, "'"));
      }
      group_quantizers_[site.group] = quantizers_[site.value];
    }
    for (const WeightSite& site : sites_.weights) weights_[site.node] = &site;
  }

  // A value of the source in the new graph.
  ValueId mapped(ValueId value, bool codes) {
    if (value == kNone) return kNone;
    if (codes && coded_[value] != kNone) return coded_[value];
    if (real_[value] == kNone) {
      const Value& old = source_.values[value];
      ensure(old.constant != kNone || old.state != kNone, "a value is used before it is computed");
      real_[value] =
          old.constant != kNone ? builder_.constant(old.constant) : builder_.read_state(old.state);
    }
    return real_[value];
  }

  void add_input(ValueId input) {
    const Value& value = source_.values[input];
    real_[input] = builder_.input(value.name, value.type);
    const auto codes = sites_.inputs.find(input);
    if (codes != sites_.inputs.end()) {
      // Here the decoded codes are all that there is of the input.
      real_[input] = decoded_input(real_[input], value.name, codes->second);
      coded_[input] = real_[input];
    }
    add_site(input);
  }

  // Codes of an output take its name.
  void add_output(ValueId output) {
    const ValueId real = mapped(output, false), value = mapped(output, sites_.coded_outputs);
    auto& values = builder_.graph().values;
    if (value != real) std::swap(values[value].name, values[real].name);
    builder_.output(value);
  }

  ValueId decoded_input(ValueId real, const std::string& name, const InputCoding& codes) {
    const auto as_constant = [&](const Tensor& tensor, const std::string& suffix) {
      return builder_.constant(tensor.converted(Format()), name + suffix);
    };
    const ValueId scale = as_constant(codes.scale, ".scale");
    std::vector<ValueId> parameters{real, scale};
    const auto offsets = codes.offset.to_reals();
    if (std::any_of(offsets.begin(), offsets.end(), [](double v) { return v != 0; })) {
      Tensor zero = broadcast_quotient(codes.offset, codes.scale);
      parameters.push_back(as_constant(zero, ".zero"));
    }
    return coded_pair(parameters, codes.format, name);
  }

  // -offset / scale.
  static Tensor broadcast_quotient(const Tensor& offset, const Tensor& scale) {
    const Shape shape = broadcast_shapes(offset.shape(), scale.shape());
    ensure(offset.size() == 1 || scale.size() == 1 || offset.shape() == scale.shape(),
           "the scale and offset of an input vary along different axes");
    std::vector<double> values;
    for (std::int64_t i = 0; i < element_count(shape); ++i) {
      values.push_back(-offset.real(offset.size() == 1 ? 0 : i) /
                       scale.real(scale.size() == 1 ? 0 : i));
    }
    return Tensor::from_reals(Format::parse("f64"), shape, values);
  }

  // Quantize and Dequantize with the parameters {x, scale[, zero]}. A whole zero is added after the
  // rounding where QuantizeLinear of ONNX has the format, which does so; QONNX's Quant, which takes
  // the other widths, adds it before.
  ValueId coded_pair(std::vector<ValueId> parameters, Format format, const std::string& name,
                     bool whole_zero = false) {
    Attributes attributes = {{"format", format}};
    const int bits = format.bits();
    if (whole_zero && (bits == 4 || bits == 8 || bits == 16))
      attributes["zero_added"] = std::string("after_rounding");
    parameters[0] = builder_.add("Quantize", parameters, std::move(attributes), name + ".codes");
    return builder_.add("Dequantize", parameters, {}, name + ".decoded");
  }

  ValueId coded_with(ValueId real, const UniformQuantizer& quantizer, const std::string& name) {
    std::vector<ValueId> parameters{
        real, builder_.constant(Tensor::scalar(quantizer.scale), name + ".scale")};
    if (quantizer.zero != 0) {
      parameters.push_back(
          builder_.constant(Tensor::scalar(static_cast<double>(quantizer.zero)), name + ".zero"));
    }
    return coded_pair(std::move(parameters), quantizer.format, name, quantizer.zero != 0);
  }

  void add_site(ValueId value) {
    const auto site = quantizers_.find(value);
    if (site == quantizers_.end()) return;
    coded_[value] = coded_with(real_[value], site->second, source_.values[value].name);
  }

  void add_node(NodeId id) {
    const Node& node = source_.nodes[id];
    builder_.set_scope(node.scope);
    std::vector<ValueId> inputs;
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      inputs.push_back(mapped(node.inputs[i], sites_.reads_codes[id][i]));
    if (const auto weights = weights_.find(id); weights != weights_.end())
      inputs[1] = add_weights(*weights->second, inputs[1]);
    if (node.op->name() == "Concat") code_constants(node, inputs);
    const auto outputs =
        builder_.add_node(node.op->name(), inputs, node.attributes, node.name, node.bodies);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      real_[node.outputs[i]] = outputs[i];
      builder_.graph().values[outputs[i]].name = source_.values[node.outputs[i]].name;
      add_site(node.outputs[i]);
    }
  }

  ValueId add_weights(const WeightSite& site, ValueId weights) {
    try {
      const CodedWeights coded =
          quantize_weights(*constant_of(module_, builder_.graph(), weights),
                           recipe_.per_channel ? site.axis : kPerTensor, recipe_.bits_of(site),
                           recipe_.weight_method, recipe_.power_of_two_weights);
      const ValueId codes = builder_.constant(coded.codes, site.layer + ".weights");
      const ValueId scales = builder_.constant(coded.scales, site.layer + ".weight_scales");
      return builder_.add("Dequantize", {codes, scales}, {}, site.layer + ".weights.decoded");
    } catch (const Error& error) {
      throw error.at(concat("the weights of '", site.layer, "'"));
    }
  }

  // Constants beside computed operands of a Concat take the coding of their group.
  void code_constants(const Node& node, std::vector<ValueId>& inputs) {
    const auto shared = group_quantizers_.find(sites_.group_of[node.outputs[0]]);
    if (shared == group_quantizers_.end()) return;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (constant_of(module_, builder_.graph(), inputs[i]) != nullptr)
        inputs[i] = coded_with(inputs[i], shared->second, concat(node.name, ".", i));
    }
  }

  const Graph& source_;
  const QuantizationSites& sites_;
  const Calibration& calibration_;
  const CompressRecipe& recipe_;
  Module module_;
  Builder builder_;
  std::vector<ValueId> real_, coded_;  // by value of the source
  std::map<ValueId, UniformQuantizer> quantizers_;
  std::map<std::size_t, UniformQuantizer> group_quantizers_;
  std::map<NodeId, const WeightSite*> weights_;
};

}  // namespace

Module quantize_network(const Module& network, const QuantizationSites& sites,
                        const Calibration& calibration, const CompressRecipe& recipe) {
  return NetworkQuantizer(network, sites, calibration, recipe).run();
}

}  // namespace tandem
