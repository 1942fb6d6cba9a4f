#include "tandem/plan/mcu_tasks.h"

#include <algorithm>
#include <limits>

#include "tandem/base/error.h"
#include "tandem/plan/kernel.h"

namespace tandem {
namespace {

// The form of a group in a patch: where the rows at the border are the only ones that are padded,
// patches between them need no padding.
std::string form_of_patch(const std::vector<std::string>& known, const std::string& wanted) {
  const auto is_known = [&](const std::string& form) {
    return std::ranges::find(known, form) != known.end();
  };
  if (is_known(wanted)) return wanted;
  constexpr std::string_view kPadded = "padded_";
  if (wanted.starts_with(kPadded)) {
    const std::string rest = wanted.substr(kPadded.size());
    if (is_known(rest)) return rest;
    if (is_known("window_" + rest)) return "window_" + rest;
  }
  return known.front();
}

class TaskBuilder {
 public:
  TaskBuilder(const Module& module, const McuGroups& groups, const std::vector<std::string>& forms,
              const PatchStage& stage)
      : module_(module), graph_(module.main()), groups_(groups), forms_(forms), stage_(stage) {}

  std::vector<McuTask> run() {
    std::vector<LoopProgram> programs(groups_.groups.size());
    const std::vector<std::size_t> needed = needed_groups(programs);
    std::vector<McuTask> tasks;
    std::vector<std::size_t> in_stage;
    for (const std::size_t group : needed) {
      if (stage_.rows > 0 && stage_.first <= group && group <= stage_.last) {
        in_stage.push_back(group);
        if (group == stage_.last) tasks.push_back(patched(in_stage));
        continue;
      }
      McuTask task;
      task.runs.push_back({group, forms_[group], {}, {}, std::move(programs[group]), {}});
      task.runs.back().overlaps = overlap_distances(task.runs.back().program);
      tasks.push_back(std::move(task));
    }
    return tasks;
  }

 private:
  std::vector<std::size_t> needed_groups(std::vector<LoopProgram>& programs) const {
    std::vector<std::size_t> needed;
    std::vector<bool> wanted(graph_.values.size(), false);
    for (const ValueId output : graph_.outputs) wanted[groups_.base_of[output]] = true;
    for (const StateUpdate& update : graph_.updates) wanted[groups_.base_of[update.value]] = true;
    for (std::size_t i = programs.size(); i-- > 0;) {
      programs[i] = build_kernel(module_, graph_, groups_.base_of, groups_.groups[i], forms_[i]);
      if (std::ranges::none_of(programs[i].arrays, [&](const Array& array) {
            return array.role == ArrayRole::kOutput && wanted[array.value];
          }))
        continue;
      needed.insert(needed.begin(), i);
      for (const Array& array : programs[i].arrays)
        if (array.role == ArrayRole::kInput) wanted[array.value] = true;
    }
    return needed;
  }

  McuTask patched(const std::vector<std::size_t>& groups) {
    McuTask task;
    task.patches = patch_rows(module_, graph_, groups_, stage_);
    task.row_bytes = row_bytes(module_, graph_, groups_, stage_);
    task.result = groups_.base_of[graph_.nodes[groups_.groups[stage_.last].back()].outputs[0]];
    for (const std::map<ValueId, Rows>& rows : task.patches)
      for (const std::size_t group : groups) task.runs.push_back(run_of_patch(group, rows));
    return task;
  }

  McuRun run_of_patch(std::size_t group, const std::map<ValueId, Rows>& rows) {
    const std::vector<NodeId>& nodes = groups_.groups[group];
    McuRun run;
    run.group = group;
    run.rows = rows.at(groups_.base_of[graph_.nodes[nodes.back()].outputs[0]]);
    const Graph graph = patch_graph(module_, graph_, groups_, nodes, *run.rows);
    run.form = form_of_patch(kernel_forms(module_, graph, groups_.base_of, nodes), forms_[group]);
    run.program = build_kernel(module_, graph, groups_.base_of, nodes, run.form);
    // Patches away from the border have the same programs.
    const auto [known, is_new] = overlaps_.insert({{group, print_program(run.program)}, {}});
    if (is_new) known->second = overlap_distances(run.program);
    run.overlaps = known->second;
    for (const Array& array : run.program.arrays)
      if (array.role == ArrayRole::kInput)
        run.reads[array.value] = rows_read(module_, graph_, groups_, group, array.value, *run.rows);
    return run;
  }

  const Module& module_;
  const Graph& graph_;
  const McuGroups& groups_;
  const std::vector<std::string>& forms_;
  const PatchStage& stage_;
  std::map<std::pair<std::size_t, std::string>, std::vector<OverlapDistance>> overlaps_;
};

bool is_from_outside(const McuTask& stage, ValueId value) {
  return std::ranges::none_of(stage.runs, [&](const McuRun& run) {
    return std::ranges::any_of(run.program.arrays, [&](const Array& array) {
      return array.role == ArrayRole::kOutput && array.value == value;
    });
  });
}

}  // namespace

std::vector<McuTask> mcu_tasks(const Module& module, const McuGroups& groups,
                               const std::vector<std::string>& forms, const PatchStage& stage) {
  return TaskBuilder(module, groups, forms, stage).run();
}

std::vector<ValueId> outer_reads(const McuTask& task) {
  std::vector<ValueId> reads;
  for (const McuRun& run : task.runs)
    for (const Array& array : run.program.arrays)
      if (array.role == ArrayRole::kInput && is_from_outside(task, array.value) &&
          std::ranges::find(reads, array.value) == reads.end())
        reads.push_back(array.value);
  return reads;
}

std::optional<std::int64_t> distance_over_patches(const McuTask& stage, ValueId read) {
  const std::size_t runs = stage.runs.size() / stage.patches.size();
  const std::int64_t read_row = stage.row_bytes.at(read), row = stage.row_bytes.at(stage.result);
  std::int64_t distance = std::numeric_limits<std::int64_t>::min();
  for (std::size_t p = 0; p < stage.patches.size(); ++p) {
    const Rows written = stage.patches[p].at(stage.result);
    if (p + 1 < stage.patches.size())
      distance =
          std::max(distance, written.end * row - stage.patches[p + 1].at(read).begin * read_row);
    const McuRun& last = stage.runs[(p + 1) * runs - 1];
    const auto own = last.reads.find(read);
    if (own == last.reads.end()) continue;
    const auto known = std::ranges::find_if(last.overlaps, [&](const OverlapDistance& overlap) {
      return overlap.multiple == 1 && last.program.arrays[overlap.read].value == read &&
             last.program.arrays[overlap.written].role == ArrayRole::kOutput;
    });
    if (known == last.overlaps.end()) return std::nullopt;
    distance =
        std::max(distance, known->bytes + written.begin * row - own->second.begin * read_row);
  }
  return distance;
}

}  // namespace tandem
