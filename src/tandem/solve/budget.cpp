#include "tandem/solve/budget.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tandem/base/error.h"

namespace tandem {
namespace {

// Indices of the options on an item's lower convex hull, from least loss to least cost.
std::vector<std::size_t> hull_of(const std::vector<BudgetOption>& options) {
  std::vector<std::size_t> order(options.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (options[a].loss != options[b].loss) return options[a].loss < options[b].loss;
    return options[a].cost < options[b].cost;
  });
  std::vector<std::size_t> hull;
  const auto slope = [&](std::size_t from, std::size_t to) {
    return (options[to].loss - options[from].loss) / (options[from].cost - options[to].cost);
  };
  for (const std::size_t next : order) {
    if (!hull.empty() && options[next].cost >= options[hull.back()].cost) continue;
    while (hull.size() >= 2 &&
           slope(hull[hull.size() - 2], hull.back()) >= slope(hull.back(), next)) {
      hull.pop_back();
    }
    hull.push_back(next);
  }
  return hull;
}

}  // namespace

std::vector<Allocation> budget_path(const std::vector<std::vector<BudgetOption>>& items) {
  struct Step {
    std::size_t item = 0, place = 0;  // on the hull
    double slope = 0;
  };
  std::vector<std::vector<std::size_t>> hulls;
  std::vector<Step> steps;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto& options = items[i];
    ensure(!options.empty(), "an item of a budget has no option");
    for (const BudgetOption& option : options)
      ensure(std::isfinite(option.cost) && std::isfinite(option.loss), "an option is not finite");
    hulls.push_back(hull_of(options));
    const auto& hull = hulls.back();
    for (std::size_t place = 1; place < hull.size(); ++place) {
      const BudgetOption &from = options[hull[place - 1]], &to = options[hull[place]];
      steps.push_back({i, place, (to.loss - from.loss) / (from.cost - to.cost)});
    }
  }
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.slope < b.slope; });
  Allocation now;
  for (const auto& hull : hulls) now.choice.push_back(hull.front());
  // Sums are formed anew for every allocation, so that rounding does not depend on the way here.
  const auto with_sums = [&](Allocation allocation) {
    allocation.cost = allocation.loss = 0;
    for (std::size_t i = 0; i < items.size(); ++i) {
      allocation.cost += items[i][allocation.choice[i]].cost;
      allocation.loss += items[i][allocation.choice[i]].loss;
    }
    return allocation;
  };
  std::vector<Allocation> path{with_sums(now)};
  for (const Step& step : steps) {
    now.choice[step.item] = hulls[step.item][step.place];
    path.push_back(with_sums(now));
  }
  return path;
}

}  // namespace tandem
