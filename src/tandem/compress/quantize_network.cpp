#include "tandem/compress/quantize_network.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "tandem/base/error.h"
#include "tandem/base/threads.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/movement.h"
#include "tandem/transform/fold_addends.h"

namespace tandem {

MomentsWanted moments_for(const CompressRecipe& recipe) {
  if (recipe.rounding != WeightRounding::kNearest) return MomentsWanted::kSecond;
  const bool means = recipe.bias_correction || recipe.weights.method == RangeMethod::kOutputError;
  return means ? MomentsWanted::kFirst : MomentsWanted::kNothing;
}

namespace {

// The energy of the weights that multiply each channel of a value, where nothing but layers with
// constant weights read its codes.
ChannelImportance importance_of(const Module& network, const QuantizationSites& sites,
                                ValueId value) {
  const Graph& graph = network.main();
  std::vector<double> energy;
  ChannelImportance importance;
  for (NodeId id = 0; id < graph.nodes.size(); ++id) {
    const Node& node = graph.nodes[id];
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] != value || !sites.reads_codes[id][i]) continue;
      const auto site = std::ranges::find(sites.weights, id, &WeightSite::node);
      if (i != 0 || site == sites.weights.end()) return {};
      const NodeView view{network, graph, node};
      const bool is_convolution = node.op->name() == "Conv";
      if (node.op->name() == "Gemm" && view.integer("transA") != 0) return {};
      const Tensor& weights = *constant_of(network, graph, node.inputs[1]);
      const WeightRows layout(weights.shape(), site->axis);
      const std::vector<double> rows = layout.from(weights);
      const std::int64_t groups = is_convolution ? view.integer("group") : 1;
      const std::int64_t taps =
          is_convolution ? layout.columns() / std::max<std::int64_t>(1, weights.shape()[1]) : 1;
      const std::int64_t inputs = layout.columns() / taps;
      const auto axis = is_convolution ? 1 : graph.values[value].type.shape.size() - 1;
      const auto channels = static_cast<std::size_t>(groups * inputs);
      if (!energy.empty() && (energy.size() != channels || importance.axis != axis)) return {};
      energy.resize(channels);
      importance.axis = axis;
      for (std::size_t k = 0; k < rows.size(); ++k) {
        const std::int64_t row = static_cast<std::int64_t>(k) / layout.columns(),
                           column = static_cast<std::int64_t>(k) % layout.columns();
        const std::int64_t group = row / std::max<std::int64_t>(1, layout.rows() / groups);
        energy[static_cast<std::size_t>(group * inputs + column / taps)] += rows[k] * rows[k];
      }
    }
  }
  const double most = energy.empty() ? 0 : *std::ranges::max_element(energy);
  for (const double channel : energy) {
    const double share = most > 0 ? channel / most : 1;
    importance.of_channels.push_back(
        static_cast<std::int64_t>(std::ceil(share * ChannelImportance::kMost)));
  }
  return importance;
}

}  // namespace

Calibration::Calibration(const Module& network, const QuantizationSites& sites,
                         MomentsWanted moments, bool importance)
    : network_(network), statistics_(sites.groups) {
  if (moments != MomentsWanted::kNothing)
    inputs_.emplace(network, sites, moments == MomentsWanted::kSecond);
  const Graph& graph = network.main();
  std::map<ValueId, std::size_t> places;
  const auto observe = [&](ValueId value) {
    const auto [place, is_new] = places.emplace(value, observed_.size());
    if (is_new) observed_.push_back(value);
    return place->second;
  };
  std::map<std::size_t, std::vector<Reader>> of_groups;
  for (const ActivationSite& site : sites.activations)
    of_groups[site.group].push_back({observe(site.value), site.group, kNone});
  for (auto& [group, readers] : of_groups) readers_.push_back(std::move(readers));
  for (const WeightSite& site : sites.weights) {
    const ValueId input = graph.nodes[site.node].inputs[0];
    if (inputs_ && graph.values[input].constant == kNone)
      readers_.push_back({{observe(input), kNone, site.node}});
  }
  if (importance)
    for (const ValueId value : observed_)
      importance_.push_back(importance_of(network, sites, value));
  for (const Node& node : graph.nodes) {
    if (node.op->name() != "Concat" || sites.group_of[node.outputs[0]] == kNone) continue;
    for (const ValueId input : node.inputs) {
      if (const Tensor* constant = constant_of(network, graph, input))
        constants_.emplace_back(sites.group_of[node.outputs[0]], constant);
    }
  }
}

namespace {

// How much greater the mean of each output channel becomes by rounding its weights.
std::vector<double> mean_errors(const WeightRows& layout, const std::vector<double>& rows,
                                const std::vector<double>& rounded, const WeightGrids& grids,
                                const InputMoments& moments) {
  const std::int64_t per_group = std::max<std::int64_t>(1, layout.rows() / moments.groups);
  std::vector<double> errors;
  for (std::int64_t r = 0; r < layout.rows(); ++r) {
    double sum = 0;
    for (std::int64_t c = 0; c < layout.columns(); ++c) {
      const auto i = static_cast<std::size_t>(r * layout.columns() + c);
      const WeightGrid& grid = grids.at(r, c);
      sum += ((rounded[i] - grid.zero) * grid.scale - rows[i]) * moments.mean(r / per_group, c);
    }
    errors.push_back(sum);
  }
  return errors;
}

}  // namespace

void Calibration::assume(std::span<const double> values) {
  for (ValueStatistics& statistics : statistics_)
    for (const double value : values) statistics.assume(value);
  ++batches_;
}

void Calibration::take(const std::vector<std::vector<Tensor>>& seen,
                       const std::vector<Reader>& readers) {
  for (const Reader& reader : readers) {
    const std::vector<Tensor>& samples = seen[reader.value];
    try {
      if (reader.layer != kNone) inputs_->add(reader.layer, samples);
      if (reader.group == kNone) continue;
      for (const Tensor& sample : samples) {
        if (importance_.empty())
          statistics_[reader.group].add(sample);
        else
          statistics_[reader.group].add(sample, importance_[reader.value]);
      }
    } catch (const Error& error) {
      const ValueId value = observed_[reader.value];
      throw error.at(concat("value '", network_.main().values[value].name, "'"));
    }
  }
}

void Calibration::add(std::span<const Tensor> inputs) {
  if (!running_) running_.emplace(network_, observed_);
  running_->run(inputs, [&](const std::vector<std::vector<Tensor>>& seen) {
    // Each group and layer on one thread, in the order of the samples.
    parallel_for(0, static_cast<std::int64_t>(readers_.size()), 1,
                 [&](std::int64_t from, std::int64_t to) {
                   for (std::int64_t i = from; i < to; ++i)
                     take(seen, readers_[static_cast<std::size_t>(i)]);
                 });
  });
  for (const auto& [group, constant] : constants_) statistics_[group].add(*constant);
  for (ValueStatistics& statistics : statistics_) statistics.end_batch();
  ++batches_;
  chosen_.clear();
  rounded_.clear();
}

const RoundedWeights& Calibration::weights(const WeightSite& site,
                                           const CompressRecipe& recipe) const {
  const WeightRules rules = recipe.rules_of(site);
  for (const Rounded& known : rounded_)
    if (known.layer == site.node && known.rules == rules && known.rounding == recipe.rounding)
      return known.weights;
  const Tensor& weights =
      *constant_of(network_, network_.main(), network_.main().nodes[site.node].inputs[1]);
  const WeightRows layout(weights.shape(), site.axis);
  const std::vector<double> rows = layout.from(weights);
  const WeightCodec codec(rules.format);
  static const InputMoments kNoMoments;
  const InputMoments& moments = inputs_ ? inputs_->of(site.node) : kNoMoments;
  ColumnInputs columns{moments.groups, {}, {}};
  for (std::int64_t g = 0; g < moments.groups; ++g) {
    for (std::int64_t c = 0; c < moments.columns; ++c) {
      columns.mean.push_back(moments.mean(g, c));
      columns.variance.push_back(moments.variance(g, c));
    }
  }
  const WeightGrids grids = choose_grids(rows, layout.columns(), rules, columns);
  const auto rounded = round_weights(rows, grids, codec, recipe.rounding, moments);
  RoundedWeights result{coded_weights(layout, weights.shape(), site.axis, rounded, grids, rules),
                        {}};
  if (inputs_) result.mean_error = mean_errors(layout, rows, rounded, grids, moments);
  rounded_.push_back({site.node, rules, recipe.rounding, std::move(result)});
  return rounded_.back().weights;
}

const Quantizer* Calibration::known(std::size_t group, const QuantizerRules& rules) const {
  for (const Chosen& chosen : chosen_)
    if (chosen.group == group && chosen.rules == rules) return &chosen.quantizer;
  return nullptr;
}

const Quantizer& Calibration::quantizer(std::size_t group, const QuantizerRules& rules) const {
  if (const Quantizer* found = known(group, rules)) return *found;
  chosen_.push_back({group, rules, choose_quantizer(statistics_[group], rules)});
  return chosen_.back().quantizer;
}

void Calibration::find_quantizers(const std::map<std::size_t, QuantizerRules>& rules) const {
  std::vector<std::pair<std::size_t, QuantizerRules>> wanted;
  for (const auto& [group, of_group] : rules)
    if (known(group, of_group) == nullptr) wanted.emplace_back(group, of_group);
  std::vector<std::optional<Quantizer>> found(wanted.size());
  parallel_for(
      0, static_cast<std::int64_t>(wanted.size()), 1, [&](std::int64_t from, std::int64_t to) {
        for (auto i = static_cast<std::size_t>(from); i < static_cast<std::size_t>(to); ++i) {
          try {
            found[i] = choose_quantizer(statistics_[wanted[i].first], wanted[i].second);
          } catch (const Error&) {
            continue;  // quantizer() is asked where the value's name is known
          }
        }
      });
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (found[i]) chosen_.push_back({wanted[i].first, wanted[i].second, *found[i]});
}

bool takes_token_scales(const Module& network, const QuantizationSites& sites,
                        const ActivationSite& site) {
  const Graph& graph = network.main();
  if (graph.values[site.value].type.shape.size() < 2) return false;
  bool is_read = false;
  for (NodeId id = 0; id < graph.nodes.size(); ++id) {
    const Node& node = graph.nodes[id];
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] != site.value || !sites.reads_codes[id][i]) continue;
      const std::string_view op = node.op->name();
      const NodeView view{network, graph, node};
      const bool is_left =
          i == 0 && (op == "MatMul" || (op == "Gemm" && view.integer("transA") == 0));
      if (!is_left) return false;
      is_read = true;
    }
  }
  return is_read;
}

namespace {

// The widest format that a site of the group has, and no zero point where one wants none.
QuantizerRules rules_of(std::size_t group, const QuantizationSites& sites,
                        const CompressRecipe& recipe) {
  QuantizerRules rules = recipe.activations;
  bool found = false;
  for (const ActivationSite& other : sites.activations) {
    if (other.group != group) continue;
    const Format format = recipe.format_of(other);
    if (!found || format.bits() > rules.format.bits()) rules.format = format;
    rules.symmetric |= other.centred;
    found = true;
  }
  return rules;
}

}  // namespace

Quantizer quantizer_of(const ActivationSite& site, const QuantizationSites& sites,
                       const Calibration& calibration, const CompressRecipe& recipe) {
  return calibration.quantizer(site.group, rules_of(site.group, sites, recipe));
}

namespace {

class NetworkQuantizer {
 public:
  NetworkQuantizer(const Module& network, const QuantizationSites& sites,
                   const Calibration& calibration, const CompressRecipe& recipe)
      : network_(network),
        source_(network.main()),
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
    if (recipe_.bias_correction) fold_addends(module_);
    verify(module_);
    return std::move(module_);
  }

 private:
  // An empty "main" beside the old one, which is unused from then on.
  GraphId new_main() { return Builder::add_graph(module_, "main"); }

  void choose_quantizers() {
    if (calibration_.batches() == 0 && !sites_.activations.empty())
      throw Error("no sample was seen for calibration");
    std::map<std::size_t, QuantizerRules> rules;
    for (const ActivationSite& site : sites_.activations)
      rules.emplace(site.group, rules_of(site.group, sites_, recipe_));
    calibration_.find_quantizers(rules);
    for (const ActivationSite& site : sites_.activations) {
      try {
        quantizers_[site.value] = quantizer_of(site, sites_, calibration_, recipe_);
        QuantizerRules wide = recipe_.activations;
        wide.format = Format::integer(16, true);
        wide.method = RangeMethod::kMinMax;
        wide_[site.value] = calibration_.quantizer(site.group, wide);
      } catch (const Error& error) {
        throw error.at(concat("the activations of '", site.name, "'"));
      }
      group_quantizers_[site.group] = quantizers_[site.value];
      if (recipe_.token_scales && takes_token_scales(network_, sites_, site))
        has_token_scales_.insert(site.value);
    }
    if (recipe_.token_scales && has_token_scales_.empty())
      throw Error("--token-scales: no value is read by matrix products alone");
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
    // Floats end at their largest code, not at infinity.
    if (format.is_float()) attributes["overflow"] = std::string("saturate_symmetric");
    parameters[0] = builder_.add("Quantize", parameters, std::move(attributes), name + ".codes");
    return builder_.add("Dequantize", parameters, {}, name + ".decoded");
  }

  ValueId coded_with(ValueId real, const Quantizer& quantizer, const std::string& name) {
    std::vector<ValueId> parameters{
        real, builder_.constant(Tensor::scalar(quantizer.scale), name + ".scale")};
    if (quantizer.zero != 0) {
      parameters.push_back(
          builder_.constant(Tensor::scalar(static_cast<double>(quantizer.zero)), name + ".zero"));
    }
    return coded_pair(std::move(parameters), quantizer.format, name, quantizer.zero != 0);
  }

  // Codes with a scale for each row, or block of one: the greatest magnitude becomes the greatest
  // code.
  ValueId coded_by_token(ValueId real, const Format& format, const std::string& name) {
    const Format symmetric = is_affine(format) ? Format::integer(format.bits(), true) : format;
    const double greatest = Quantizer{symmetric, 1, 0}.highest();
    const std::vector<Dim> rows = builder_.type(real).shape;
    std::vector<Dim> blocks = rows;
    if (recipe_.token_block > 0) {
      if (!rows.back().is_constant())
        throw Error("--token-block: the rows of '", name, "' have ", rows.back().to_string(),
                    " numbers; bind the symbol (--bind)");
      const std::int64_t length = rows.back().constant(),
                         block = divisor_up_to(length, recipe_.token_block);
      blocks.back() = length / block;
      blocks.emplace_back(block);
    }
    const ValueId x = add_reshape(builder_, real, blocks, name + ".blocks");
    const ValueId reach = builder_.add(
        "ReduceMax", {builder_.add("Abs", {x}, {}, name + ".magnitude")},
        {{"axes", std::vector<std::int64_t>{static_cast<std::int64_t>(blocks.size()) - 1}}},
        name + ".reach");
    const ValueId scale = builder_.add(
        "Mul", {reach, builder_.constant(Tensor::scalar(1 / greatest), name + ".share")}, {},
        name + ".token_scale");
    const ValueId codes =
        coded_pair({x, held_scale(scale, name + ".token_scale")}, symmetric, name);
    return add_reshape(builder_, codes, rows, name + ".rows");
  }

  // Computed scales as numbers of their format, as as_scale() makes them: rows of zeros have one
  // too.
  ValueId held_scale(ValueId scale, const std::string& name) {
    const Format& format = recipe_.activations.scale_format;
    const double least = format == Format::parse("f16") ? 0x1p-24 : 1e-30;
    const ValueId positive =
        builder_.add("Max", {scale, builder_.constant(Tensor::scalar(least), name + ".least")}, {},
                     name + ".positive");
    if (format == Format()) return positive;
    if (format.is_float()) {
      const ValueId narrow = builder_.add("Cast", {positive}, {{"to", format}}, name + ".narrow");
      return builder_.add("Cast", {narrow}, {{"to", Format()}}, name + ".held");
    }
    const ValueId one = builder_.constant(Tensor::scalar(1), name + ".one");
    const ValueId power = builder_.add(
        "Quantize", {positive, one},
        {{"format", format}, {"rounding", std::string(::tandem::name(Rounding::kCeiling))}},
        name + ".power");
    return builder_.add("Dequantize", {power, one}, {}, name + ".held");
  }

  void add_site(ValueId value) {
    const auto site = quantizers_.find(value);
    if (site == quantizers_.end()) return;
    const std::string& name = source_.values[value].name;
    if (has_token_scales_.contains(value)) {
      coded_[value] = coded_by_token(real_[value], site->second.format, name);
      return;
    }
    // Inputs arrive as integers; what is coded otherwise is taken from 16 bits of them.
    if (source_.values[value].producer == kNone && !site->second.format.is_uniform())
      real_[value] = coded_with(real_[value], wide_[value], name + ".wide");
    coded_[value] = coded_with(real_[value], site->second, name);
  }

  void add_node(NodeId id) {
    const Node& node = source_.nodes[id];
    builder_.set_scope(node.scope);
    std::vector<ValueId> inputs;
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      inputs.push_back(mapped(node.inputs[i], sites_.reads_codes[id][i]));
    const auto weights = weights_.find(id);
    if (weights != weights_.end()) inputs[1] = add_weights(*weights->second);
    if (node.op->name() == "Concat") code_constants(node, inputs);
    if (node.op->name() == "Gather") code_table(node, inputs);
    auto outputs =
        builder_.add_node(node.op->name(), inputs, node.attributes, node.name, node.bodies);
    if (weights != weights_.end() && recipe_.bias_correction)
      outputs[0] = corrected(*weights->second, outputs[0]);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      real_[node.outputs[i]] = outputs[i];
      builder_.graph().values[outputs[i]].name = source_.values[node.outputs[i]].name;
      add_site(node.outputs[i]);
    }
  }

  ValueId add_weights(const WeightSite& site) {
    try {
      return decoded(site, calibration_.weights(site, recipe_).coded);
    } catch (const Error& error) {
      throw error.at(concat("the weights of '", site.layer, "'"));
    }
  }

  ValueId scales_of(const CodedWeights& coded, const std::string& name) {
    if (coded.scale_codes.size() == 0) return builder_.constant(coded.scales, name);
    const ValueId codes = builder_.constant(coded.scale_codes, name),
                  units = builder_.constant(coded.scale_units, name + ".units");
    const ValueId scales = builder_.add("Dequantize", {codes, units}, {}, name + ".decoded");
    const Shape& shape = coded.scales.shape();
    return add_reshape(builder_, scales, {shape.begin(), shape.end()}, name + ".shaped");
  }

  ValueId decoded(const WeightSite& site, const CodedWeights& coded) {
    std::vector<ValueId> parameters{builder_.constant(coded.codes, site.layer + ".weights"),
                                    scales_of(coded, site.layer + ".weight_scales")};
    if (coded.zeros.size() > 0)
      parameters.push_back(builder_.constant(coded.zeros, site.layer + ".weight_zeros"));
    const ValueId reals =
        builder_.add("Dequantize", parameters, {}, site.layer + ".weights.decoded");
    if (coded.codes.shape() == coded.shape) return reals;
    std::vector<std::string> dims;
    for (const std::int64_t dim : coded.shape) dims.push_back(concat(dim));
    return builder_.add("Reshape", {reals}, {{"shape", dims}}, site.layer + ".weights.rows");
  }

  // Without what rounding the weights adds to the mean of each channel.
  ValueId corrected(const WeightSite& site, ValueId sums) {
    std::vector<double> correction = calibration_.weights(site, recipe_).mean_error;
    const Node& node = source_.nodes[site.node];
    double factor = -1;
    if (node.op->name() == "Gemm") factor = -NodeView{module_, source_, node}.real("alpha");
    for (double& value : correction) value *= factor;
    Shape shape{static_cast<std::int64_t>(correction.size())};
    if (node.op->name() == "Conv") {
      shape.insert(shape.begin(), 1);
      shape.resize(builder_.type(sums).shape.size(), 1);
    }
    const ValueId constant = builder_.constant(Tensor::from_reals(Format(), shape, correction),
                                               site.layer + ".correction");
    builder_.graph().values[sums].name = site.layer + ".uncorrected";
    return builder_.add("Add", {sums, constant}, {}, site.layer + ".corrected");
  }

  // A constant table that is looked up has the codes of what comes out.
  void code_table(const Node& node, std::vector<ValueId>& inputs) {
    const auto site = quantizers_.find(node.outputs[0]);
    const bool is_table = constant_of(module_, builder_.graph(), inputs[0]) != nullptr;
    if (site == quantizers_.end() || !is_table) return;
    inputs[0] = coded_with(inputs[0], site->second, node.name + ".table");
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

  const Module& network_;
  const Graph& source_;
  const QuantizationSites& sites_;
  const Calibration& calibration_;
  const CompressRecipe& recipe_;
  Module module_;
  Builder builder_;
  std::vector<ValueId> real_, coded_;  // by value of the source
  std::map<ValueId, Quantizer> quantizers_, wide_;
  std::map<std::size_t, Quantizer> group_quantizers_;
  std::map<NodeId, const WeightSite*> weights_;
  std::set<ValueId> has_token_scales_;
};

}  // namespace

Module quantize_network(const Module& network, const QuantizationSites& sites,
                        const Calibration& calibration, const CompressRecipe& recipe) {
  return NetworkQuantizer(network, sites, calibration, recipe).run();
}

}  // namespace tandem
