#pragma once

#include <vector>

#include "tandem/plan/mcu_tasks.h"

namespace tandem {

// How a sequential machine keeps one state from run to run.
struct KeptState {
  StateId state = kNone;
  ValueId read = kNone;    // the value through which it is read
  ValueId update = kNone;  // what it is updated with; kNone where it stays as it is
  // The task whose step writes the new value over the old one, after all other `readers` of the
  // old one; kNone where the new value is copied when all steps have ended.
  std::size_t writer = kNone;
  std::vector<std::size_t> readers = {};
};

// The states that something reads. A task writes in place what it alone computes for one state and
// no output, where it comes last among the tasks that read the old value, nothing else needs that,
// and it has read each element before it overwrites it. Stages of patches touch no states.
std::vector<KeptState> kept_states(const Module& module, const McuGroups& groups,
                                   const std::vector<McuTask>& tasks);

}  // namespace tandem
