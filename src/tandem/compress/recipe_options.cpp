#include "tandem/compress/recipe_options.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/compress/channel_rewrites.h"

namespace tandem {
namespace {

// A format, or a width alone: that of integers.
Format parse_code_format(const std::string& text, bool is_signed, const std::string& option) {
  try {
    const bool is_width =
        !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
    const Format format =
        is_width ? Format::integer(static_cast<int>(parse_integer(text, option)), is_signed)
                 : Format::parse(text);
    check_code_format(format);
    return format;
  } catch (const Error& error) {
    throw Error(option, " ", text, ": ", error.what());
  }
}

// "FORMAT" for all layers, or "PATTERN=FORMAT".
struct FormatOptions {
  std::optional<Format> all;
  std::vector<PatternFormat> layers;
};

FormatOptions parse_formats(const std::vector<std::string>& texts, bool is_signed,
                            const std::string& option) {
  FormatOptions options;
  for (const std::string& text : texts) {
    const auto equals = text.rfind('=');
    if (equals == 0) throw Error(option, " ", text, ": there is no layer before '='");
    if (equals == std::string::npos)
      options.all = parse_code_format(text, is_signed, option);
    else
      options.layers.push_back(
          {text.substr(0, equals), parse_code_format(text.substr(equals + 1), is_signed, option)});
  }
  return options;
}

// "f32" for all; weights alone become codes then.
bool has_real_activations(const std::vector<std::string>& activations) {
  if (std::ranges::find(activations, "f32") == activations.end()) return false;
  if (activations.size() > 1)
    throw Error("--activations f32 leaves all activations real; give no other format with it");
  return true;
}

std::vector<std::string> node_names(const Module& module) {
  std::vector<std::string> names;
  for (const Node& node : module.main().nodes) names.push_back(node.name);
  return names;
}

}  // namespace

SiteRules RecipeOptions::rules(const Module& prepared) const {
  SiteRules rules;
  rules.shared_sums = shared_sums;
  rules.real_activations = has_real_activations(activations);
  const auto names = node_names(prepared);
  if (!only.empty()) {
    rules.real_layers.insert(names.begin(), names.end());
    for (const std::string& pattern : only)
      for (const std::string& layer : matching_layers(pattern, names))
        rules.real_layers.erase(layer);
  }
  for (const std::string& pattern : ignore) {
    const auto found = matching_layers(pattern, names);
    rules.real_layers.insert(found.begin(), found.end());
  }
  return rules;
}

std::vector<std::string> RecipeOptions::rewrite(Module& prepared,
                                                const DataSet& calibration) const {
  std::vector<ChannelRewrite> parsed;
  for (const std::string& text : rewrites) parsed.push_back(parse_channel_rewrite(text));
  const bool has_codes = !has_real_activations(activations);
  QuantizerRules rules;
  rules.method = parse_range_method(method);
  if (percentile) rules.percentile = *percentile;
  rules.symmetric = symmetric;
  if (has_codes)
    rules.format = parse_formats(activations, false, "--activations").all.value_or(rules.format);
  std::vector<std::string> done;
  for (const ChannelRewrite& rewrite : parsed) {
    const std::size_t places = rewrite_channels(prepared, rewrite, calibration, rules);
    done.push_back(concat(name(rewrite), " in ", places, " places"));
  }
  return done;
}

MomentsWanted RecipeOptions::moments() const {
  CompressRecipe recipe;
  recipe.rounding = parse_weight_rounding(rounding);
  recipe.bias_correction = bias_correction;
  recipe.weights.method = parse_range_method(weight_method);
  return moments_for(recipe);
}

CompressRecipe RecipeOptions::recipe(const QuantizationSites& sites) const {
  CompressRecipe recipe;
  recipe.activations.method = parse_range_method(method);
  recipe.weights.method = parse_range_method(weight_method);
  recipe.rounding = parse_weight_rounding(rounding);
  recipe.bias_correction = bias_correction;
  recipe.token_scales = token_scales;
  if (token_scales && has_real_activations(activations))
    throw Error("--token-scales is for codes of activations, which --activations f32 has none of");
  if (token_block && !token_scales) throw Error("--token-block says how --token-scales are shared");
  if (token_block && (*token_block < 2 || *token_block > 1 << 20))
    throw Error("--token-block ", *token_block, ": 2 to 2^20 numbers share a scale");
  recipe.token_block = token_block.value_or(0);
  recipe.weights.granularity = parse_granularity(granularity);
  recipe.weights.scales = parse_scale_rules(scales);
  if (recipe.weights.scales.block == 0)  // those of values, one a tensor, have nothing to nest in
    recipe.activations.scale_format = recipe.weights.scales.format;
  if (percentile && recipe.activations.method != RangeMethod::kPercentile)
    throw Error("--percentile needs --method percentile");
  if (percentile) recipe.activations.percentile = *percentile;
  recipe.activations.symmetric = symmetric;
  const FormatOptions of_weights = parse_formats(weights, true, "--weights"),
                      of_activations = has_real_activations(activations)
                                           ? FormatOptions{}
                                           : parse_formats(activations, false, "--activations");
  recipe.weights.format = of_weights.all.value_or(recipe.weights.format);
  recipe.activations.format = of_activations.all.value_or(recipe.activations.format);
  check_weight_rules(recipe.weights);
  set_weight_formats(recipe, sites, of_weights.layers);
  set_activation_formats(recipe, sites, of_activations.layers);
  for (const WeightSite& site : sites.weights) check_weight_rules(recipe.rules_of(site));
  return recipe;
}

}  // namespace tandem
