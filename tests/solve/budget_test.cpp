#include "tandem/solve/budget.h"

#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using Items = std::vector<std::vector<BudgetOption>>;

// By hand: item 0 saves 4 for 1 (slope 0.25), then 1 for 3; item 1 saves 2 for 1 (0.5). The option
// {5, 9} of item 1 is dominated.
TEST(Budget, WalksFromLeastLossToLeastCost) {
  const Items items = {{{8, 0}, {4, 1}, {3, 4}}, {{6, 0}, {5, 9}, {4, 1}}};
  const auto path = budget_path(items);
  ASSERT_EQ(path.size(), 4U);
  EXPECT_THAT(path[0].choice, ElementsAre(0, 0));
  EXPECT_THAT(path[1].choice, ElementsAre(1, 0));
  EXPECT_THAT(path[2].choice, ElementsAre(1, 2));
  EXPECT_THAT(path[3].choice, ElementsAre(2, 2));
  EXPECT_EQ(path[3].cost, 7);
  EXPECT_EQ(path[3].loss, 5);
}

TEST(Budget, OptionsThatSaveNothingAreNeverTaken) {
  const auto path = budget_path({{{8, 0}, {8, 1}, {9, 2}}});
  ASSERT_EQ(path.size(), 1U);
  EXPECT_THAT(path[0].choice, ElementsAre(0));
}

TEST(Budget, EveryAllocationIsOptimalForItsCost) {
  std::mt19937 engine(3);
  std::uniform_int_distribution<int> number(0, 30);
  for (int round = 0; round < 200; ++round) {
    Items items(4);
    for (auto& options : items)
      for (int i = 0; i < 4; ++i)
        options.push_back(
            {static_cast<double>(number(engine)), static_cast<double>(number(engine))});
    const auto path = budget_path(items);
    for (std::size_t i = 1; i < path.size(); ++i) {
      EXPECT_LT(path[i].cost, path[i - 1].cost);
      EXPECT_GE(path[i].loss, path[i - 1].loss);
    }
    for (int code = 0; code < 256; ++code) {
      double cost = 0, loss = 0;
      for (std::size_t i = 0; i < 4; ++i) {
        const auto option = static_cast<std::size_t>(code >> (2 * i) & 3);
        cost += items[i][option].cost;
        loss += items[i][option].loss;
      }
      for (const Allocation& allocation : path)
        EXPECT_FALSE(cost <= allocation.cost && loss < allocation.loss);
      EXPECT_GE(cost, path.back().cost);
    }
  }
}

TEST(Budget, RefusesItemsWithoutOption) { EXPECT_THROW(budget_path({{}}), InternalError); }

}  // namespace
}  // namespace tandem
