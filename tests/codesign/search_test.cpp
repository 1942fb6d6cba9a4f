#include "tandem/codesign/search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/error.h"

#include "tests/support/networks.h"

namespace tandem {
namespace {

using test::NetworkMaker;

// A device on paper: flash is the bits of all weights, area the sum of products of widths; the fast
// plan takes twice the area and half the time. Noise and accuracy follow from the widths.
class PaperTask final : public FitTask {
 public:
  explicit PaperTask(double fragility = 1) : fragility_(fragility) {
    NetworkMaker maker;
    const ValueId x = maker.input("x", {3, 8, 8});
    const ValueId first = maker.unary("Relu", "relu1", maker.conv("conv1", x, 4, 3));
    const ValueId second = maker.unary("Relu", "relu2", maker.conv("conv2", first, 16, 3));
    network_ = maker.finish(maker.conv("conv3", second, 2, 1));
    sites_ = find_sites(network_);
  }

  const QuantizationSites* sites() const override { return &sites_; }
  std::vector<int> widths() const override { return {2, 3, 4, 6}; }
  std::vector<std::string> cost_measures() const override { return {"flash_bytes", "luts"}; }

  double noise(const CompressRecipe& recipe) override {
    double sum = 0;
    for (const WeightSite& site : sites_.weights)
      sum += std::pow(4.0, -recipe.format_of(site).bits()) * (site.layer == "conv2" ? 1 : 5);
    for (const ActivationSite& site : sites_.activations)
      sum += std::pow(4.0, -recipe.format_of(site).bits());
    if (recipe.activations.method == RangeMethod::kMinMax) sum *= 1.5;
    return sum;
  }

  Module lowered(const CompressRecipe& recipe) override {
    Module module;
    double flash = 0, area = 0;
    for (const WeightSite& site : sites_.weights) {
      flash += static_cast<double>(site.elements * recipe.format_of(site).bits()) / 8;
      area += static_cast<double>(recipe.format_of(site).bits()) * 10;
    }
    for (const ActivationSite& site : sites_.activations) area += recipe.format_of(site).bits() * 7;
    module.metadata["flash"] = std::to_string(flash);
    module.metadata["area"] = std::to_string(area);
    module.metadata["drop"] = std::to_string(fragility_ * noise(recipe));
    return module;
  }

  std::vector<PlannedNetwork> plans(const Module& module) override {
    std::vector<PlannedNetwork> plans;
    for (const double speed : {1.0, 2.0}) {
      PlannedNetwork planned;
      planned.estimate.total["flash_bytes"].value = std::stod(module.metadata.at("flash"));
      planned.estimate.total["luts"].value = std::stod(module.metadata.at("area")) * speed;
      planned.estimate.total["latency_seconds"].value = 0.01 / speed;
      plans.push_back(planned);
    }
    return plans;
  }

  double accuracy_drop(const Module& module) override {
    return std::stod(module.metadata.at("drop"));
  }

 private:
  double fragility_;
  Module network_;
  QuantizationSites sites_;
};

Limit at_most(const std::string& measure, double bound) {
  return {"--max-" + measure, measure, false, bound};
}

double value_of(const SearchResult& result, Objective objective) {
  return result.measures.at(std::string(measure_of(objective)));
}

TEST(Search, TakesTheBestPointWithinTheLimits) {
  PaperTask task;
  const std::vector<Limit> limits = {at_most("accuracy_drop", 0.01), at_most("luts", 300)};
  for (const Objective objective : {Objective::kFlash, Objective::kArea, Objective::kLatency}) {
    const SearchResult result = search_fit(task, objective, limits);
    ASSERT_TRUE(result.feasible);
    double least = std::numeric_limits<double>::infinity();
    for (const Variant& variant : result.variants) {
      for (Measures measures : variant.plans) {
        measures["accuracy_drop"] = task.accuracy_drop(task.lowered(variant.recipe));
        if (worst_excess(limits, measures) == 0)
          least = std::min(least, measures.at(std::string(measure_of(objective))));
      }
    }
    EXPECT_EQ(value_of(result, objective), least);
    EXPECT_EQ(worst_excess(limits, result.measures), 0);
  }
}

TEST(Search, TighterLimitsNeverImproveTheObjective) {
  PaperTask task;
  for (const Objective objective : {Objective::kFlash, Objective::kArea, Objective::kLatency}) {
    for (const std::string measure : {"accuracy_drop", "luts", "flash_bytes"}) {
      double before = -std::numeric_limits<double>::infinity();
      for (int step = 0; step <= 40; ++step) {  // down to 1e-6
        const double bound = 1000 * std::pow(0.6, step);
        const SearchResult result = search_fit(
            task, objective, {at_most(measure, bound), at_most("latency_seconds", 0.02)});
        if (!result.feasible) break;
        EXPECT_GE(value_of(result, objective), before);
        before = value_of(result, objective);
      }
    }
  }
}

TEST(Search, LimitsChangeTheChoice) {
  PaperTask task;
  const auto label = [&](double drop) {
    const SearchResult result =
        search_fit(task, Objective::kFlash, {at_most("accuracy_drop", drop)});
    return result.variants[result.best.variant].label;
  };
  EXPECT_NE(label(0.001), label(0.1));
}

TEST(Search, NamesTheNearestLimitsThatAreMet) {
  PaperTask task;
  const std::vector<Limit> limits = {at_most("accuracy_drop", 0.0005), at_most("flash_bytes", 100),
                                     at_most("latency_seconds", 1)};
  const SearchResult result = search_fit(task, Objective::kLatency, limits);
  EXPECT_FALSE(result.feasible);
  EXPECT_GT(worst_excess(limits, result.measures), 0);
  EXPECT_EQ(result.feasible_limits[2].bound, 1) << "limits that are met stay";
  const SearchResult again = search_fit(task, Objective::kLatency, result.feasible_limits);
  EXPECT_TRUE(again.feasible);
  // No point is nearer.
  for (const Variant& variant : result.variants) {
    for (Measures measures : variant.plans) {
      measures["accuracy_drop"] = task.accuracy_drop(task.lowered(variant.recipe));
      EXPECT_GE(worst_excess(limits, measures), worst_excess(limits, result.measures));
    }
  }
}

TEST(Search, MeasuresAccuracyOnlyWhereItDecides) {
  PaperTask robust(1e-6);
  const SearchResult result =
      search_fit(robust, Objective::kFlash, {at_most("accuracy_drop", 0.01)});
  EXPECT_EQ(result.accuracies_measured, 1);
  EXPECT_GT(result.variants.size(), 10U);
}

TEST(Search, TakesTheMethodOfLeastNoise) {
  PaperTask task;
  for (const Variant& variant : fit_variants(task))
    EXPECT_NE(variant.recipe.activations.method, RangeMethod::kMinMax);
}

TEST(Search, RecipesAreDescribedByTheirWidths) {
  PaperTask task;
  CompressRecipe recipe;
  recipe.weight_formats["conv2"] = Format::integer(4, true);
  EXPECT_EQ(describe(*task.sites(), recipe), "weights 8 conv2 4, activations 8, mse");
}

}  // namespace
}  // namespace tandem
