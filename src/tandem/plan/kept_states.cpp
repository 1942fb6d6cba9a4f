#include "tandem/plan/kept_states.h"

#include <algorithm>

#include "tandem/base/error.h"

namespace tandem {
namespace {

class InPlace {
 public:
  InPlace(const Graph& graph, const McuGroups& groups, const std::vector<McuTask>& tasks)
      : graph_(graph), groups_(groups), tasks_(tasks) {}

  // Sets the writer and the other readers of a state, where it can be written in place.
  void choose(KeptState& kept) const {
    const ValueId next = groups_.base_of[kept.update];
    if (graph_.values[next].producer == kNone || times_at_end(next) != 1) return;
    if (times_at_end(kept.read) != 0) return;
    std::vector<std::size_t> readers;
    std::size_t writer = kNone;
    for (std::size_t task = 0; task < tasks_.size(); ++task) {
      if (!tasks_[task].patches.empty()) continue;
      const McuRun& run = tasks_[task].runs.front();
      const bool reads = accesses(run, kept.read, ArrayRole::kInput) != kNone;
      if (accesses(run, next, ArrayRole::kOutput) != kNone) {
        if (reads && !keeps_ahead(run, kept.read, next)) return;
        writer = task;
      } else if (reads) {
        if (writer != kNone) return;
        readers.push_back(task);
      }
    }
    kept.writer = writer;
    kept.readers = std::move(readers);
  }

 private:
  // How often a value is an output, or what a state is updated with.
  std::int64_t times_at_end(ValueId base) const {
    const auto is_it = [&](ValueId value) { return groups_.base_of[value] == base; };
    return std::ranges::count_if(graph_.outputs, is_it) +
           std::ranges::count_if(graph_.updates, is_it, &StateUpdate::value);
  }

  // The index of the array through which a group reads or writes a value; kNone where it does not.
  static std::size_t accesses(const McuRun& run, ValueId base, ArrayRole role) {
    const std::vector<Array>& arrays = run.program.arrays;
    for (std::size_t i = 0; i < arrays.size(); ++i)
      if (arrays[i].role == role && arrays[i].value == base) return i;
    return kNone;
  }

  static bool keeps_ahead(const McuRun& run, ValueId read, ValueId written) {
    const std::size_t from = accesses(run, read, ArrayRole::kInput),
                      to = accesses(run, written, ArrayRole::kOutput);
    return std::ranges::any_of(run.overlaps, [&](const OverlapDistance& overlap) {
      return overlap.read == from && overlap.written == to && overlap.bytes <= 0;
    });
  }

  const Graph& graph_;
  const McuGroups& groups_;
  const std::vector<McuTask>& tasks_;
};

}  // namespace

std::vector<KeptState> kept_states(const Module& module, const McuGroups& groups,
                                   const std::vector<McuTask>& tasks) {
  const Graph& graph = module.main();
  const InPlace in_place(graph, groups, tasks);
  std::vector<KeptState> kept;
  for (StateId state = 0; state < module.states.size(); ++state) {
    const auto read = std::ranges::find(graph.values, state, &Value::state);
    if (read == graph.values.end()) continue;
    kept.push_back({state, static_cast<ValueId>(read - graph.values.begin())});
    const auto update = std::ranges::find(graph.updates, state, &StateUpdate::state);
    const bool stays =
        update == graph.updates.end() || groups.base_of[update->value] == kept.back().read;
    if (stays) continue;
    kept.back().update = update->value;
    in_place.choose(kept.back());
  }
  return kept;
}

}  // namespace tandem
