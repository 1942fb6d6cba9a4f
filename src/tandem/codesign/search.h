#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tandem/codesign/limits.h"
#include "tandem/compress/recipe.h"
#include "tandem/compress/sensitivity.h"
#include "tandem/cost/estimate.h"
#include "tandem/plan/plan.h"

namespace tandem {

// One plan of a lowered network, with what it measures.
struct PlannedNetwork {
  Plan plan;
  Estimate estimate;
  std::map<std::string, std::string> choices;  // by which the plan differs from its siblings
};

// The measures of a plan: the estimate's totals and "rate_per_second".
Measures measures_of(const Estimate& estimate);

// A network and a device as a search sees them.
class FitTask {
 public:
  virtual ~FitTask() = default;

  // Where the network takes codes; nullptr where it is quantized already, so that there is one
  // recipe only, the empty one.
  virtual const QuantizationSites* sites() const = 0;
  virtual std::vector<int> widths() const = 0;  // below the start's that may pay on the device
  // Measures by which a narrower width can pay, each with a path of its own.
  virtual std::vector<std::string> cost_measures() const = 0;
  // Relative noise of the outputs of the recoded network, still of reals, on selection samples.
  virtual double noise(const CompressRecipe& recipe) = 0;
  virtual Module lowered(const CompressRecipe& recipe) = 0;  // for one sample
  virtual std::vector<PlannedNetwork> plans(const Module& lowered) = 0;
  // Accuracy of the network as read minus that of the lowered one, on selection samples.
  virtual double accuracy_drop(const Module& lowered) = 0;
};

// A recoded network with its plans.
struct Variant {
  CompressRecipe recipe;
  std::string label;  // "weights 8 conv1 4, activations 8, mse": equal for equal networks
  double noise = 0;
  std::vector<Measures> plans;  // without the accuracy
  std::optional<double> accuracy_drop;
};

// A variant in one of its plans.
struct FitPoint {
  std::size_t variant = 0, plan = 0;
};

struct SearchResult {
  std::vector<Variant> variants;
  std::vector<Sensitivity> sensitivities;  // of the start; empty for a quantized network
  FitPoint best;  // within all limits, of the least objective; else the nearest to them
  bool feasible = false;
  Measures measures;  // of the best, with its accuracy drop
  // The limits themselves where they are met, else those with the bounds that the nearest point
  // misses moved to its measures: a search under these succeeds.
  std::vector<Limit> feasible_limits;
  std::int64_t points = 0;  // compared
  std::int64_t accuracies_measured = 0;
};

// Variants that do not depend on the limits or the objective: the start (8 bits throughout), the
// paths that narrow it by measured sensitivity for each cost measure, and uniform recipes of more
// bits; each with the calibration method of least noise. A point is a variant in one of its plans.
// Among the points within the limits the one of least objective is taken (then of least noise, then
// the first). As the points are the same under all limits (but for plans that give up speed for
// SRAM, which come in where it is short), a tighter limit never improves the objective. Accuracy is
// measured where a decision needs it only.
// Throws Interrupted; what was measured until then is kept in the task.
SearchResult search_fit(FitTask& task, Objective objective, const std::vector<Limit>& limits);

// The variants alone, and the sensitivities by which they were narrowed.
std::vector<Variant> fit_variants(FitTask& task, std::vector<Sensitivity>* sensitivities = nullptr);

// A recipe in few words, equal where the networks are.
std::string describe(const QuantizationSites& sites, const CompressRecipe& recipe);

}  // namespace tandem
