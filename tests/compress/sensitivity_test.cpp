#include "tandem/compress/sensitivity.h"

#include <cmath>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/networks.h"

namespace tandem {
namespace {

using test::NetworkMaker;

QuantizationSites sites_of_two_layers(NetworkMaker& maker) {
  const ValueId x = maker.conv("first", maker.input("x", {2, 4, 4}), 3, 3);
  return find_sites(maker.finish(maker.conv("second", maker.unary("Relu", "relu", x), 2, 1)));
}

// Made up: the weights of "first" matter much, all else little.
double noise_of(const QuantizationSites& sites, const CompressRecipe& recipe) {
  double noise = 0.001;
  for (const WeightSite& site : sites.weights)
    noise += std::pow(2.0, -recipe.format_of(site).bits()) * (site.layer == "first" ? 100 : 1);
  return noise;
}

CandidateFormats integers(const std::vector<int>& widths) {
  CandidateFormats candidates;
  for (const int bits : widths) {
    candidates.weights.push_back(Format::integer(bits, true));
    candidates.activations.push_back(Format::integer(bits, false));
  }
  return candidates;
}

TEST(Sensitivity, IsTheNoiseThatOneChoiceAdds) {
  NetworkMaker maker;
  const QuantizationSites sites = sites_of_two_layers(maker);
  const auto measured = measure_sensitivity(
      sites, {}, integers({4, 8, 10}), [&](const CompressRecipe& r) { return noise_of(sites, r); });
  ASSERT_EQ(measured.size(), 4U);  // two weights, the input, the activations between
  EXPECT_EQ(measured[0].choice.name, "first");
  EXPECT_TRUE(measured[0].choice.is_weights);
  EXPECT_EQ(measured[0].noise.size(), 1U) << "only formats narrower than the recipe's";
  EXPECT_DOUBLE_EQ(measured[0].noise.at(0).noise, 100 * (1.0 / 16 - 1.0 / 256));
  EXPECT_EQ(measured[3].choice.name, "relu");
  EXPECT_EQ(measured[3].noise.at(0).noise, 0);
}

TEST(Sensitivity, PathsNarrowWhatMattersLeastFirst) {
  NetworkMaker maker;
  const QuantizationSites sites = sites_of_two_layers(maker);
  const auto measured = measure_sensitivity(
      sites, {}, integers({4, 2}), [&](const CompressRecipe& r) { return noise_of(sites, r); });
  const auto path = narrowing_path(sites, {}, measured, [&](const CompressRecipe& recipe) {
    return static_cast<double>(weight_bits_of(sites, recipe));
  });
  ASSERT_GE(path.size(), 3U);
  EXPECT_EQ(weight_bits_of(sites, path.front()), weight_bits_of(sites, {}));
  for (std::size_t i = 1; i < path.size(); ++i)
    EXPECT_LT(weight_bits_of(sites, path[i]), weight_bits_of(sites, path[i - 1]));
  EXPECT_LT(path[1].format_of(sites.weights[1]).bits(), 8);
  EXPECT_EQ(path[1].format_of(sites.weights[0]).bits(), 8);
  EXPECT_EQ(path.back().format_of(sites.weights[0]).bits(), 2);
  EXPECT_EQ(path.back().format_of(sites.activations[1]).bits(), 8)
      << "activations cost no weight bits, so they stay";
}

TEST(Sensitivity, ActivationsOfOneGroupHaveOneFormat) {
  NetworkMaker maker;
  const ValueId x = maker.input("x", {2, 4, 4});
  const ValueId joined =
      maker.builder().add("Concat", {maker.conv("a", x, 2, 1), maker.conv("b", x, 2, 1)},
                          {{"axis", std::int64_t{1}}}, "joined");
  const QuantizationSites sites = find_sites(maker.finish(maker.conv("c", joined, 2, 1)));
  const auto choices = format_choices(sites);
  ASSERT_EQ(choices.size(), 5U);
  EXPECT_EQ(choices[4].sites, (std::vector<std::string>{"a", "b"}));
  const CompressRecipe recipe = with_format({}, choices[4], Format::integer(5, false));
  EXPECT_EQ(recipe.format_of(sites.activations[1]), Format::parse("uint5"));
  EXPECT_EQ(format_of(recipe, sites, choices[4]), Format::parse("uint5"));
}

}  // namespace
}  // namespace tandem
