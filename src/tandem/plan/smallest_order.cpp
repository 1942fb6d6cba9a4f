#include "tandem/plan/smallest_order.h"

#include <algorithm>

#include "tandem/graph/operator.h"

namespace tandem {
namespace {

// A buffer of rows of a value within a stage, from one run to another, both inclusive.
struct RowsBuffer {
  std::size_t first = 0, last = 0;
  std::int64_t bytes = 0;
};

std::vector<RowsBuffer> rows_buffers(const McuTask& stage) {
  std::vector<RowsBuffer> buffers;
  std::map<std::pair<std::size_t, ValueId>, std::size_t> held;  // by patch and value
  std::map<ValueId, std::size_t> kept;
  const auto use = [&](std::size_t run, std::size_t buffer) { buffers[buffer].last = run; };
  const auto add = [&](std::size_t run, std::int64_t bytes) {
    buffers.push_back({run, run, bytes});
    return buffers.size() - 1;
  };
  for (std::size_t i = 0; i < stage.runs.size(); ++i) {
    const McuRun& run = stage.runs[i];
    const std::map<ValueId, Rows>& rows = stage.patches[run.patch].held;
    for (const Array& array : run.program.arrays) {
      if (array.is_constant() || array.role == ArrayRole::kScratch) continue;
      if (array.value == stage.result || !rows.contains(array.value)) continue;
      const bool is_read = array.role == ArrayRole::kInput;
      if (run.kind == McuRunKind::kKeep && !is_read) {
        kept[array.value] = add(i, array.bytes());
      } else if (run.kind == McuRunKind::kRestore && is_read) {
        use(i, kept.at(array.value));
      } else {
        const auto [known, is_new] = held.insert({{run.patch, array.value}, buffers.size()});
        if (is_new)
          add(i, rows.at(array.value).count() * stage.row_bytes.at(array.value));
        else
          use(i, known->second);
      }
    }
  }
  return buffers;
}

// Bytes that the values within a stage need at least: in each run the largest of its arrays and
// what lives through it.
std::int64_t least_stage_bytes(const McuTask& stage) {
  const std::vector<RowsBuffer> buffers = rows_buffers(stage);
  std::int64_t most = 0;
  for (std::size_t i = 0; i < stage.runs.size(); ++i) {
    const McuRun& run = stage.runs[i];
    std::int64_t through = 0, largest = 0;
    bool writes_result = false;
    for (const Array& array : run.program.arrays) {
      writes_result |= array.role == ArrayRole::kOutput && array.value == stage.result;
      if (array.role == ArrayRole::kScratch) largest = std::max(largest, array.bytes());
    }
    for (const RowsBuffer& buffer : buffers) {
      if (buffer.first < i && i < buffer.last)
        through += buffer.bytes;
      else if (buffer.first == i || buffer.last == i)
        largest = std::max(largest, buffer.bytes);
    }
    // What is read for the last time may share bytes with the result.
    most = std::max(most, writes_result ? through : through + largest);
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
