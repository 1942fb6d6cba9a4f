#pragma once

#include <vector>

#include "tandem/plan/mcu_groups.h"
#include "tandem/plan/overlap_distance.h"

namespace tandem {

// What the groups of a plan do, in whatever order.
struct GroupWork {
  std::vector<LoopProgram> programs;                   // by group
  std::vector<std::vector<OverlapDistance>> overlaps;  // of each program
  std::vector<std::size_t> needed;                     // groups on which an output depends
};

// How a sequential machine keeps one state from run to run.
struct KeptState {
  StateId state = kNone;
  ValueId read = kNone;    // the value through which it is read
  ValueId update = kNone;  // what it is updated with; kNone where it stays as it is
  // The group whose step writes the new value over the old one, after all other `readers` of the
  // old one; kNone where the new value is copied when all steps have ended.
  std::size_t writer = kNone;
  std::vector<std::size_t> readers = {};
};

// The states that something reads. A group writes in place what it alone computes for one state and
// no output, where it comes last among the groups that read the old value, nothing else needs that,
// and it has read each element before it overwrites it.
std::vector<KeptState> kept_states(const Module& module, const McuGroups& groups,
                                   const GroupWork& work);

}  // namespace tandem
