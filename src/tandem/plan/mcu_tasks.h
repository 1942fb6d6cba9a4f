#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tandem/plan/loop_program.h"
#include "tandem/plan/mcu_groups.h"
#include "tandem/plan/overlap_distance.h"
#include "tandem/plan/patches.h"

namespace tandem {

// What a run of a plan to be does.
enum class McuRunKind {
  kCompute,
  kKeep,    // copies rows that the next patch needs too
  kRestore  // copies them to where this patch computes those behind them
};

// One group, run as a whole or for one patch: a step of a plan to be.
struct McuRun {
  McuRunKind kind = McuRunKind::kCompute;
  std::size_t group = 0;
  std::string form;
  std::size_t patch = 0;               // of a stage
  std::optional<Rows> rows = {};       // of its result, in a patch
  std::map<ValueId, Rows> reads = {};  // of what it reads, in a patch
  LoopProgram program = {};
  std::vector<OverlapDistance> overlaps = {};
};

// What the order of a plan moves as one: a group, or a stage patch after patch.
struct McuTask {
  std::vector<McuRun> runs;
  std::vector<PatchRows> patches = {};             // patch_rows(); empty for one group
  std::map<ValueId, std::int64_t> row_bytes = {};  // of a stage, as its result
  ValueId result = kNone;
};

// The tasks of a plan, in the order of their groups. A program may turn out not to read an operand
// (a product with 0, a clamp to one number); groups that only fed such operands are left out.
// A patch takes the form of its group where it is one of its forms; else, where only rows at the
// border are padded, the same without padding.
std::vector<McuTask> mcu_tasks(const Module& module, const McuGroups& groups,
                               const std::vector<std::string>& forms, const PatchStage& stage);

// The values that a task reads and others compute.
std::vector<ValueId> outer_reads(const McuTask& task);

// The least distance in bytes (see OverlapDistance) from the result of a stage to a value that it
// reads, in all patches: later ones read nothing that earlier ones wrote over. None where its
// programs allow no sharing at such a distance.
std::optional<std::int64_t> distance_over_patches(const McuTask& stage, ValueId read);

// The program of a run that keeps or restores a value, of whose rows the graph has only these.
LoopProgram move_program(const Graph& graph, ValueId value);

}  // namespace tandem
