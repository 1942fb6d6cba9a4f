#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tandem/plan/lifetime_planner.h"

namespace tandem {

// What tasks hand to each other in one arena, or keep to themselves: scratch is written and read by
// no other.
struct OrderedValue {
  std::int64_t bytes = 0;
  bool is_given = false;  // there before the first task
  bool is_kept = false;   // needed after the last one
};

// That a written value may share bytes with a value that is read for the last time (Takeover).
struct OrderedTakeover {
  std::size_t written = 0, read = 0;  // values
  std::int64_t distance = 0;
};

struct OrderedTask {
  std::vector<std::size_t> reads, writes;  // values; each is written once
  std::vector<OrderedTakeover> takeovers;
  std::vector<std::size_t> after = {};  // tasks that must be done before, for other reasons
};

struct TaskOrder {
  std::vector<std::size_t> tasks;
  std::int64_t bytes = 0;  // that some task needs at least (least_bytes)
  bool proven = false;     // no order needs less
};

// The order in which the task that needs most bytes needs least; among equals the one that departs
// latest from the given order, which must be possible. Dynamic programming over the sets of tasks
// that are done: exact as long as no more than `most_sets` sets of each size are reached; beyond,
// those that needed least go on (beam search).
TaskOrder least_peak_order(const std::vector<OrderedTask>& tasks,
                           const std::vector<OrderedValue>& values, std::size_t most_sets = 200);

}  // namespace tandem
