#include "tandem/plan/smallest_order.h"

#include <algorithm>

#include "tandem/graph/operator.h"

namespace tandem {
namespace {

// Bytes that the values within a stage need at least: in each step the largest of its arrays and
// what lives through it.
std::int64_t least_stage_bytes(const McuTask& stage) {
  const std::size_t runs = stage.runs.size() / stage.patches.size();
  std::int64_t most = 0;
  for (std::size_t first = 0; first < stage.runs.size(); first += runs) {
    std::map<ValueId, std::size_t> last_read;
    for (std::size_t i = first; i < first + runs; ++i)
      for (const auto& [value, rows] : stage.runs[i].reads) last_read[value] = i;
    std::map<ValueId, std::int64_t> alive;  // bytes, of values of this patch
    for (std::size_t i = first; i < first + runs; ++i) {
      std::int64_t through = 0, largest = 0;
      for (const Array& array : stage.runs[i].program.arrays) {
        if (array.role == ArrayRole::kOutput && array.value != stage.result)
          alive[array.value] = array.bytes();
        if (array.role == ArrayRole::kScratch) largest = std::max(largest, array.bytes());
      }
      for (const auto& [value, bytes] : alive) {
        const bool is_read = stage.runs[i].reads.contains(value);
        const bool touched = is_read ? last_read[value] == i : !last_read.contains(value);
        if (touched)
          largest = std::max(largest, bytes);
        else
          through += bytes;
      }
      // What the last step reads may share bytes with the result.
      most = std::max(most, i + 1 == first + runs ? through : through + largest);
      std::erase_if(alive, [&](const auto& entry) {
        const auto found = last_read.find(entry.first);
        return found == last_read.end() || found->second == i;
      });
    }
  }
  return most;
}

// The order of the tasks that takes the smallest arena.
class SmallestOrder {
 public:
  SmallestOrder(const Graph& graph, const McuGroups& groups, const std::vector<KeptState>& states,
                IoPlace io)
      : graph_(graph),
        groups_(groups),
        states_(states),
        io_(io),
        value_of_(graph.values.size(), kNone) {}

  TaskOrder run(const std::vector<McuTask>& tasks) {
    std::vector<OrderedTask> ordered;
    for (const McuTask& task : tasks)
      ordered.push_back(task.patches.empty() ? one_group(task.runs.front()) : stage(task));
    for (const KeptState& kept : states_)
      if (kept.writer != kNone) {
        std::vector<std::size_t>& after = ordered[kept.writer].after;
        after.insert(after.end(), kept.readers.begin(), kept.readers.end());
      }
    return least_peak_order(ordered, values_);
  }

 private:
  OrderedTask one_group(const McuRun& run) {
    OrderedTask task;
    std::vector<std::size_t> array_values;
    for (const Array& array : run.program.arrays) {
      if (array.is_constant())
        array_values.push_back(kNone);
      else if (array.role == ArrayRole::kScratch)
        array_values.push_back(scratch(array.bytes()));
      else
        array_values.push_back(value(array.value));
      if (array.role == ArrayRole::kInput) task.reads.push_back(array_values.back());
      if (array.is_written()) task.writes.push_back(array_values.back());
    }
    for (const OverlapDistance& overlap : run.overlaps)
      task.takeovers.push_back(
          {array_values[overlap.written], array_values[overlap.read], overlap.bytes});
    return task;
  }

  OrderedTask stage(const McuTask& stage) {
    OrderedTask task;
    const std::size_t result = value(stage.result);
    task.writes = {result, scratch(least_stage_bytes(stage))};
    for (const ValueId read : outer_reads(stage)) {
      task.reads.push_back(value(read));
      if (const auto distance = distance_over_patches(stage, read))
        task.takeovers.push_back({result, task.reads.back(), *distance});
    }
    return task;
  }

  std::size_t scratch(std::int64_t bytes) {
    values_.push_back({bytes, false, false});
    return values_.size() - 1;
  }

  std::size_t value(ValueId base) {
    if (value_of_[base] != kNone) return value_of_[base];
    OrderedValue added;
    const bool is_input = is_one_of(graph_.inputs, base);
    const bool is_output = is_one_of(graph_.outputs, base);
    const bool is_old_state = graph_.values[base].state != kNone;
    const bool is_new_state = updates_state(base, true);
    added.is_given = is_input || is_old_state;
    added.is_kept = is_output || updates_state(base, false);
    const bool with_caller = io_ == IoPlace::kCaller && (is_input || is_output);
    const TensorType& type = graph_.values[base].type;
    added.bytes = with_caller || is_old_state || is_new_state
                      ? 0
                      : element_count(type.static_shape()) * storage_bytes(type.format.storage());
    values_.push_back(added);
    return value_of_[base] = values_.size() - 1;
  }

  bool is_one_of(const std::vector<ValueId>& ends, ValueId base) const {
    return std::ranges::any_of(ends, [&](ValueId end) { return groups_.base_of[end] == base; });
  }

  // Whether a state is updated with it, by its own step or by a copy at the end.
  bool updates_state(ValueId base, bool in_place) const {
    return std::ranges::any_of(states_, [&](const KeptState& kept) {
      return kept.update != kNone && groups_.base_of[kept.update] == base &&
             (kept.writer != kNone) == in_place;
    });
  }

  const Graph& graph_;
  const McuGroups& groups_;
  const std::vector<KeptState>& states_;
  IoPlace io_;
  std::vector<OrderedValue> values_;
  std::vector<std::size_t> value_of_;  // by base value
};

}  // namespace

TaskOrder smallest_order(const Graph& graph, const McuGroups& groups,
                         const std::vector<McuTask>& tasks, const std::vector<KeptState>& states,
                         IoPlace io) {
  return SmallestOrder(graph, groups, states, io).run(tasks);
}

}  // namespace tandem
