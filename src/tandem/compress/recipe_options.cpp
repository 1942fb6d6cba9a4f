#include "tandem/compress/recipe_options.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

// A width as "8", "int8" or "uint8"; the sign is absent in the first.
struct WidthText {
  int bits = 8;
  std::optional<bool> is_signed;
};

WidthText parse_width(const std::string& text, const std::string& option) {
  const bool is_int = text.starts_with("int"), is_uint = text.starts_with("uint");
  const std::string digits = text.substr(is_uint ? 4 : is_int ? 3 : 0);
  WidthText width;
  try {
    width.bits = static_cast<int>(parse_integer(digits, option));
  } catch (const Error&) {
    throw Error(option, " takes a format such as int8 or uint4, or LAYER=FORMAT, not '", text, "'");
  }
  if (width.bits < 2 || width.bits > 16)
    throw Error(option, " ", text, ": codes have 2 to 16 bits");
  if (is_int || is_uint) width.is_signed = is_int;
  return width;
}

// Splits "PATTERN=FORMAT"; no pattern means all layers.
struct WidthOption {
  std::string pattern;  // empty: all
  WidthText width;
};

std::vector<WidthOption> parse_widths(const std::vector<std::string>& texts,
                                      const std::string& option) {
  std::vector<WidthOption> options;
  for (const std::string& text : texts) {
    const auto equals = text.rfind('=');
    const bool has_pattern = equals != std::string::npos;
    if (has_pattern && equals == 0)
      throw Error(option, " ", text, ": there is no layer before '='");
    options.push_back({has_pattern ? text.substr(0, equals) : "",
                       parse_width(has_pattern ? text.substr(equals + 1) : text, option)});
  }
  return options;
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

CompressRecipe RecipeOptions::recipe(const QuantizationSites& sites) const {
  CompressRecipe recipe;
  recipe.activations.method = parse_range_method(method);
  recipe.weight_method = parse_range_method(weight_method);
  if (recipe.weight_method == RangeMethod::kPercentile)
    throw Error("--weight-method percentile: scales of weights are found by minmax or mse");
  if (percentile && recipe.activations.method != RangeMethod::kPercentile)
    throw Error("--percentile needs --method percentile");
  if (percentile) recipe.activations.percentile = *percentile;
  recipe.per_channel = !per_tensor;
  recipe.power_of_two_weights = recipe.activations.power_of_two = power_of_two;
  recipe.activations.symmetric = symmetric;
  std::vector<PatternWidth> weight_widths, activation_widths;
  for (const auto& [pattern, width] : parse_widths(weights, "--weights")) {
    if (width.is_signed && !*width.is_signed)
      throw Error("--weights uint", width.bits, ": weights have both signs, so codes are int",
                  width.bits);
    if (pattern.empty())
      recipe.weight_bits = width.bits;
    else
      weight_widths.push_back({pattern, width.bits});
  }
  std::optional<bool> is_signed;
  for (const auto& [pattern, width] : parse_widths(activations, "--activations")) {
    if (width.is_signed && is_signed && *width.is_signed != *is_signed)
      throw Error("--activations names both int and uint codes; one kind serves all layers");
    if (width.is_signed) is_signed = width.is_signed;
    if (pattern.empty())
      recipe.activations.bits = width.bits;
    else
      activation_widths.push_back({pattern, width.bits});
  }
  recipe.activations.signed_codes = is_signed.value_or(false);
  set_weight_widths(recipe, sites, weight_widths);
  set_activation_widths(recipe, sites, activation_widths);
  return recipe;
}

}  // namespace tandem
