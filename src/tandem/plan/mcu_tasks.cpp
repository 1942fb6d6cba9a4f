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
      task.runs.push_back({.group = group, .form = forms_[group]});
      McuRun& run = task.runs.back();
      run.program = std::move(programs[group]);
      run.overlaps = overlap_distances(run.program);
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
    task.result = result_of(stage_.last);
    for (std::size_t patch = 0; patch < task.patches.size(); ++patch) {
      const auto first = static_cast<std::ptrdiff_t>(task.runs.size());
      for (const std::size_t group : groups)
        if (task.patches[patch].computed.contains(result_of(group)))
          task.runs.push_back(run_of_patch(group, patch, task.patches[patch]));
      add_moves(task, groups, patch, first);
    }
    return task;
  }

  ValueId result_of(std::size_t group) const {
    return groups_.base_of[graph_.nodes[groups_.groups[group].back()].outputs[0]];
  }

  McuRun run_of_patch(std::size_t group, std::size_t patch, const PatchRows& rows) {
    const std::vector<NodeId>& nodes = groups_.groups[group];
    McuRun run;
    run.group = group;
    run.patch = patch;
    run.rows = rows.computed.at(result_of(group));
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

  // Rows are restored before the first run of a patch that uses their value, and kept after the
  // last one.
  void add_moves(McuTask& task, const std::vector<std::size_t>& groups, std::size_t patch,
                 std::ptrdiff_t first) const {
    for (const std::size_t group : groups) {
      const ValueId value = result_of(group);
      const auto uses = [&](const McuRun& run) {
        return run.reads.contains(value) ||
               (run.kind == McuRunKind::kCompute && run.group == group);
      };
      const auto begin = task.runs.begin() + first;
      const auto first_use = std::find_if(begin, task.runs.end(), uses);
      if (first_use == task.runs.end()) continue;
      const auto last_use =
          std::find_if(task.runs.rbegin(), std::make_reverse_iterator(begin), uses).base();
      const Rows restored = task.patches[patch].kept(value), kept = kept_after(task, patch, value);
      const auto at = first_use - task.runs.begin();
      if (kept.count() > 0)
        task.runs.insert(last_use, move_of(McuRunKind::kKeep, group, patch, kept));
      if (restored.count() > 0)
        task.runs.insert(task.runs.begin() + at,
                         move_of(McuRunKind::kRestore, group, patch, restored));
    }
  }

  // The rows of a value that the next patch which holds it does not compute.
  static Rows kept_after(const McuTask& task, std::size_t patch, ValueId value) {
    const Rows held = task.patches[patch].held.at(value);
    for (std::size_t next = patch + 1; next < task.patches.size(); ++next) {
      if (!task.patches[next].held.contains(value)) continue;
      const Rows kept = task.patches[next].kept(value);
      ensure(kept.count() <= 0 || (held.begin <= kept.begin && kept.end <= held.end),
             "rows are needed that were not kept");
      return kept;
    }
    return {};
  }

  McuRun move_of(McuRunKind kind, std::size_t group, std::size_t patch, Rows rows) const {
    const ValueId value = result_of(group);
    McuRun run;
    run.kind = kind;
    run.group = group;
    run.form = "copy";
    run.patch = patch;
    run.rows = rows;
    run.reads = {{value, rows}};
    run.program =
        move_program(patch_graph(module_, graph_, groups_, groups_.groups[group], rows), value);
    run.overlaps = overlap_distances(run.program);
    return run;
  }

  const Module& module_;
  const Graph& graph_;
  const McuGroups& groups_;
  const std::vector<std::string>& forms_;
  const PatchStage& stage_;
  std::map<std::pair<std::size_t, std::string>, std::vector<OverlapDistance>> overlaps_;
};

bool writes(const McuRun& run, ValueId value) {
  return std::ranges::any_of(run.program.arrays, [&](const Array& array) {
    return array.role == ArrayRole::kOutput && array.value == value;
  });
}

bool is_from_outside(const McuTask& stage, ValueId value) {
  return std::ranges::none_of(stage.runs, [&](const McuRun& run) { return writes(run, value); });
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
  const std::int64_t read_row = stage.row_bytes.at(read), row = stage.row_bytes.at(stage.result);
  std::int64_t distance = std::numeric_limits<std::int64_t>::min();
  for (const McuRun& run : stage.runs) {
    const std::map<ValueId, Rows>& reads = stage.patches[run.patch].read;
    if (const auto rows = reads.find(read); run.patch > 0 && rows != reads.end()) {
      const Rows written = stage.patches[run.patch - 1].held.at(stage.result);
      distance = std::max(distance, written.end * row - rows->second.begin * read_row);
    }
    const auto own = run.reads.find(read);
    if (own == run.reads.end() || !writes(run, stage.result)) continue;
    const auto known = std::ranges::find_if(run.overlaps, [&](const OverlapDistance& overlap) {
      return overlap.multiple == 1 && run.program.arrays[overlap.read].value == read &&
             run.program.arrays[overlap.written].role == ArrayRole::kOutput;
    });
    if (known == run.overlaps.end()) return std::nullopt;
    distance =
        std::max(distance, known->bytes + run.rows->begin * row - own->second.begin * read_row);
  }
  return distance;
}

LoopProgram move_program(const Graph& graph, ValueId value) {
  LoopProgram program;
  const std::string from = input_array(program, graph, value);
  Array to = program.arrays[0];
  to.name = "y";
  to.role = ArrayRole::kOutput;
  program.arrays.push_back(to);
  program.body.push_back(move_statement(to.name, from, to.storage, to.size));
  return program;
}

}  // namespace tandem
