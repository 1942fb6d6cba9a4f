#include "tandem/plan/task_order.h"

#include <algorithm>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "tandem/base/random.h"

namespace tandem {
namespace {

struct Problem {
  std::vector<OrderedTask> tasks;
  std::vector<OrderedValue> values;
};

// Each task writes one value, perhaps with scratch, and reads up to two of those before it, or the
// given value 0.
Problem random_problem(std::uint64_t seed, std::int64_t tasks) {
  RandomSequence random(seed, "test/orders");
  Problem problem;
  problem.values.push_back({random.integer(1, 20), true, false});
  std::vector<std::size_t> results{0};
  for (std::int64_t t = 0; t < tasks; ++t) {
    OrderedTask task;
    std::set<std::size_t> reads;
    const std::int64_t count = random.integer(1, 2);
    for (std::int64_t i = 0; i < count; ++i)
      reads.insert(results[static_cast<std::size_t>(random.integer(0, t))]);
    task.reads.assign(reads.begin(), reads.end());
    results.push_back(problem.values.size());
    task.writes = {results.back()};
    problem.values.push_back({random.integer(1, 20), false, t + 1 == tasks || random.chance(0.1)});
    if (random.chance(0.3)) {
      task.writes.push_back(problem.values.size());
      problem.values.push_back({random.integer(1, 5), false, false});
    }
    for (const std::size_t value : task.reads)
      if (random.chance(0.5))
        task.takeovers.push_back({task.writes.back(), value, random.integer(0, 10)});
    if (task.writes.size() > 1 && random.chance(0.5))
      task.takeovers.push_back({task.writes[0], task.writes[1], random.integer(0, 10)});
    problem.tasks.push_back(std::move(task));
  }
  return problem;
}

// The most bytes in one step when blocks are made for a whole order at once.
std::int64_t bytes_of(const Problem& problem, const std::vector<std::size_t>& order) {
  std::vector<LifetimeBlock> blocks;
  for (const OrderedValue& value : problem.values) {
    const std::size_t last = value.is_kept ? order.size() : 0;
    blocks.push_back({value.bytes, 1, 0, last});
  }
  for (std::size_t step = 0; step < order.size(); ++step) {
    for (const std::size_t value : problem.tasks[order[step]].writes) {
      blocks[value].first_step = step;
      blocks[value].last_step = std::max(blocks[value].last_step, step);
    }
    for (const std::size_t value : problem.tasks[order[step]].reads)
      blocks[value].last_step = std::max(blocks[value].last_step, step);
  }
  std::int64_t most = 0;
  for (std::size_t step = 0; step < order.size(); ++step) {
    const OrderedTask& task = problem.tasks[order[step]];
    for (const OrderedTakeover& takeover : task.takeovers)
      if (blocks[takeover.read].last_step == step)
        blocks[takeover.written].takeovers.push_back({takeover.read, takeover.distance});
  }
  for (std::size_t step = 0; step < order.size(); ++step)
    most = std::max(most, least_bytes(blocks, step));
  return most;
}

bool is_possible(const Problem& problem, const std::vector<std::size_t>& order) {
  std::set<std::size_t> written{0};
  for (const std::size_t task : order) {
    for (const std::size_t value : problem.tasks[task].reads)
      if (!written.contains(value)) return false;
    written.insert(problem.tasks[task].writes.begin(), problem.tasks[task].writes.end());
  }
  return true;
}

TEST(TaskOrder, NeedsAsLittleAsTheBestOfAllOrders) {
  int reordered = 0;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    const Problem problem = random_problem(seed, 6);
    const TaskOrder found = least_peak_order(problem.tasks, problem.values);
    std::vector<std::size_t> order(problem.tasks.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const std::int64_t listed = bytes_of(problem, order);
    std::int64_t least = listed;
    do {
      if (is_possible(problem, order)) least = std::min(least, bytes_of(problem, order));
    } while (std::ranges::next_permutation(order).found);
    EXPECT_TRUE(found.proven);
    ASSERT_TRUE(is_possible(problem, found.tasks)) << "seed " << seed;
    EXPECT_EQ(found.bytes, least) << "seed " << seed;
    EXPECT_EQ(bytes_of(problem, found.tasks), least) << "seed " << seed;
    reordered += least < listed;
  }
  EXPECT_GT(reordered, 20);
}

TEST(TaskOrder, WithinABudgetIsNoWorseThanTheListedOrder) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const Problem problem = random_problem(seed, 30);
    std::vector<std::size_t> order(problem.tasks.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const TaskOrder found = least_peak_order(problem.tasks, problem.values, 20);
    EXPECT_TRUE(is_possible(problem, found.tasks));
    EXPECT_EQ(bytes_of(problem, found.tasks), found.bytes);
    EXPECT_LE(found.bytes, bytes_of(problem, order));
  }
}

TEST(TaskOrder, KeepsTheListedOrderWhereNoneIsBetter) {
  // Two tasks that read the given value, and one that joins them.
  const std::vector<OrderedValue> values = {
      {10, true, false}, {4, false, false}, {4, false, false}, {2, false, true}};
  const std::vector<OrderedTask> tasks = {{{0}, {1}, {}}, {{0}, {2}, {}}, {{1, 2}, {3}, {}}};
  const TaskOrder found = least_peak_order(tasks, values);
  EXPECT_EQ(found.tasks, (std::vector<std::size_t>{0, 1, 2}));
  EXPECT_EQ(found.bytes, 18);
  EXPECT_TRUE(found.proven);
}

}  // namespace
}  // namespace tandem
