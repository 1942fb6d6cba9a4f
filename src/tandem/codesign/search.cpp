#include "tandem/codesign/search.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>

#include "tandem/base/error.h"
#include "tandem/base/interrupt.h"
#include "tandem/base/progress.h"
#include "tandem/base/text.h"

namespace tandem {

Measures measures_of(const Estimate& estimate) {
  Measures measures;
  for (const auto& [name, figure] : estimate.total) measures[name] = figure.value;
  const auto interval = measures.find("interval_seconds");
  const auto latency = measures.find("latency_seconds");
  if (interval != measures.end() && interval->second > 0) {
    measures["rate_per_second"] = 1 / interval->second;
  } else if (latency != measures.end() && latency->second > 0) {
    measures["rate_per_second"] = 1 / latency->second;
  }
  return measures;
}

namespace {

// The width of integers, else the name of the format.
std::string short_name(const Format& format) {
  return format == Format::integer(format.bits(), format.is_signed()) ? concat(format.bits())
                                                                      : format.name();
}

// "8" where all are of that format, else "8 conv1 4 head 2": the commonest, then the exceptions.
std::string formats_text(const std::vector<std::pair<std::string, Format>>& formats) {
  std::map<std::pair<int, std::string>, int> counts;
  for (const auto& [name, format] : formats) ++counts[{format.bits(), short_name(format)}];
  const auto commonest = std::ranges::max_element(
      counts, [](const auto& a, const auto& b) { return a.second <= b.second; });
  if (commonest == counts.end()) return "none";
  const std::string& usual = commonest->first.second;
  std::string text = usual;
  for (const auto& [name, format] : formats)
    if (short_name(format) != usual) text += concat(" ", name, " ", short_name(format));
  return text;
}

}  // namespace

std::string describe(const QuantizationSites& sites, const CompressRecipe& recipe) {
  std::vector<std::pair<std::string, Format>> weights, activations;
  for (const WeightSite& site : sites.weights)
    weights.emplace_back(site.layer, recipe.format_of(site));
  for (const FormatChoice& choice : format_choices(sites)) {
    if (!choice.is_weights) activations.emplace_back(choice.name, format_of(recipe, sites, choice));
  }
  std::string method(name(recipe.activations.method));
  if (recipe.activations.method == RangeMethod::kPercentile)
    method += concat(" ", shortest(recipe.activations.percentile));
  return concat("weights ", formats_text(weights), ", activations ", formats_text(activations),
                ", ", method);
}

namespace {

constexpr int kStartBits = 8;
constexpr int kWideBits[] = {10, 12, 16};
// Variants on one path at most; longer paths are thinned evenly.
constexpr std::size_t kMostSteps = 24;

CompressRecipe uniform_recipe(int weight_bits, int activation_bits) {
  CompressRecipe recipe;
  recipe.weights.format = Format::integer(weight_bits, true);
  recipe.activations.format = Format::integer(activation_bits, false);
  return recipe;
}

CandidateFormats integers_of(const std::vector<int>& widths) {
  CandidateFormats candidates;
  for (const int bits : widths) {
    candidates.weights.push_back(Format::integer(bits, true));
    candidates.activations.push_back(Format::integer(bits, false));
  }
  return candidates;
}

std::vector<CompressRecipe> thinned(std::vector<CompressRecipe> path) {
  if (path.size() <= kMostSteps) return path;
  std::vector<CompressRecipe> kept;
  for (std::size_t i = 0; i < kMostSteps; ++i)
    kept.push_back(std::move(path[i * (path.size() - 1) / (kMostSteps - 1)]));
  return kept;
}

// Finds the recipes; remembers what it has planned.
class VariantFinder {
 public:
  explicit VariantFinder(FitTask& task) : task_(task), sites_(*task.sites()) {}

  std::vector<Variant> run(std::vector<Sensitivity>* report) {
    const CompressRecipe start = uniform_recipe(kStartBits, kStartBits);
    std::vector<CompressRecipe> recipes{start};
    for (const int bits : kWideBits) recipes.push_back(uniform_recipe(bits, bits));
    recipes.push_back(uniform_recipe(kStartBits, kWideBits[2]));
    const auto sensitivities =
        measure_sensitivity(sites_, start, integers_of(task_.widths()),
                            [&](const CompressRecipe& recipe) { return task_.noise(recipe); });
    if (report != nullptr) *report = sensitivities;
    Progress progress("planning", 0);
    for (const std::string& measure : task_.cost_measures()) {
      auto path = narrowing_path(sites_, start, sensitivities, [&](const CompressRecipe& recipe) {
        progress.advance();
        return mean_cost(recipe, measure);
      });
      for (CompressRecipe& recipe : thinned(std::move(path))) recipes.push_back(std::move(recipe));
    }
    return variants_of(recipes);
  }

 private:
  double mean_cost(const CompressRecipe& recipe, const std::string& measure) {
    double sum = 0;
    const auto& plans = planned(recipe);
    for (const Measures& measures : plans) {
      const auto found = measures.find(measure);
      ensure(found != measures.end(), concat("plans without the measure ", measure));
      sum += found->second;
    }
    return sum / static_cast<double>(plans.size());
  }

  const std::vector<Measures>& planned(const CompressRecipe& recipe) {
    const std::string label = describe(sites_, recipe);
    const auto known = planned_.find(label);
    if (known != planned_.end()) return known->second;
    throw_if_interrupted();
    std::vector<Measures> plans;
    for (const PlannedNetwork& plan : task_.plans(task_.lowered(recipe)))
      plans.push_back(measures_of(plan.estimate));
    ensure(!plans.empty(), "a network without plans");
    return planned_[label] = std::move(plans);
  }

  // The same widths with the method whose outputs are least noisy.
  Variant with_best_method(const CompressRecipe& recipe) {
    Variant best;
    best.noise = std::numeric_limits<double>::infinity();
    for (const auto method : {RangeMethod::kMse, RangeMethod::kMinMax, RangeMethod::kPercentile}) {
      CompressRecipe tried = recipe;
      tried.activations.method = method;
      const double noise = task_.noise(tried);
      if (noise >= best.noise) continue;
      best.noise = noise;
      best.recipe = tried;
    }
    ensure(best.noise < std::numeric_limits<double>::infinity(), "noise that is no number");
    best.label = describe(sites_, best.recipe);
    best.plans = planned(best.recipe);
    return best;
  }

  std::vector<Variant> variants_of(const std::vector<CompressRecipe>& recipes) {
    Progress progress("choosing calibrations", static_cast<std::int64_t>(recipes.size()));
    std::vector<Variant> variants;
    std::set<std::string> seen;
    for (const CompressRecipe& recipe : recipes) {
      progress.advance();
      if (!seen.insert(describe(sites_, recipe)).second) continue;
      variants.push_back(with_best_method(recipe));
    }
    return variants;
  }

  FitTask& task_;
  const QuantizationSites& sites_;
  std::map<std::string, std::vector<Measures>> planned_;
};

// Chooses among the points; measures the accuracy of variants when it must.
class PointChooser {
 public:
  PointChooser(FitTask& task, Objective objective, const std::vector<Limit>& limits,
               SearchResult& result)
      : task_(task), measure_(measure_of(objective)), result_(result) {
    for (const Limit& limit : limits)
      (limit.measure == "accuracy_drop" ? accuracy_limits_ : plan_limits_).push_back(limit);
    all_limits_ = limits;
  }

  void run() {
    list_points();
    for (const FitPoint& point : points_) {
      if (worst_excess(plan_limits_, plan_measures(point)) > 0) continue;
      if (worst_excess(accuracy_limits_, with_accuracy(point)) > 0) continue;
      return finish(point, true);
    }
    Progress progress("looking for the nearest limits", static_cast<std::int64_t>(points_.size()));
    const FitPoint* nearest = nullptr;
    double least = std::numeric_limits<double>::infinity();
    for (const FitPoint& point : points_) {
      progress.advance();
      const double excess = worst_excess(all_limits_, with_accuracy(point));
      if (excess >= least) continue;
      least = excess;
      nearest = &point;
    }
    ensure(nearest != nullptr, "a search without points");
    finish(*nearest, false);
  }

 private:
  const Measures& plan_measures(const FitPoint& point) const {
    return result_.variants[point.variant].plans[point.plan];
  }

  // All points by objective, then noise, then place.
  void list_points() {
    for (std::size_t v = 0; v < result_.variants.size(); ++v)
      for (std::size_t p = 0; p < result_.variants[v].plans.size(); ++p) points_.push_back({v, p});
    std::stable_sort(points_.begin(), points_.end(), [&](const FitPoint& a, const FitPoint& b) {
      const double left = objective(a), right = objective(b);
      if (left != right) return left < right;
      return result_.variants[a.variant].noise < result_.variants[b.variant].noise;
    });
    result_.points = static_cast<std::int64_t>(points_.size());
  }

  double objective(const FitPoint& point) const {
    const auto found = plan_measures(point).find(measure_);
    ensure(found != plan_measures(point).end(), concat("plans without the measure ", measure_));
    return found->second;
  }

  Measures with_accuracy(const FitPoint& point) {
    Variant& variant = result_.variants[point.variant];
    if (!variant.accuracy_drop) {
      throw_if_interrupted();
      variant.accuracy_drop = task_.accuracy_drop(task_.lowered(variant.recipe));
      ++result_.accuracies_measured;
    }
    Measures measures = variant.plans[point.plan];
    measures["accuracy_drop"] = *variant.accuracy_drop;
    return measures;
  }

  void finish(const FitPoint& point, bool feasible) {
    result_.best = point;
    result_.feasible = feasible;
    result_.measures = with_accuracy(point);
    for (Limit limit : all_limits_) {
      const double value = result_.measures.at(limit.measure);
      if (limit.excess(value) > 0) limit.bound = value;
      result_.feasible_limits.push_back(limit);
    }
  }

  FitTask& task_;
  std::string measure_;
  SearchResult& result_;
  std::vector<Limit> plan_limits_, accuracy_limits_, all_limits_;
  std::vector<FitPoint> points_;
};

}  // namespace

std::vector<Variant> fit_variants(FitTask& task, std::vector<Sensitivity>* sensitivities) {
  if (task.sites() != nullptr) return VariantFinder(task).run(sensitivities);
  Variant only;
  only.label = "as read";
  for (const PlannedNetwork& plan : task.plans(task.lowered({})))
    only.plans.push_back(measures_of(plan.estimate));
  ensure(!only.plans.empty(), "a network without plans");
  return {only};
}

SearchResult search_fit(FitTask& task, Objective objective, const std::vector<Limit>& limits) {
  SearchResult result;
  result.variants = fit_variants(task, &result.sensitivities);
  PointChooser(task, objective, limits, result).run();
  return result;
}

}  // namespace tandem
