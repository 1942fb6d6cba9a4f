#pragma once

#include <string>
#include <vector>

#include "tandem/plan/kernel.h"
#include "tandem/plan/patches.h"
#include "tandem/plan/plan.h"
#include "tandem/plan/shared_programs.h"

namespace tandem {

// The plan of a sequential machine that runs one group of nodes after the other, each in the given
// form, in the order of the groups or, where that takes less memory, in the one that
// least_peak_order() finds (plan/task_order.h). Values lie in one arena in "sram"
// (BufferRole::kValue, kScratch), constants in "flash"; inputs and outputs in the arena too, or in
// "sram" of the caller. In the arena all inputs are there when the first step starts, all outputs
// when the last one has ended. What a step writes may share bytes with what it is the last to read,
// as far as it has read them by then (plan/overlap_distance.h). The groups of `stage` are run patch
// after patch: a step for each group and patch, whose tile is "row" and "rows", and which share
// constants. States lie in a region of "sram" of their own (BufferRole::kState); a step writes the
// new value over the old one where it can (plan/kept_states.h), others are copied at the end.
// peak_bytes: the arena in "sram", the constants and the initial values of states, unless all their
// elements are equal, in "flash".
Plan assemble_mcu_plan(const Module& module, const std::string& device, const std::string& unit,
                       const McuGroups& groups, const std::vector<std::string>& forms,
                       IoPlace io = IoPlace::kArena, const PatchStage& stage = {});

// What the steps of such a plan do, in order. The arrays of program i are the buffers
// steps[i].reads and .writes, in the order: reads are inputs and constants as they occur among the
// arrays, writes are outputs and scratch as they occur.
std::vector<LoopProgram> step_programs(const Module& module, const Plan& plan);

// Which of them are one function; the programs get its parameters. As emitted and as estimated.
struct StepFunctions {
  std::vector<LoopProgram> programs;
  SharedPrograms shared;
};
StepFunctions step_functions(const Module& module, const Plan& plan);

// The buffer of each array of a step's program.
std::vector<std::size_t> array_buffers(const Step& step, const LoopProgram& program);

// The program of a step of kind kMove without nodes: a copy of one buffer to another.
LoopProgram copy_program(const Graph& graph, ValueId from, ValueId to,
                         const std::vector<std::int64_t>& constant);

}  // namespace tandem
